from __future__ import annotations

import random
import string
import time

import pytest

from topcoat.data.secrets import find_secrets, redacted

_RNG = random.Random(0)


def made_up(length: int, characters: str = string.ascii_letters + string.digits) -> str:
    return "".join(_RNG.choices(characters, k=length))


# Put together here, so that no file of the project holds anything of the form of a secret.
MADE_UP = [
    ("AWS access key", "AKIA" + made_up(16, "ABCDEFGHJKLMNPQRSTUVWXYZ234567")),
    ("GitHub token", "ghp_" + made_up(36)),
    ("GitHub token", "github_pat_" + made_up(22) + "_" + made_up(59)),
    ("GitLab token", "glpat-" + made_up(20)),
    ("Hugging Face token", "hf_" + made_up(34)),
    ("Anthropic key", "sk-ant-api03-" + made_up(93) + "AA"),
    ("OpenAI key", "sk-proj-" + made_up(40) + "T3BlbkFJ" + made_up(40)),
    ("Google API key", "AIza" + made_up(35)),
    ("Slack token", "xoxb-" + made_up(12, string.digits) + "-" + made_up(24)),
    ("Slack webhook", "https://hooks.slack.com/services/T" + made_up(9) + "/B" + made_up(9) + "/" + made_up(24)),
    ("Stripe key", "sk_live_" + made_up(24)),
    ("SendGrid key", "SG." + made_up(22) + "." + made_up(43)),
    ("npm token", "npm_" + made_up(36)),
    ("PyPI token", "pypi-AgE" + made_up(80)),
    ("Telegram bot token", made_up(9, "123456789") + ":AA" + made_up(33)),
    ("Azure storage key", "AccountKey=" + made_up(86) + "=="),
    ("JSON web token", "eyJ" + made_up(30) + ".eyJ" + made_up(60) + "." + made_up(43)),
    ("private key", "-----BEGIN RSA PRIVATE KEY-----\n" + made_up(64) + "\n-----END RSA PRIVATE KEY-----"),
    ("password in a URL", "postgres://admin:" + made_up(12) + "@db.internal/app"),
]


@pytest.mark.parametrize(("kind", "secret"), MADE_UP, ids=[kind for kind, _ in MADE_UP])
def test_each_kind_is_found_and_blanked(kind: str, secret: str) -> None:
    text = f'client = Client("{secret}") # {kind}'
    (found,) = find_secrets(text)
    assert found.kind == kind
    assert text[found.start : found.end] in text
    assert secret[8:40] not in redacted(text)
    assert f"[{kind}]" in redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "x" * 36,
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "postgres://user:password@localhost/db",
        "https://example.com:8080/path@x",
        "git@github.com:name/project.git",
        "hf_hub_download(repo_id)",
        "the key of a dict, a token of a row",
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert find_secrets(text) == []
    assert redacted(text) == text


@pytest.mark.parametrize("piece", ["eyJ-.eyJ", "sk-T3BlbkFJ", "a://b:", "xoxb-a-", "-----BEGIN A ", "AKIA", ":AA"])
def test_time_is_linear_in_the_text(piece: str) -> None:
    started = time.perf_counter()
    find_secrets(piece * 40_000)
    assert time.perf_counter() - started < 20

from __future__ import annotations

import pytest

from tests.support.growth import growth
from tests.support.made_up_secrets import BY_FORM
from topcoat.secrets.finding import find_secrets, redacted


@pytest.mark.parametrize(("kind", "secret"), BY_FORM, ids=[kind for kind, _ in BY_FORM])
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


@pytest.mark.parametrize("end", ["", "_", "."])
@pytest.mark.parametrize(
    "piece",
    [
        *("-----BEGIN A ", "-----BEGIN PRIVATE KEY-----", "AKIA", "ghp_", "ghp_a-", "github_pat_", "glpat-", "hf_"),
        *("sk-ant-", "sk-", "sk-T3BlbkFJ", "AIza", "xoxb-", "xoxb-a-", "hooks.slack.com/services/T", "sk_live_", "SG."),
        *("npm_", "pypi-AgE", "1", "1:AA", "AccountKey=", "eyJ-.eyJ", "-eyJ", "a://b:", "a+", "a://", "a", "-"),
    ],
)
def test_the_work_of_every_form_is_linear_in_the_text(piece: str, end: str) -> None:
    begin = " ".join(secret for _, secret in BY_FORM) + " "  # a form is tried where one of its kind is
    assert growth(lambda text: find_secrets(begin + text + end), piece, 8_000) < 1.5

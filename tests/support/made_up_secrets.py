"""Made-up secrets, put together here, so that no file of the project holds anything of the form of one."""

from __future__ import annotations

import random
import string

__all__ = ["BY_FORM", "BY_NAME", "made_up"]

_RNG = random.Random(1)


def made_up(length: int, characters: str = string.ascii_letters + string.digits) -> str:
    """Random `characters`."""
    return "".join(_RNG.choices(characters, k=length))


BY_FORM = [
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
"""(kind, secret): known by their form, wherever they stand."""

BY_NAME = [
    ("AWS secret key", "aws_secret_access_key=" + made_up(40)),
    ("password by its name", "DB_PASSWORD='q7" + made_up(14) + "'"),
    ("bearer token", "Authorization: Bearer q7" + made_up(30)),
]
"""(kind, text that holds the secret): known by the name before them."""

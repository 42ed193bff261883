"""Finds passwords, keys and tokens by the forms that their issuers document. Says which kind and where, never what.

It finds only unmistakable forms: a fixed prefix and a fixed length. It measures no entropy, so it doesn't take a hash
or an id for a key, and it can't find a password without such a form.

detect-secrets 1.5 was measured against this: without its entropy plugins it needs 170 µs a line (some four minutes for
100,000 dialogues) and knows neither Hugging Face, Anthropic and Google keys nor GitHub's fine-grained tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Secret", "find_secrets", "redacted"]

_FORMS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    # Kind, texts of which the secret contains at least one (a quick test), and the form. Each form is linear in the
    # text: a part that repeats is possessive, bounded, or at the end.
    ("private key", ("PRIVATE KEY-----",), r"-----BEGIN (?:[A-Z0-9]++ )*PRIVATE KEY-----(?:[^-]{0,10000}+-----END)?"),
    ("AWS access key", ("AKIA", "ASIA"), r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    ("GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"\bgh[pousr]_[A-Za-z0-9]{36,255}+\b"),
    ("GitHub token", ("github_pat_",), r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b"),
    ("GitLab token", ("glpat-",), r"\bglpat-[\w-]{20,}"),
    ("Hugging Face token", ("hf_",), r"\bhf_[A-Za-z0-9]{34}\b"),
    ("Anthropic key", ("sk-ant-",), r"\bsk-ant-[\w-]{80,}"),
    ("OpenAI key", ("T3BlbkFJ",), r"\bsk-[\w-]{20,200}T3BlbkFJ[\w-]{20,200}"),
    ("Google API key", ("AIza",), r"\bAIza[\w-]{35}(?![\w-])"),
    ("Slack token", ("xox",), r"\bxox[abeoprs]-(?:[A-Za-z0-9]{1,20}+-){1,4}[A-Za-z0-9]{20,}+\b"),
    ("Slack webhook", ("hooks.slack.com/",), r"hooks\.slack\.com/services/T\w{8,}+/B\w{8,}+/\w{20,}"),
    ("Stripe key", ("k_live_",), r"\b[rs]k_live_[A-Za-z0-9]{24,}+\b"),
    ("SendGrid key", ("SG.",), r"\bSG\.[\w-]{22}\.[\w-]{43}(?![\w-])"),
    ("npm token", ("npm_",), r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("PyPI token", ("pypi-AgE",), r"\bpypi-AgE[\w-]{50,}"),
    ("Telegram bot token", (":AA",), r"\b\d{8,10}+:AA[\w-]{33}(?![\w-])"),
    ("Azure storage key", ("AccountKey=",), r"\bAccountKey=[A-Za-z0-9+/]{86}=="),
    ("JSON web token", (".eyJ",), r"\beyJ[\w-]{10,2000}+\.eyJ[\w-]{10,4000}+\.[\w-]{20,1000}"),
    (
        "password in a URL",
        ("://",),
        r"\b[a-z][a-z0-9+.-]{1,20}+://[^\s:/@'\"<>{}$]{1,64}+:[^\s:/@'\"<>{}$]{6,128}+@(?=\w)",
    ),
)
_BY_ANCHOR = tuple((anchor, kind, re.compile(form)) for kind, anchors, form in _FORMS for anchor in anchors)
_PLACEHOLDERS = re.compile(r"example|password|secret|changeme|your[-_]|placeholder|dummy|@(?=localhost)", re.IGNORECASE)
_FEWEST_CHARACTERS = 8
"""A secret with fewer different characters than this (ghp_xxxx…) is a placeholder."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A probable secret: its kind and its position in the text."""

    kind: str
    start: int
    end: int


def find_secrets(text: str) -> list[Secret]:
    """The texts in `text` with the form of a secret, in order, without obvious placeholders."""
    return sorted(set(_found(text)), key=lambda secret: secret.start)


def redacted(text: str) -> str:
    """`text` with every secret replaced by its kind in brackets."""
    end, parts = 0, []
    for secret in find_secrets(text):
        if secret.start >= end:
            parts += [text[end : secret.start], f"[{secret.kind}]"]
            end = secret.end
    return "".join([*parts, text[end:]])


def _found(text: str) -> Iterator[Secret]:
    for anchor, kind, form in _BY_ANCHOR:
        if anchor in text:
            for match in form.finditer(text):
                if kind == "private key" or not _is_placeholder(match[0]):
                    yield Secret(kind, match.start(), match.end())


def _is_placeholder(found: str) -> bool:
    return bool(_PLACEHOLDERS.search(found)) or len(set(found)) < _FEWEST_CHARACTERS

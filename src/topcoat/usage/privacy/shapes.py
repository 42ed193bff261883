"""Finds keys without a known form by the shape that most have: a prefix, `_` or `-`, and random characters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from topcoat.secrets.literals import any_of

__all__ = ["begun_secrets", "is_random", "shaped_secrets"]

_SHAPE = re.compile(
    r"""(?x) (?<![A-Za-z0-9_/-]) (?P<prefix> [A-Za-z][A-Za-z0-9]{0,11} (?: [_-] [A-Za-z0-9]{1,11}){0,3} [_-] )
    (?P<body> [A-Za-z0-9]{20,}+ ) (?: [_-] [A-Za-z0-9]{6,}+ ){0,8}"""
)
_IDS = re.compile(
    r"""(?ix) (?: call | toolu | srvtoolu | chatcmpl | cmpl | msg | message | req | request | resp | response | run
    | thread
    | asst | file | step | item | fc | rs | ws | evt | event | id | user | usr | cus | sub | pi | ch | in | price | prod
    | org | proj(?:ect)? | acct | batch | trace | span | sha\d* | md5 | commit | rev | build | image | blob | etag
    | nonce
    | conv | session | task | job | node | page | doc | chunk | part | hash | digest ) [_-]"""
)
"""The prefixes of ids, which nobody needs to keep secret."""
_MARKS = (
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-"),
    *(
        "hf_",
        "sk-",
        "gsk_",
        "xai-",
        "pplx-",
        "r8_",
        "nvapi-",
        "xoxb-",
        "xoxp-",
        "xoxa-",
        "xoxe-",
        "xoxr-",
        "xoxs-",
        "xapp-",
        "AIza",
    ),
    *(
        "sk_live_",
        "sk_test_",
        "rk_live_",
        "rk_test_",
        "whsec_",
        "shpat_",
        "shpca_",
        "shppa_",
        "shpss_",
        "npm_",
        "pypi-",
    ),
    *(
        "rubygems_",
        "dckr_pat_",
        "dop_v1_",
        "doo_v1_",
        "hvs.",
        "SG.",
        "AKIA",
        "ASIA",
        "GOCSPX-",
        "ya29.",
        "glsa_",
        "glc_",
    ),
    *("NRAK-", "PMAK-", "lin_api_", "ntn_", "figd_", "tskey-", "ATATT3", "ATBB", "key-", "eyJ", "pscale_", "sntrys_"),
)
"""What known issuers' keys begin with. A key that is said in two parts, in two turns, has it in the first."""
_MARK = any_of(_MARKS)
_BODY = re.compile(r"(?:(?:ant|proj|or|svcacct|admin|lf|v1|api\d+|auth|tkn|oauth)[_-]){0,3}(?P<body>[\w-]{8,200}+)")
_MORE = re.compile(r"[\w-]*+")


_DIGEST = re.compile(r"""(?i)(?:sha\d{1,3}|md5|integrity|digest|hash)["']?[=:-] ?["']?$""")


def shaped_secrets(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The places of what has the shape of a key, in a run of `text`."""
    for match in _SHAPE.finditer(text, start, end):
        if _DIGEST.search(text, max(match.start() - 12, 0), match.start()):
            continue
        if not _IDS.match(match["prefix"]) and is_random(match["body"], 20):
            yield match.span()


def begun_secrets(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The places of what begins as a known issuer's keys do, and may go on elsewhere, in a run of `text`."""
    for mark in _MARK.finditer(text, start, end):
        if mark.start() < start:
            continue
        match = _BODY.match(text, mark.end(), end) if not text[mark.start() - 1 : mark.start()].isalnum() else None
        if match and is_random(match["body"], 8):
            start = _MORE.match(text, match.end(), end).end()  # type: ignore[union-attr]  # it always matches
            yield mark.start(), start


def is_random(text: str, fewest: int) -> bool:
    """Whether letters and digits alternate as they do in random characters, and don't in names and words.

    Random characters of a-z, A-Z and 0-9 change their kind at 62% of all places, those of a-z and 0-9 at 40%.
    """
    kinds = "".join("d" if c.isdigit() else "u" if c.isupper() else "l" for c in text[:200])
    if len(text) < fewest or "d" not in kinds or kinds == "d" * len(kinds):
        return False
    changes = sum(one != other for one, other in pairwise(kinds)) / (len(kinds) - 1)
    if "u" in kinds and "l" in kinds:
        return changes >= (0.35 if kinds.count("d") > 1 else 0.5)
    return changes >= 0.2 and (fewest < 20 or (len(text) >= 30 and not _HEX.fullmatch(text)))


_HEX = re.compile(r"[0-9a-f]*|[0-9A-F]*")

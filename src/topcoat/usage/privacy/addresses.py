"""Finds e-mail addresses and IP addresses in a text."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

__all__ = ["email_addresses", "ip_addresses"]

_LONGEST_LOCAL = 64
_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+\Z")
_QUOTED_LOCAL = re.compile(r'"[^"\\\n]{1,62}"\Z')
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,62})\.){1,8}(?P<top>(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,24}))(?![\w-])")
_NO_TOP_DOMAINS = frozenset(
    [
        *("png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "ts", "tsx", "jsx", "json", "html", "pdf"),
        *("service", "socket", "timer", "target", "mount", "device", "slice", "scope", "path", "swap", "automount"),
    ]
)
"""Ends of file names and of systemd's units (`icon@2x.png`, `getty@tty1.service`), which are no top-level domains."""
_REPOSITORY = re.compile(r"(?:git|hg|svn)\Z")

_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\w)")
_IPV6 = re.compile(r"(?i)(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])")
_DOCUMENTS = tuple(
    ipaddress.ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
_GLOBAL = re.compile("(?i)[23][0-9a-f]{3}:")
_VERSION = re.compile(r"(?i)(?:\bver(?:sion)?s?\W{0,4}|\brelease\W{0,4}|[\w-](?:[=<>~!^]=|[<>~^])\s?|[a-z][/@-])\Z")
"""What stands before a version of four numbers: `version: 1.2.3.4`, `torch==1.2.3.4`, `Chrome/120.0.0.0`."""


def email_addresses(text: str) -> Iterator[tuple[int, int]]:
    """The places of the e-mail addresses. `git@host:` is the address of a repository, and nobody's."""
    at = text.find("@")
    end = 0
    while at >= 0:
        if domain := _DOMAIN.match(text, at + 1):
            near = text[max(end, at - _LONGEST_LOCAL) : at]
            local = _LOCAL.search(near) or _QUOTED_LOCAL.search(near)
            if local is not None and _is_address(local[0], domain, text):
                end = domain.end()
                yield at - len(local[0].lstrip("'`{|=/")), end
        at = text.find("@", at + 1)


def _is_address(local: str, domain: re.Match[str], text: str) -> bool:
    if domain["top"].lower() in _NO_TOP_DOMAINS or not local.strip("'`{|=/.-"):
        return False
    return not (_REPOSITORY.search(local) and text[domain.end() : domain.end() + 1] in (":", "/"))


def ip_addresses(text: str) -> Iterator[tuple[int, int]]:
    """The places of the public IP addresses. Those of a machine itself and of private networks tell nobody's place."""
    for match in _IPV4.finditer(text):
        if _is_public(match[0]) and not _VERSION.search(text, max(match.start() - 16, 0), match.start()):
            yield match.span()
    if ":" in text:
        for match in _IPV6.finditer(text):
            if (match[0].count(":") > 2 or _GLOBAL.match(match[0])) and _is_public(match[0]):
                yield match.span()


def _is_public(text: str) -> bool:
    """Whether a text is a public address. Those that are reserved for documents count: a text can't tell that."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_global or any(address in network for network in _DOCUMENTS)

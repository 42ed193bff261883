"""Decides who may talk to the front: programs on this machine and clients with the token, never another host's page."""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["Access", "is_loopback"]


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one front, which listens on `host`. `token` is "" if the front needs none."""

    host: str
    token: str = ""

    def refusal(
        self, *, host: str, origin: str | None, authorization: str, api_key: str = ""
    ) -> tuple[int, str] | None:
        """The status and the reason to refuse a request with these headers, or None to accept it.

        A page from another host can reach this machine under its own name (DNS rebinding). But `Host` shows that name,
        and `Origin` shows the page's source. `api_key` is X-Api-Key, where Anthropic's clients have a key.
        """
        name = _name(f"//{host}")
        if is_loopback(self.host) and not (is_loopback(name) or name == self.host):
            return 403, f"this server is only reached as 127.0.0.1 or localhost, not as {name or 'nothing'}"
        if origin is not None and not (is_loopback(_name(origin)) or _name(origin) == name != ""):
            return 403, f"pages of {origin} may not use this server"
        known = _equal(authorization, f"Bearer {self.token}") or _equal(api_key, self.token)
        if self.token and not known:
            return 401, "the token is missing or wrong: Authorization: Bearer TOKEN"
        return None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host: localhost, 127.*, ::1."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _equal(one: str, other: str) -> bool:
    """Whether two texts are equal, in a time that doesn't tell where they differ. Either may hold bytes of no text."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def _name(url: str) -> str:
    """The host's name in a URL, or ""."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""

"""Decides who may use the studio: the browser that opened the printed link, from the studio's own pages.

The front's rules of `Host` and `Origin` hold here too (`usage.capture.access`). Pages with forms need three more:
a page of another port of this machine is foreign, a request that changes something comes from one of our pages, and
everybody shows the token, in the link once and then in a cookie.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

from topcoat.usage.capture.access import Access

__all__ = ["HOST", "Door", "Refusal"]

HOST = "127.0.0.1"
_LINK = "the link that `topcoat studio` printed opens it"

Refusal = tuple[int, str]
"""A status, and the reason."""


@dataclass(frozen=True, slots=True)
class Door:
    """The rules of one studio. `token` opens it; `form_key` is in every form of its pages, and nowhere else."""

    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    form_key: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def refusal(self, *, host: str, origin: str | None, token: str) -> Refusal | None:
        """Why a request that only reads is refused, or None to accept it. `token` is that of its link or cookie."""
        refused = Access(HOST).refusal(host=host, origin=origin, authorization="")
        if refused is not None:
            return refused
        if origin is not None and origin != f"http://{host}":
            return 403, f"pages of {origin} may not use the studio"
        if not _equal(token, self.token):
            return 401, f"the studio doesn't know this browser: {_LINK}"
        return None

    def change_refusal(self, *, host: str, origin: str | None, token: str, form_key: str) -> Refusal | None:
        """Why a request that changes something is refused, or None. Browsers say the origin of each such request."""
        refused = self.refusal(host=host, origin=origin, token=token)
        if refused is not None:
            return refused
        if origin is None:
            return 403, "a request that changes something has to say its origin"
        if not _equal(form_key, self.form_key):
            return 403, "the form isn't of this studio, or of one that ended: load the page again"
        return None


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))

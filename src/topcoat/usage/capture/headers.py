"""The headers of requests: which are handed on to the model server, and what they say about the session."""

from __future__ import annotations

from collections.abc import Mapping

from multidict import CIMultiDict, CIMultiDictProxy

__all__ = ["for_chat", "handed_on", "handed_to", "is_handed_on", "session_named"]

_DECODED = ("gzip", "deflate", "br", "zstd")
_NOT_HANDED_ON = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",  # so far: RFC 9110, 7.6.1
        "accept-encoding",  # the recorder must be able to read the answer
        "content-length",
        "host",
        "origin",
    }
)
_SESSION_HEADERS = ("X-Session-Id", "X-Claude-Code-Session-Id", "Session-Id", "session_id")
"""The headers that may name a session: of any client, of Claude Code, and of Codex, now and earlier."""


def is_handed_on(name: str) -> bool:
    """Whether a header is about the message, and not about the connection that it came by."""
    return name.lower() not in _NOT_HANDED_ON


def handed_on(given: CIMultiDictProxy[str], upstream: Mapping[str, str], *, token: bool) -> CIMultiDict[str]:
    """The headers for the model server, of a client's and of the server's own. `token`: the client's key is for us."""
    headers = CIMultiDict((key, value) for key, value in given.items() if is_handed_on(key))
    if given.get("Content-Encoding", "").lower() in _DECODED:
        headers.popall("Content-Encoding", None)  # aiohttp has decoded the body
    if token:
        headers.popall("Authorization", None)
        headers.popall("X-Api-Key", None)
    headers["Accept-Encoding"] = "identity"
    for key, value in upstream.items():
        headers[key] = value
    return headers


def handed_to(headers: CIMultiDict[str], api: str, upstream: Mapping[str, str]) -> CIMultiDict[str]:
    """The headers for a server that knows `api` itself: Anthropic's looks for its key in another place."""
    if api == "messages" and "Authorization" in upstream:
        headers["X-Api-Key"] = upstream["Authorization"].removeprefix("Bearer ")
    return headers


def for_chat(headers: CIMultiDict[str], upstream: Mapping[str, str]) -> CIMultiDict[str]:
    """The headers for a request in chat completions, of those for another API: the key is where servers look for it."""
    key = headers.popall("X-Api-Key", [""])[0]
    if key and "Authorization" not in headers and "Authorization" not in upstream:
        headers["Authorization"] = f"Bearer {key}"
    for name in [name for name in headers if name.lower().startswith("anthropic-")]:
        headers.popall(name, None)
    headers.popall("Content-Encoding", None)
    headers["Content-Type"] = "application/json"
    return headers


def session_named(headers: CIMultiDictProxy[str]) -> str:
    """The session that a client's headers name, "" if they name none."""
    return next((headers[name] for name in _SESSION_HEADERS if headers.get(name)), "")

from __future__ import annotations

import pytest

from topcoat.usage.capture.access import Access


@pytest.mark.parametrize(
    ("host", "origin", "allowed"),
    [
        ("127.0.0.1:8080", None, True),
        ("localhost", None, True),
        ("[::1]:8080", None, True),
        ("localhost:8080", "http://localhost:3000", True),
        ("evil.example:8080", None, False),
        ("127.0.0.1.evil.example", None, False),
        ("localhost.evil.example", None, False),
        ("", None, False),
        ("localhost:8080", "https://evil.example", False),
        ("localhost:8080", "null", False),
        ("localhost:8080", "http://[broken", False),
        ("evil.example:8080", "http://evil.example:8080", False),
    ],
)
def test_on_the_loopback_only_this_machine_gets_in(host: str, origin: str | None, allowed: bool) -> None:
    refusal = Access("127.0.0.1").refusal(host=host, origin=origin, authorization="")
    assert (refusal is None) == allowed


@pytest.mark.parametrize(
    ("origin", "authorization", "status"),
    [
        (None, "Bearer right", None),
        ("http://box.lan:8080", "Bearer right", None),
        (None, "Bearer wrong", 401),
        (None, "", 401),
        (None, "Bearer rïght", 401),
        ("https://evil.example", "Bearer right", 403),
    ],
)
def test_others_need_the_token(origin: str | None, authorization: str, status: int | None) -> None:
    refusal = Access("0.0.0.0", "right").refusal(host="box.lan:8080", origin=origin, authorization=authorization)
    assert (refusal[0] if refusal else None) == status

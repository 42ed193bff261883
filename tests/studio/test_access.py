from __future__ import annotations

import pytest

from topcoat.studio.access import Door

DOOR = Door("right", "key")
HERE = "127.0.0.1:8090"


@pytest.mark.parametrize(
    ("host", "origin", "token", "status"),
    [
        (HERE, None, "right", None),
        ("localhost:8090", "http://localhost:8090", "right", None),
        (HERE, None, "wrong", 401),
        (HERE, None, "", 401),
        (HERE, None, "ri\udcffht", 401),
        ("evil.example:8090", None, "right", 403),
        ("127.0.0.1.evil.example", None, "right", 403),
        ("", None, "right", 403),
        (HERE, "https://evil.example", "right", 403),
        (HERE, "null", "right", 403),
        (HERE, "http://127.0.0.1:3000", "right", 403),  # another program's page on this machine
        (HERE, "https://127.0.0.1:8090", "right", 403),
        ("localhost:8090", "http://127.0.0.1:8090", "right", 403),
    ],
)
def test_only_the_studios_own_pages_with_its_token_get_in(
    host: str, origin: str | None, token: str, status: int | None
) -> None:
    refusal = DOOR.refusal(host=host, origin=origin, token=token)
    assert (refusal[0] if refusal else None) == status


@pytest.mark.parametrize(
    ("origin", "token", "key", "status"),
    [
        (f"http://{HERE}", "right", "key", None),
        (None, "right", "key", 403),
        ("http://127.0.0.1:3000", "right", "key", 403),
        (f"http://{HERE}", "right", "", 403),
        (f"http://{HERE}", "right", "right", 403),
        (f"http://{HERE}", "wrong", "key", 401),
    ],
)
def test_a_change_needs_an_origin_and_the_forms_key(origin: str | None, token: str, key: str, status: int) -> None:
    refusal = DOOR.change_refusal(host=HERE, origin=origin, token=token, form_key=key)
    assert (refusal[0] if refusal else None) == status


def test_every_studio_has_secrets_of_its_own() -> None:
    one, other = Door(), Door()
    assert len({one.token, one.form_key, other.token, other.form_key}) == 4

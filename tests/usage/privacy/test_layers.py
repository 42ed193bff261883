"""Secrets of many issuers in many surroundings. What is measured of them stands in docs/flywheel.md."""

from __future__ import annotations

import base64
import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.growth import growth
from tests.support.made_up_secrets import BY_FORM, made_up
from topcoat.secrets.forms import FORMS, INNER_FORMS
from topcoat.usage.events import Event, ToolCall
from topcoat.usage.privacy.event import cleaned_event
from topcoat.usage.privacy.text import cleaned

KEY = "q7" + made_up(18)
PASSWORD = "hunter2abc"
TOKENS = [secret for kind, secret in BY_FORM if kind not in ("private key", "password in a URL")]


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"API_KEY={KEY}",
        f"apiKey: '{KEY}'",
        f"the secret is “{KEY}”.",
        f'os.environ["API_KEY"] = "{KEY}"',
        f"tool --api-key {KEY} -v",
        f"<password>{KEY}</password>",
        f"&quot;token&quot;: &quot;{KEY}&quot;",
        f"'api_key' => '{KEY}'",
        f"PASSWORD={PASSWORD}&x=1",
        f"curl -H 'X-Api-Key: {KEY}' x",
        f"Authorization: Basic {base64_of('alice:' + KEY)}",
        json.dumps(json.dumps({"args": [json.dumps({"password": KEY})]})),
        '{"password": "' + "".join(f"\\u{ord(c):04x}" for c in KEY) + '"}',
        f"https://x.io/?a=1&token={KEY}",
        "https://x.io/?token=" + "".join(f"%{ord(c):02X}" for c in KEY),
        urllib.parse.quote(json.dumps({"token": KEY}), ""),
        f"password = Tr0b4!{KEY[:4]}",
        f"lin_api_{KEY}{KEY}",
        f"datadog: {KEY}",
    ],
)
def test_a_name_marks_a_secret_in_every_surrounding(text: str) -> None:
    clean = cleaned(text)
    assert KEY not in clean
    assert KEY[6:] not in clean
    assert clean != text
    assert cleaned(clean) == clean


@pytest.mark.parametrize(
    "inner", [f"alice:{KEY}", f"API_KEY={KEY}\n", json.dumps({"user": "a", "token": KEY}), TOKENS[1]]
)
@pytest.mark.parametrize("times", [1, 2])
def test_base64_hides_nothing(inner: str, times: int) -> None:
    for _ in range(times):
        inner = base64_of(inner)
    assert cleaned(f"it was {inner}, said the log") in (f"it was [{kind}], said the log" for kind in ("secret",))


@pytest.mark.parametrize("secret", TOKENS)
@pytest.mark.parametrize("joint", ["\n", "\r\n    ", "\\\n", '"\n  "', "' +\n  '"])
def test_a_wrapped_line_hides_nothing(secret: str, joint: str) -> None:
    half = len(secret) * 2 // 3
    clean = cleaned(f'key = "{secret[:half]}{joint}{secret[half:]}"')
    assert secret[half - 8 : half] not in clean
    assert secret[-8:] not in clean


@pytest.mark.parametrize("secret", TOKENS)
def test_escapes_hide_nothing(secret: str) -> None:
    escaped = "".join(f"\\u{ord(c):04x}" if i % 3 == 0 else c for i, c in enumerate(secret))
    assert escaped[-24:] not in cleaned(f'{{"x": "{escaped}"}}')
    percent = urllib.parse.quote(secret, "")
    assert percent[-12:] not in cleaned(f"https://x.io/?next={percent}&a=b")


def test_a_key_names_its_value() -> None:
    arguments = {"user": "alice", "password": "swordfish", "argv": ["login", "--token", KEY], "tokens": 7}
    call = ToolCall(name="login", arguments=json.dumps(arguments))
    event = cleaned_event(Event(session="s", kind="tool_call", calls=[call], arguments=json.loads(call.arguments)))
    clean = {"user": "alice", "password": "[secret]", "argv": ["login", "--token", "[secret]"], "tokens": 7}
    assert event.arguments == json.loads(event.calls[0].arguments) == clean


@pytest.mark.parametrize(
    "text",
    [
        *(
            "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
            "call_AbC123dEf456GhI789jKl012",
            "toolu_01A09q90qw90lq917835lq9",
        ),
        *("request 550e8400-e29b-41d4-a716-446655440000", "sha256-" + "Ab1" * 14 + "A=", "tokenizer=Qwen2Tokenizer"),
        *("class Qwen3ForTokenClassification(Base1): ...", "token_ids_0=token_ids_1", "set API_KEY=your-api-key-12"),
        *("the password must have 12 characters", "max_tokens=2048", "auth_token=os.environ['AUTH_TOKEN1']"),
        *(
            "author: john1234x",
            "a token of row 12345678 is trained",
            "pod web-7d4b9c6f5d-x2x9z",
            "get_user_by_email2_address",
        ),
    ],
)
def test_ids_hashes_and_code_are_left_alone(text: str) -> None:
    assert cleaned(text) == text


@given(st.text(st.sampled_from("ab1A=:\"'\\%&;\n .-_/token"), max_size=60))
def test_cleaning_ends(text: str) -> None:
    assert cleaned(cleaned(cleaned(text))) == cleaned(cleaned(text))


MARKS = [marks[0] for _, marks, _ in (*FORMS, *INNER_FORMS)]


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "\\u0061",
            "%61",
            "&#97;",
            "a1\n",
            "a1\\\n",
            'a1"\n"',
            "eyJhMSI6MX0=",
            "YTE6YTFhMWExYTE=",
            "token=\n",
            "key ",
            "a1-",
        ),
        *(
            "password is ",
            "api key",
            "sk-a1b2c3d4-",
            "\u200ba1",
            "datadog: a1",
            '"token", ',
            "--token a1",
            "Bearer Bearer ",
        ),
        "".join(MARKS),
    ],
)
def test_the_work_of_every_layer_is_linear(piece: str) -> None:
    assert growth(cleaned, piece, 64_000 // len(piece)) < 1.5


@pytest.mark.parametrize("mark", MARKS)
def test_the_work_of_every_mark_is_linear(mark: str) -> None:
    assert growth(cleaned, mark + "a1", 48_000 // len(mark + "a1")) < 1.5

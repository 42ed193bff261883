from __future__ import annotations

import json
import shutil
from datetime import date, datetime
from pathlib import Path

import pytest
from transformers.utils import chat_template_utils

from tests.support.mlx.families import TOOLS, make_family
from tests.support.mlx.models import MakeModel
from topcoat.engine.mlx.engine import MlxEngine

DIALOGUE = [{"role": "user", "content": "hello"}]
TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
GPT_OSS = 'Current date: {{ strftime_now("%Y-%m-%d") }}\n'
LLAMA_3 = """\
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{{- "Today Date: " + date_string + "\n" }}"""
DIRECTIVES = "%a %A %b %B %d %-d %m %-m %y %Y %j %H:%M:%S %I %p %x %X"
INSIDE_A_MACRO = """\
{%- macro opening(form) %}{{ "On " + strftime_now(form) }}{%- endmacro %}
{{- opening("%A, %B %-d %y") }}
"""
WITH_A_CLOCK = {
    "gpt-oss": (GPT_OSS, "Current date: 2026-02-03\n<|im_start|>"),
    "Llama 3": (LLAMA_3, "Today Date: 03 Feb 2026\n<|im_start|>"),
    "space before": (
        "\n  {% if true %}\nOn {{ strftime_now('%Y-%m-%d') }}\n{% endif %}",
        "\nOn 2026-02-03\n<|im_start|>",
    ),
    "directives": (f"{{{{ strftime_now({DIRECTIVES!r}) }}}}", datetime(2026, 2, 3).strftime(DIRECTIVES)),
    "inside a macro": (INSIDE_A_MACRO, "On Tuesday, February 3 26\n<|im_start|>"),
}


def on(day: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day that transformers sees."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return day

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)


def with_template(folder: Path, model: Path, template: str, *, inside_config: bool = False) -> Path:
    shutil.copytree(model, folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    if inside_config:
        config["chat_template"] = template
    else:
        (folder / "chat_template.jinja").write_text(template)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("inside_config", [False, True])
@pytest.mark.parametrize(("opening", "expected"), WITH_A_CLOCK.values(), ids=WITH_A_CLOCK)
def test_a_template_that_prints_the_day_gives_the_same_tokens_tomorrow(
    engine: MlxEngine, make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opening: str,
    expected: str, inside_config: bool,
) -> None:  # fmt: skip
    folder = with_template(tmp_path / "m", make_model(), opening + TURNS, inside_config=inside_config)
    assert engine.describe(folder).dated
    fixed, clock = engine.tokenizer(folder, date(2026, 2, 3)), engine.tokenizer(folder)
    ids = []
    for day in (datetime(2026, 11, 25), datetime(2026, 11, 26)):
        on(day, monkeypatch)
        ids.append((fixed.chat(DIALOGUE), clock.chat(DIALOGUE)))
    (fixed_today, today), (fixed_tomorrow, tomorrow) = ids
    assert fixed_today == fixed_tomorrow
    assert today != tomorrow
    assert fixed.decode(fixed_today).startswith(expected)
    on(datetime(2026, 2, 3), monkeypatch)
    assert clock.chat(DIALOGUE, add_generation_prompt=True) == fixed.chat(DIALOGUE, add_generation_prompt=True)


def test_a_template_without_a_clock_is_given_nothing(engine: MlxEngine, make_model: MakeModel, tmp_path: Path) -> None:
    folder = with_template(tmp_path / "m", make_model(), "{{ strftime is defined }}" + TURNS)
    assert not engine.describe(folder).dated
    assert engine.tokenizer(folder, date(2026, 2, 3)).chat(DIALOGUE) == engine.tokenizer(folder).chat(DIALOGUE)


HELLO = "<|im_start|>user\nhello<|im_end|>\n"


def test_an_empty_list_of_tools_is_none(tmp_path: Path) -> None:
    """Templates ask whether tools are none, and a model may have a template of its own for tools."""
    tokenizer = make_family(tmp_path, "hermes", TURNS)
    tokenizer.wrapper.chat_template = {"default": "plain" + TURNS, "tool_use": "tools" + TURNS}
    assert tokenizer.render(DIALOGUE, tools=[]) == tokenizer.render(DIALOGUE) == f"plain{HELLO}"
    assert tokenizer.render(DIALOGUE, tools=TOOLS).startswith("tools")

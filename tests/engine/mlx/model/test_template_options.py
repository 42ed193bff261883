from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.mlx.families import FAMILIES, make_family
from topcoat.engine.mlx.model.template_options import options_read

USER: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]
SET_UNLESS_GIVEN = """\
{{- bos_token }}
{%- if not date_string is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- set user = messages[0].content %}
{{- date_string + user + eos_token }}"""
INSIDE_A_MACRO = """\
{%- macro opening(role) %}{{ "<" + role + ">" }}{%- if level is defined %}{{ level }}{%- endif %}{%- endmacro %}
{%- for m in messages %}{%- if loop.index > limit | default(9) %}{%- break %}{%- endif %}
{%- generation %}{{ opening(m.role) + prefix }}{%- endgeneration %}{%- endfor %}"""

SET_IN_A_BRANCH = """\
{%- for m in messages %}
{%- if m.role == "user" %}{%- set content = m.content %}{%- set level = level or 1 %}
{%- set part %}{{ level }}{% endset %}
{%- for c in content %}{{ c + content + part }}{%- endfor %}{%- endif %}{%- endfor %}"""


@pytest.mark.parametrize(
    ("template", "options"),
    [
        ("{%- for m in messages -%}{{ m.content }}{%- endfor -%}{{ '>' if add_generation_prompt }}", set()),
        (SET_UNLESS_GIVEN, {"date_string"}),
        (INSIDE_A_MACRO, {"level", "limit", "prefix"}),
        ({"default": "{{ messages }}{{ a }}", "tool_use": "{{ tools | tojson }}{{ b }}"}, {"a", "b"}),
        (SET_IN_A_BRANCH, {"level"}),
        ("", set()),
        (None, set()),
    ],
)
def test_options_are_what_a_template_reads_and_is_not_given(template: Any, options: set[str]) -> None:
    assert options_read(template) == frozenset(options)


def test_what_can_t_be_told_is_none() -> None:
    assert options_read("{% if %}") is None
    assert options_read("{{ messages | no_such_filter }}") is None
    assert options_read(lambda messages, **options: "") is None
    assert options_read(lambda messages, thinking=True, tokenize=True: "") == frozenset({"thinking"})


@pytest.mark.parametrize(
    ("family", "options"),
    [("qwen3", {"enable_thinking"}), ("smollm3", {"enable_thinking"}), ("llama3", {"date_string"}), ("hermes", set())],
)
def test_a_family_s_options(tmp_path: Path, family: str, options: set[str]) -> None:
    assert family in FAMILIES
    assert make_family(tmp_path, family).options == frozenset(options)


def test_options_are_given_to_every_rendering(tmp_path: Path) -> None:
    thinking = make_family(tmp_path, "smollm3")
    silent = make_family(tmp_path, "smollm3", options={"enable_thinking": False})
    assert "Reasoning Mode: /think" in thinking.render(USER)
    assert "Reasoning Mode: /no_think" in silent.render(USER)
    prompt = silent.decode(silent.chat(USER, add_generation_prompt=True))
    assert prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n")

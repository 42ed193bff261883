from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeTokenizer
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.project.shown import Shown, shown_by

TEMPLATES = Path(__file__).parents[1] / "support" / "templates"
WORDS = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
REFUSES = "{% if tools %}{{ raise_exception('no tools') }}{% endif %}" + WORDS
IN_SYSTEM = "{% for m in messages %}{{ m.content }}{{ tools | tojson if tools and m.role == 'system' }}{% endfor %}"
CALLS = "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls %}{{ c.function }}{% endfor %}{% endfor %}"


def test_the_fake_shows_both() -> None:
    assert shown_by(FakeTokenizer()) == Shown(tools=True, calls=True)


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        (WORDS, Shown(tools=False, calls=False)),
        (REFUSES, Shown(tools=False, calls=False)),
        (CALLS, Shown(tools=False, calls=True)),
        (IN_SYSTEM, Shown(tools=True, calls=False)),
        ("{{ tools | tojson if tools }}" + WORDS, Shown(tools=True, calls=False)),
        ((TEMPLATES / "hermes.jinja").read_text(), Shown(tools=True, calls=True)),
        ((TEMPLATES / "qwen3_coder.jinja").read_text(), Shown(tools=True, calls=True)),
        ((TEMPLATES / "mistral.jinja").read_text(), Shown(tools=True, calls=True)),
    ],
    ids=["words", "refuses", "calls", "in system", "tools", "hermes", "qwen3_coder", "mistral"],
)
def test_what_a_template_shows_is_found_by_rendering(
    engine: MlxEngine, tmp_path: Path, template: str, shown: Shown
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(TEMPLATE / "models" / "phase33b" / name, model / name)
    (model / "chat_template.jinja").write_text(template)
    assert shown_by(engine.tokenizer(model)) == shown

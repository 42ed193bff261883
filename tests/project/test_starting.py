from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_project import opened
from tests.support.gguf_files import GgufModel
from topcoat.calls.block import Direct
from topcoat.engine.fake import FakeEngine, FakeTokenizer
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.protocol import Message, Tools
from topcoat.errors import InvalidInput
from topcoat.examples.checks.templates import call_blocks
from topcoat.phases.preparation import prepare
from topcoat.progress import Silent
from topcoat.project.project import open_project
from topcoat.project.shown import Shown
from topcoat.project.starting import Started, init_project
from topcoat.spec.agent import Route
from topcoat.spec.example import Example, load_examples
from topcoat.spec.project import load_settings
from topcoat.spec.suite import Case


@pytest.mark.parametrize(
    ("model", "written"),
    [
        ("work/agent/models/base", "models/base"),
        ("work/agent/base", "./base"),
        ("work/models/base", "../models/base"),
        ("models/base", "~/models/base"),
        ("../elsewhere/base", None),
    ],
)
def test_the_base_is_written_so_that_the_project_can_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, written: str | None
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    folder = (home / model).resolve()
    FakeEngine.create(folder, [("q", "a")])
    (home / "work").mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(home / "work")
    init_project(Path("agent"), str(folder))
    settings = load_settings(home / "work" / "agent")
    assert settings.spec.project.base == (written or str(folder))
    assert Path(settings.base).resolve() == folder


def test_behind_a_link_the_path_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    FakeEngine.create(tmp_path / "base", [("q", "a")])
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "agent").symlink_to(tmp_path / "far" / "away")
    init_project(tmp_path / "agent", str(tmp_path / "base"))
    assert Path(load_settings(tmp_path / "agent").base).is_dir()


def test_git_leaves_out_what_is_large_or_private(tmp_path: Path) -> None:
    FakeEngine.create(tmp_path / "models" / "base", [("q", "a")])
    started = init_project(tmp_path, str(tmp_path / "models" / "base"))
    assert started.files[tmp_path / ".gitignore"] == "wrote"
    for name in (".topcoat/events.db", "data/new.jsonl.draft", "adapter.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout.split()
    assert sorted(listed) == [
        ".gitignore", "data/phase1.jsonl", "phases/phase1.toml", "prompts/system.md", "suites/routing.jsonl",
        "tools.json", "topcoat.toml",
    ]  # fmt: skip


@pytest.mark.parametrize("mine", ["*.pyc\n/models", "*.pyc\r\nmodels/\r\n", "\udcff\nmodels"])
def test_a_gitignore_keeps_its_lines(tmp_path: Path, mine: str) -> None:
    FakeEngine.create(tmp_path / "models" / "base", [("q", "a")])
    path = tmp_path / ".gitignore"
    before = mine.encode(errors="surrogateescape")
    path.write_bytes(before)
    done = init_project(tmp_path, str(tmp_path / "models" / "base")).files
    assert done[path] == "added .topcoat/, *.safetensors, *.draft to"
    assert path.read_bytes().startswith(before)
    assert b"\n.topcoat/\n" in path.read_bytes()
    assert b"\nmodels/\n" not in path.read_bytes().removeprefix(before)


def test_a_gitignore_with_every_line_is_left_alone(tmp_path: Path) -> None:
    FakeEngine.create(tmp_path / "models" / "base", [("q", "a")])
    path = tmp_path / ".gitignore"
    path.write_text(".topcoat\nmodels\n*.safetensors\n*.draft\n")
    assert path not in init_project(tmp_path, str(tmp_path / "models" / "base")).files
    assert path.read_text() == ".topcoat\nmodels\n*.safetensors\n*.draft\n"


class Showing(FakeEngine):
    """A fake whose chat template shows no more than `shown`."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown

    def tokenizer(self, model: Path, *more: object, **options: object) -> FakeTokenizer:
        return _Template(self.shown)


class _Template(FakeTokenizer):
    def __init__(self, shown: Shown) -> None:
        super().__init__()
        self.shown = shown

    def render(self, messages: Sequence[Message], *, tools: Tools = None, add_generation_prompt: bool = False) -> str:
        turns = messages if self.shown.calls else [{**turn, "tool_calls": None} for turn in messages]
        return super().render(
            turns, tools=tools if self.shown.tools else None, add_generation_prompt=add_generation_prompt
        )


MINE = [
    {"name": "look", "inputSchema": {"type": "object", "properties": {"q": {"pattern": "^Q{40}$"}}, "required": ["q"]}},
    {
        "name": "home.set_light",
        "description": "Turn a light on or off.\n\nAt once.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "room": {"enum": ["attic", "cellar"]},
                "on": {"type": "boolean"},
                "hue": {"type": "integer"},
            },
            "required": ["room", "on"],
        },
    },
]


def begun(folder: Path, shown: Shown | None = None, **options: Any) -> tuple[Path, Started]:
    """A new project in `folder`, around a base whose chat template shows as much as `shown`."""
    FakeEngine.create(folder / "base", [("q", "a")])
    opener = (lambda: Showing(shown)) if shown is not None else None
    return folder / "agent", init_project(folder / "agent", str(folder / "base"), opener, **options)


def findings(project: Path) -> list[str]:
    """The codes of what `topcoat check` finds."""
    with opened(project) as session:
        report = prepare(session, project / "phases" / "phase1.toml").report
    return [finding.code for finding in report.findings]


def asked_and_learned(project: Path) -> tuple[Case, Example]:
    with open_project(project) as found:
        return found.suite.cases[0], load_examples(project / "data" / "phase1.jsonl")[0].example


EXPECTED = ["no-replay", "no-validation"]
"""What `check` finds in a project of one example."""


def test_a_project_calls_tools_natively(tmp_path: Path) -> None:
    project, started = begun(tmp_path)
    case, example = asked_and_learned(project)
    assert case.expect.calls[0].args == {"path": "README.md"}
    assert [call["function"] for call in example.messages[-1].tool_calls or ()] == [
        {"name": "read_file", "arguments": {"path": "LICENSE"}}
    ]
    with open_project(project) as found:
        assert found.agent.calls == "native"
        assert [case.expect.calls for case in found.suite.cases][1:] == [[]]
    assert findings(project) == EXPECTED
    written = "".join(path.read_text() for path in started.files)
    assert "execute_code" not in written
    assert started.notes == ()


def test_a_project_in_code_is_the_one_of_old(tmp_path: Path) -> None:
    project, _ = begun(tmp_path, calls="code")
    case, example = asked_and_learned(project)
    assert case.model_dump(exclude_unset=True) == {
        "id": "files-01",
        "category": "files",
        "prompt": "Show me README.md.",
        "expect": {"calls": [{"tool": "read_file"}]},
    }
    assert [turn.content for turn in example.messages] == [
        "You are a coding agent. Call tools with execute_code.",
        "Open the licence text, please.",
        "<tool_call><function=execute_code>\n<parameter=code>\n"
        'result = read_file("LICENSE")\nprint(result.text)\n</parameter>\n</function></tool_call>',
    ]
    assert (project / "tools.pyi").read_text().startswith("class FileText:")
    assert set(findings(project)) <= {*EXPECTED, "split-delimiter"}


def test_a_catalog_makes_the_first_case_and_the_first_example(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(MINE))
    project, _ = begun(tmp_path, catalog=tmp_path / "mine.json")
    assert (project / "tools.json").read_text() == json.dumps(MINE)
    case, example = asked_and_learned(project)
    (call,) = case.expect.calls
    assert call.tool == "home.set_light"  # nothing can be made up for the first tool
    assert "Turn a light on or off" in case.text
    assert str(call.args["room"]) in case.text
    assert example.messages[1].content != case.text
    assert findings(project) == EXPECTED


def test_a_catalog_inside_the_project_is_used_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "agent" / "spec" / "my tools.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"tools": MINE}))
    project, started = begun(tmp_path, catalog=path)
    assert started.catalog == "spec/my tools.json"
    assert project / "tools.json" not in started.files
    assert findings(project) == EXPECTED


STUBS = 'def look(path: str, /, deep: bool) -> str:\n    """Look at a file."""\nasync def wait(n: int) -> str: ...\n'


@pytest.mark.parametrize(("calls", "taken"), [(None, "code"), ("code", "code"), ("native", "native")])
@pytest.mark.parametrize("stubs", [STUBS, STUBS.partition("\n")[2].partition("\n")[2]])
def test_stubs_can_be_called_both_ways(tmp_path: Path, calls: Route | None, taken: str, stubs: str) -> None:
    (tmp_path / "mine.pyi").write_text(stubs)
    project, _ = begun(tmp_path, catalog=tmp_path / "mine.pyi", calls=calls)
    with open_project(project) as found:
        assert found.agent.calls == taken
    assert set(findings(project)) <= {*EXPECTED, "split-delimiter"}


def test_a_catalog_that_does_not_fit_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(MINE))
    (tmp_path / "bare.json").write_text(json.dumps(MINE[:1]))
    with pytest.raises(InvalidInput, match=r"mine\.json: 1 mistake"):
        begun(tmp_path / "a", catalog=tmp_path / "mine.json", calls="code")
    with pytest.raises(InvalidInput, match="no arguments can be made up"):
        begun(tmp_path / "b", catalog=tmp_path / "bare.json")
    assert not (tmp_path / "a" / "agent").exists()
    assert not (tmp_path / "b" / "agent").exists()


@pytest.mark.parametrize(
    ("shown", "noted"),
    [
        (Shown(tools=False, calls=False), ["doesn't show tools", "doesn't write calls", "--calls code"]),
        (Shown(tools=False, calls=True), ["doesn't show tools", "--calls code"]),
        (Shown(tools=True, calls=False), ["doesn't write calls", "--calls code"]),
        (Shown(), []),
    ],
    ids=["nothing", "calls", "tools", "both"],
)
def test_what_the_template_does_not_show_is_written_as_text(tmp_path: Path, shown: Shown, noted: list[str]) -> None:
    project, started = begun(tmp_path, shown)
    assert [part in note for part, note in zip(noted, started.notes, strict=True)] == [True] * len(noted)
    _, example = asked_and_learned(project)
    assert ("read_file" in (example.messages[0].content or "")) is not shown.tools
    assert bool(example.messages[-1].tool_calls) is shown.calls
    with opened(project, Showing(shown)) as session:
        prepared = prepare(session, project / "phases" / "phase1.toml")
    assert [found.code for found in prepared.report.findings if found.severity == "error"] == []
    blocks = call_blocks(example.messages[-1])
    assert [(block.name, block.arguments) for block in blocks if isinstance(block, Direct)] == [
        ("read_file", {"path": "LICENSE"})
    ]


def test_a_gguf_file_becomes_a_folder_of_the_project(tmp_path: Path, engine: MlxEngine) -> None:
    file = GgufModel("qwen3").write(tmp_path / "tiny.Q8_0.gguf")
    started = init_project(tmp_path / "agent", str(file), lambda: engine)
    model = tmp_path / "agent" / "models" / "tiny.Q8_0"
    assert next(iter(started.files.items())) == (model, "converted tiny.Q8_0.gguf to")
    assert "no number is rounded" in started.notes[0]
    assert load_settings(tmp_path / "agent").spec.project.base == "models/tiny.Q8_0"
    assert engine.describe(model).num_layers == 2


def test_a_base_that_was_converted_before_is_kept(tmp_path: Path, engine: MlxEngine) -> None:
    file = GgufModel("qwen3").write(tmp_path / "tiny.gguf")
    engine.convert(file, tmp_path / "models" / "tiny", Silent())
    started = init_project(tmp_path, str(file), lambda: engine)
    assert started.files[tmp_path / "models" / "tiny"] == "kept what was converted from tiny.gguf to"


def test_a_converted_base_is_gone_again_if_the_project_cannot_begin(tmp_path: Path, engine: MlxEngine) -> None:
    file = GgufModel("qwen3").write(tmp_path / "tiny.gguf")
    (tmp_path / "agent" / "suites").mkdir(parents=True)
    (tmp_path / "agent" / "suites" / "routing.jsonl").touch()
    with pytest.raises(InvalidInput, match="is there already"):
        init_project(tmp_path / "agent", str(file), lambda: engine)
    assert not (tmp_path / "agent" / "models" / "tiny").exists()
    assert not (tmp_path / "agent" / "topcoat.toml").exists()


def test_a_file_needs_an_engine_that_reads_it(tmp_path: Path) -> None:
    file = GgufModel("qwen3").write(tmp_path / "tiny.gguf")
    with pytest.raises(InvalidInput, match="no engine to convert it"):
        init_project(tmp_path / "agent", str(file))
    with pytest.raises(InvalidInput, match="is no fake model") as refused:
        init_project(tmp_path / "agent", str(file), FakeEngine)
    assert refused.value.hint == f"topcoat --engine mlx init --base {file}"
    assert not (tmp_path / "agent").exists()

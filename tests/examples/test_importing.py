from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.data_sets import DATA_SETS, calls_of
from topcoat.errors import InvalidInput, Refused
from topcoat.examples import importing
from topcoat.examples.importing import import_examples
from topcoat.spec.example import load_examples

SHAREGPT: dict[str, Any] = {
    "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}],
    "lang": "en",
}


@pytest.mark.parametrize("as_list", [False, True])
def test_import(tmp_path: Path, as_list: bool) -> None:
    source, target = tmp_path / "source.json", tmp_path / "new" / "data.jsonl"
    rows = [SHAREGPT, {**SHAREGPT, "system": "s"}]
    source.write_text(json.dumps(rows, indent=1) if as_list else "\n".join(map(json.dumps, rows)))
    done = import_examples(str(source), target)
    assert (done.format, done.examples, done.path) == ("sharegpt", 2, str(target))
    read = load_examples(target)
    assert [[m.role for m in e.example.messages] for e in read] == [
        ["user", "assistant"],
        ["system", "user", "assistant"],
    ]
    assert (read[0].example.model_extra or {})["lang"] == "en"
    with pytest.raises(Refused, match="exists already"):
        import_examples(str(source), target)


def test_an_import_names_every_mistake_and_writes_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "source.json", tmp_path / "data.jsonl"
    broken = [SHAREGPT, {"conversations": []}, {"conversations": [{"from": "gpt", "value": "b"}]}]
    source.write_text(json.dumps(broken, indent=1))
    with pytest.raises(InvalidInput) as caught:
        import_examples(str(source), target)
    lines = source.read_text().splitlines()
    named = [(m.where.line, m.message) for m in caught.value.mistakes if m.where]
    assert [lines[line - 1] for line, _ in named if line] == [" {", " {"]
    assert "must be a list of turns" in named[0][1]
    assert "can't stand at the start" in named[1][1]
    assert not target.exists()


@pytest.mark.parametrize(
    ("text", "form", "message"),
    [
        ('{"prompt": "a"}', None, "no known format"),
        ('{"prompt": "a"}', "vicuna", 'no format "vicuna"'),
        ('[{"a": 1}, {', None, "broken at the item"),
        ("[1]", None, "1 mistake"),
        ("", None, "1 mistake"),
        ("[]", None, "keys of no known format|1 mistake"),
    ],
)
def test_what_can_t_be_imported_is_refused(tmp_path: Path, text: str, form: str | None, message: str) -> None:
    source = tmp_path / "source.json"
    source.write_text(text)
    with pytest.raises(InvalidInput, match=message):
        import_examples(str(source), tmp_path / "data.jsonl", form)


needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="the hint runs jq")


@needs_jq
@pytest.mark.parametrize("as_list", [False, True])
def test_the_hint_makes_dialogues_of_lines_in_an_unknown_format(tmp_path: Path, as_list: bool) -> None:
    source = tmp_path / "my data.jsonl"
    rows = ['{"id": 1, "query": "Lamp on", "answers": [{"name": "lamp"}]}'] * 2
    source.write_text(f"[{','.join(rows)}]" if as_list else "\n".join(rows))
    with pytest.raises(InvalidInput, match="no known format: id, query, answers") as caught:
        import_examples(str(source), tmp_path / "data.jsonl")
    subprocess.run(str(caught.value.hint), shell=True, cwd=tmp_path, check=True)
    assert import_examples(str(tmp_path / "NEW.jsonl"), tmp_path / "data.jsonl").examples == 2
    made = json.loads((tmp_path / "data.jsonl").read_text().splitlines()[0])["messages"]
    assert [turn["content"] for turn in made] == ["Lamp on", '[{"name":"lamp"}]']


@needs_jq
@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "a", "chosen": "b", "rejected": "c"},
        {"chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "rejected": []},
        {
            **SHAREGPT,
            "conversations": SHAREGPT["conversations"][:1],
            "chosen": {"from": "gpt", "value": "b"},
            "rejected": {},
        },
        {
            "input": {"messages": [{"role": "user", "content": "a"}]},
            "preferred_output": [{"role": "assistant", "content": "b"}],
        },
    ],
)
def test_the_hint_makes_examples_of_the_better_answers(tmp_path: Path, row: dict[str, Any], as_list: bool) -> None:
    (tmp_path / "a.json").write_text(json.dumps([row, row] if as_list else row))
    with pytest.raises(InvalidInput, match="a better and a worse answer") as caught:
        import_examples(str(tmp_path / "a.json"), tmp_path / "data.jsonl")
    subprocess.run(str(caught.value.hint), shell=True, cwd=tmp_path, check=True)
    assert import_examples(str(tmp_path / "NEW.jsonl"), tmp_path / "data.jsonl").examples == 1 + as_list
    messages = load_examples(tmp_path / "data.jsonl")[0].example.messages
    assert [message.content for message in messages] == ["a", "b"]


def test_a_table_is_imported_as_lines_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = [SHAREGPT, {"conversations": []}, {**SHAREGPT, "lang": "\ud800"}]
    monkeypatch.setattr(importing, "read_table", lambda source: rows if source == "hf:a/b" else [])
    with pytest.raises(InvalidInput) as caught:
        import_examples("hf:a/b", tmp_path / "data.jsonl")
    named = [(str(mistake.where), mistake.message) for mistake in caught.value.mistakes]
    assert [where for where, _ in named] == ["hf:a/b:2", "hf:a/b:3"]
    assert "surrogate" in named[1][1]
    del rows[1:]
    assert import_examples("hf:a/b", tmp_path / "data.jsonl").examples == 1
    assert (load_examples(tmp_path / "data.jsonl")[0].example.model_extra or {})["lang"] == "en"
    with pytest.raises(InvalidInput, match="1 mistake"):
        import_examples("hf:empty/one", tmp_path / "other.jsonl")


def test_lines_that_can_t_be_read_may_be_left_out_and_are_named(tmp_path: Path) -> None:
    rows = [
        SHAREGPT,
        {"conversations": []},
        {**SHAREGPT, "tools": "{x}"},
        {"conversations": [{"from": "gpt", "value": "b"}]},
    ]
    source, target = tmp_path / "my source.jsonl", tmp_path / "data.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)) + "\nno json\n")
    with pytest.raises(InvalidInput, match="1 of 5 lines can be read") as caught:
        import_examples(str(source), target)
    assert not target.exists()
    (again,) = [mistake.hint for mistake in caught.value.mistakes if mistake.hint and "--leave-out" in mistake.hint]
    assert shlex.split(again, comments=True)[3:] == [str(source), "--to", str(target), "--leave-out"]
    done = import_examples(str(source), target, leave_out=True)
    assert done.examples == len(load_examples(target)) == 1
    assert [line.removeprefix(f"{source}:")[0] for line in done.left_out] == ["2", "3", "4", "5"]
    assert "tools: not JSON" in done.left_out[1]
    source.write_text(json.dumps(rows[1]))
    with pytest.raises(InvalidInput, match="1 mistake"):
        import_examples(str(source), tmp_path / "other.jsonl", leave_out=True)


def test_what_an_import_does_to_the_lines_is_counted_and_said(tmp_path: Path) -> None:
    line = next(one.line for one in DATA_SETS if one.form == "hermes")
    refused = {"conversations": [line["conversations"][0]]}
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, [line, SHAREGPT, line, refused])))
    done = import_examples(str(tmp_path / "a.jsonl"), tmp_path / "b.jsonl", leave_out=True)
    assert (done.format, done.examples, len(done.left_out)) == ("hermes", 3, 1)
    assert [note.partition(": ")[0] for note in done.notes] == ["2 system prompts"]
    assert import_examples(str(tmp_path / "a.jsonl"), tmp_path / "c.jsonl", calls="code", leave_out=True).notes == []
    (tmp_path / "a.jsonl").write_text(json.dumps(DATA_SETS[0].line))
    assert import_examples(str(tmp_path / "a.jsonl"), tmp_path / "d.jsonl", calls="code").notes == [
        "1 example: its calls are text in the answer, because the project's answers call tools from code"
    ]


def test_a_known_data_set_without_examples_is_refused_by_name(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps({"prompt": "a", "chosen": "b", "rejected": "c"}))
    with pytest.raises(InvalidInput, match="a better and a worse answer") as caught:
        import_examples(str(source), tmp_path / "data.jsonl")
    assert str(source) in str(caught.value.hint)
    with pytest.raises(InvalidInput, match="1 mistake"):
        import_examples(str(source), tmp_path / "data.jsonl", "chat")


def test_openai_calls_survive_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason='Parquet is read with pyarrow: pip install ".[datasets]"')
    calls = [("read", {"path": "a"}), ("find", {"text": "b"})]
    functions = [{"function": {"name": name, "arguments": arguments}} for name, arguments in calls]
    asked = {"role": "user", "content": "?"}
    rows = [{"messages": [asked, {"role": "assistant", "tool_calls": [function]}]} for function in functions]
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert import_examples(str(tmp_path / "a.parquet"), tmp_path / "data.jsonl").format == "openai"
    examples = [located.example for located in load_examples(tmp_path / "data.jsonl")]
    assert [calls_of(example) for example in examples] == [[call] for call in calls]


@pytest.mark.parametrize("target", ["", ".", "file/data.jsonl"])
def test_a_place_that_can_t_become_a_file_is_refused_before_reading(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(Refused):
        import_examples("no such source", Path(target))

from __future__ import annotations

import json
from pathlib import Path

import pytest

from topcoat.errors import InvalidInput
from topcoat.usage.events import Event
from topcoat.usage.importing import export_events, import_events, open_log, summarize_events

ROLES = ("user", "assistant")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "topcoat.toml").write_text("")
    return tmp_path


def test_what_is_exported_can_be_imported_elsewhere(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    events = [Event(session="s", kind="request", query=f"question {i}") for i in range(3)]
    with open_log(project) as log:
        log.add(events)
    file = project / "events.jsonl"
    file.write_text("".join(export_events(project)))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "topcoat.toml").write_text("")
    assert import_events(elsewhere, file)[0].new == 3
    assert import_events(elsewhere, file)[0].known == 3
    with open_log(elsewhere) as log:
        assert list(log.events()) == events


def test_a_garbage_line_is_named_and_the_others_are_kept(project: Path) -> None:
    file = project / "events.jsonl"
    file.write_text(f"{Event(session='s', kind='closed').model_dump_json()}\nnonsense\n")
    done, mistakes = import_events(project, file)
    assert (done.new, [str(mistake.where) for mistake in mistakes]) == (1, [f"{file}:2"])


def test_the_summary_counts_kinds(project: Path) -> None:
    with open_log(project) as log:
        log.add([Event(session="a", kind="request"), Event(session="b", kind="request")])
        log.add([Event(session="b", kind="merged")])
    found = summarize_events(project)
    assert (found.sessions, found.events, found.kinds) == (2, 3, {"request": 2, "merged": 1})


def test_outside_a_project_there_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no topcoat\.toml"):
        open_log(tmp_path)


def test_spans_that_repeat_the_dialogue_so_far_add_what_is_new(project: Path) -> None:
    turns = [{"role": role, "parts": [{"type": "text", "content": role + str(i)}]} for i in range(3) for role in ROLES]

    def span(count: int) -> str:
        messages = {"gen_ai.input.messages": turns[: count - 1], "gen_ai.output.messages": turns[count - 1 : count]}
        return json.dumps({"traceId": "t", "attributes": {key: json.dumps(value) for key, value in messages.items()}})

    file = project / "spans.jsonl"
    file.write_text("\n".join([span(2), "garbage", span(4), span(6), '{"attributes": {"gen_ai.input.messages": "["}}']))
    done, mistakes = import_events(project, file)
    assert (done.format, done.new, done.known) == ("otel", 3, 0)
    assert [str(mistake.where) for mistake in mistakes] == [f"{file}:2", f"{file}:5"]
    assert import_events(project, file)[0].known == 3
    with open_log(project) as log:
        assert [event.answer for event in log.events("t")] == ["assistant0", "assistant1", "assistant2"]


def test_logs_without_sessions_are_one_each_and_can_be_imported_again(project: Path) -> None:
    file = project / "chat.jsonl"
    lines = [[{"role": "user", "content": "hello"}, {"role": "assistant", "content": said}] for said in ("hi", "ho")]
    file.write_text("".join(json.dumps({"messages": line}) + "\n" for line in lines))
    assert import_events(project, file)[0].new == 2
    assert import_events(project, file, "chat")[0].known == 2
    with open_log(project) as log:
        assert len(log.sessions()) == 2


@pytest.mark.parametrize(("text", "form"), [("{}\n", None), ("garbage", None), ("{}\n", "song")])
def test_a_file_of_no_known_format_is_refused(project: Path, text: str, form: str | None) -> None:
    (project / "x.jsonl").write_text(text)
    with pytest.raises(InvalidInput):
        import_events(project, project / "x.jsonl", form)

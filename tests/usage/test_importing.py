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


def wrote(project: Path, *documents: object) -> Path:
    file = project / "log.jsonl"
    file.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return file


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"prompt": "hello", "verdict": 3}, "no known format; the keys are prompt, verdict"),
        ({"attributes": {"http.method": "GET"}, "name": "GET /"}, "read as otel; the keys are attributes, name"),
        ({"messages": [{"type": "person", "data": {"content": "hello"}}]}, "a message has no role"),
        ({"attributes": {"gen_ai.prompt.0.content": "hello"}}, "another convention: gen_ai.prompt.0.content"),
        ({"attributes": {"llm.input_messages.0.message.role": "user"}}, "another convention: llm.input_messages"),
        ({"attributes": {"openinference.span.kind": "LLM", "input.value": "{}"}}, "convention: input.value"),
        ({"attributes": {"ai.prompt.messages": "[]"}}, "another convention: ai.prompt.messages"),
        ({"attributes": {}, "events": [{"name": "gen_ai.choice"}]}, "another convention: gen_ai.choice"),
        ({"attributes": {"gen_ai.system": "x", "events": "[]"}}, "another convention: events"),
        ({"attributes": {"events": "[]", "gen": 1}}, "read as otel; the keys are attributes"),
        ({"attributes": {"gen_ai.operation.name": "chat"}}, "gen_ai.operation.name is chat, no messages"),
    ],
)
def test_an_import_that_keeps_nothing_is_refused_and_tells_what_was_found(
    project: Path, document: object, told: str
) -> None:
    file = wrote(project, document)
    with pytest.raises(InvalidInput) as refused:
        import_events(project, file)
    assert refused.value.exit_code == 2
    assert told in " ".join(mistake.message for mistake in refused.value.mistakes)
    assert '{"messages": [{"role": "user"' in (refused.value.mistakes[-1].hint or "")


def test_an_empty_dialogue_is_named_and_the_others_are_kept(project: Path) -> None:
    good = [{"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "hello"}]}]
    other = [{"kind": "response", "parts": [{"part_kind": "text", "content": "good morning"}]}]
    empty = {"kind": "response", "parts": []}
    file = wrote(project, {"messages": [empty]}, good, [{"kind": "request", "parts": []}], {"messages": other})
    done, mistakes = import_events(project, file)
    assert (done.new, [mistake.where and mistake.where.line for mistake in mistakes]) == (2, [1, 3])
    assert "no turn says anything" in done.problems[0]


def test_a_bad_span_among_good_ones_is_named_and_the_others_are_kept(project: Path) -> None:
    said = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hello"}]}])
    good = {"attributes": {"gen_ai.input.messages": said}}
    done, mistakes = import_events(project, wrote(project, [{"attributes": {"llm.prompts.0.content": "hi"}}, good]))
    assert (done.new, [mistake.message.split(":")[0] for mistake in mistakes]) == (1, ["1 of 2"])


def test_a_dialogue_among_spans_is_named(project: Path) -> None:
    said = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hello"}]}])
    chat = {"messages": [{"role": "user", "content": "hello"}]}
    done, mistakes = import_events(project, wrote(project, {"attributes": {"gen_ai.input.messages": said}}, chat))
    assert (done.new, [mistake.message for mistake in mistakes]) == (1, ["not otel: it has the keys of chat"])


REPORTS = Path(__file__).parents[3] / "shared" / "data" / "reports"


def reported(name: str) -> Path:
    if not (REPORTS / name).exists():
        pytest.skip(f"{name} isn't on this machine")
    return REPORTS / name


@pytest.mark.parametrize(
    "name",
    [
        "otel-conventions/otel-openllmetry.json",
        "otel-conventions/otel-spanevents.json",
        "session-logs/claude-code.jsonl",
        "session-logs/codex.jsonl",
    ],
)
def test_reported_logs_of_other_formats_are_refused(project: Path, name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        import_events(project, reported(name))
    assert "the keys are" in refused.value.mistakes[-1].message


def test_a_reported_log_with_empty_dialogues_keeps_the_other(project: Path) -> None:
    done, mistakes = import_events(project, reported("empty-parts/pai-emptyparts.jsonl"))
    assert (done.new, [mistake.where and mistake.where.line for mistake in mistakes]) == (1, [2, 3])

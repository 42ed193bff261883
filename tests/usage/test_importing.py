from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.usage.session_files import (
    claude_session,
    codex_session,
    gemini_session,
    opencode_session,
    qwen_session,
)
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
        ({"attributes": {"gen_ai.request.messages": "[]"}}, "another convention: gen_ai.request.messages"),
        ({"attributes": {"llm.prompts": "hello"}}, "another convention: llm.prompts"),
        ({"attributes": {"openinference.span.kind": "LLM", "input.value": "{}"}}, "convention: input.value"),
        ({"attributes": {"ai.prompt.messages": "[]"}}, "no turn says anything"),
        ({"attributes": {}, "events": [{"name": "gen_ai.choice"}]}, "no turn says anything"),
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
    done, mistakes = import_events(project, wrote(project, [{"attributes": {"llm.prompts": "hi"}}, good]))
    assert (done.new, [mistake.message.split(":")[0] for mistake in mistakes]) == (1, ["1 of 2"])


def test_a_file_of_two_formats_is_read_as_both(project: Path) -> None:
    said = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hello"}]}])
    chat = {"messages": [{"role": "user", "content": "good morning"}]}
    odd: dict[str, object] = {"messages": []}
    done, mistakes = import_events(project, wrote(project, {"attributes": {"gen_ai.input.messages": said}}, chat, odd))
    assert (done.new, done.format) == (2, "otel, chat")
    assert [mistake.message for mistake in mistakes] == ["not otel: it has the keys messages"]


REPORTS = Path(__file__).parents[3] / "shared" / "data" / "reports"


def reported(name: str) -> Path:
    if not (REPORTS / name).exists():
        pytest.skip(f"{name} isn't on this machine")
    return REPORTS / name


LAMP = [("user", "Lamp on in the den"), ("call", "set_lamp")]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("otel-conventions/otel-openllmetry.json", LAMP),
        ("otel-conventions/otel-spanevents.json", LAMP),
        ("session-logs/claude-code.jsonl", [*LAMP, ("worked", "set_lamp"), ("said", "It is on.")]),
        ("session-logs/codex.jsonl", [*LAMP, ("worked", "set_lamp"), ("said", "It is on.")]),
        ("langchain/lc-wrapped.jsonl", [*LAMP, ("worked", "set_lamp"), ("said", "It is on.")]),
        (
            "anthropic-messages/anthropic.jsonl",
            [*LAMP, ("failed", "set_lamp"), ("call", "set_lamp"), ("worked", "set_lamp"), ("said", "It is on.")],
        ),
        (
            "answer-beside-messages/litellm.jsonl",
            [*LAMP[:1], ("said", "Which lamp?"), ("user", "The tall one"), ("call", "set_lamp")],
        ),
        (
            "answer-beside-messages/oai-choices.jsonl",
            [*LAMP, ("worked", "set_lamp"), ("said", "The lamp is on.")],
        ),
        ("answer-beside-messages/oai-flat.jsonl", [*LAMP, ("worked", "set_lamp"), ("said", "The lamp is on.")]),
    ],
)
def test_reported_logs_are_read(project: Path, name: str, told: list[tuple[str, str]]) -> None:
    done, mistakes = import_events(project, reported(name))
    assert mistakes == []
    assert import_events(project, reported(name))[0].new == 0
    with open_log(project) as log:
        assert [each for event in log.events() for each in _told(event)] == told
        assert len(log.sessions()) == 1
    assert done.problems == []


def _told(event: Event) -> Iterator[tuple[str, str]]:
    if event.query:
        yield "user", event.query
    yield from (("call", call.name) for call in event.calls)
    if event.answer and not event.calls:
        yield "said", event.answer
    if event.result is not None:
        yield "worked" if event.result.success else "failed", event.tool


def test_a_reported_log_with_empty_dialogues_keeps_the_other(project: Path) -> None:
    done, mistakes = import_events(project, reported("empty-parts/pai-emptyparts.jsonl"))
    assert (done.new, [mistake.where and mistake.where.line for mistake in mistakes]) == (1, [2, 3])


def test_an_import_judges_results_by_the_projects_marks(project: Path) -> None:
    (project / "topcoat.toml").write_text('[capture.success]\nfailure = ["^FEHLER"]\n')
    call = {"id": "1", "function": {"name": "scan", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "scan it"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "FEHLER 7"},
    ]
    file = project / "log.jsonl"
    file.write_text(json.dumps({"messages": turns}))
    import_events(project, file)
    with open_log(project) as log:
        [result] = [event.result for event in log.events() if event.result]
    assert result.success is False


SESSIONS: dict[str, list[Any]] = {
    "claude-code": claude_session(),
    "codex": codex_session(),
    "qwen-code": qwen_session(),
}


def stored(project: Path) -> list[Event]:
    with open_log(project) as log:
        return [event.model_copy(update={"time": event.time.min}) for event in log.events()]


@pytest.mark.parametrize("form", SESSIONS)
def test_a_session_that_grew_line_by_line_is_stored_as_if_it_was_imported_once(
    project: Path, tmp_path_factory: pytest.TempPathFactory, form: str
) -> None:
    lines = SESSIONS[form]
    for count in range(1, len(lines) + 1):
        with suppress(InvalidInput):  # at first, nothing is said
            import_events(project, wrote(project, *lines[:count]))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "topcoat.toml").write_text("")
    import_events(elsewhere, wrote(elsewhere, *lines))
    assert [_said(event) for event in _once(stored(project))] == [_said(event) for event in stored(elsewhere)]
    questions = [[event.query for event in stored(place) if event.query] for place in (project, elsewhere)]
    assert questions[0] == questions[1]
    assert import_events(project, wrote(project, *lines))[0].new == 0


def _said(event: Event) -> tuple[object, ...]:
    return (event.kind, event.query, event.answer, [call.arguments for call in event.calls], event.tool, event.result)


def _once(events: list[Event]) -> Iterator[Event]:
    """Events with a question that was stored before its answer put together with the answer."""
    waiting: Event | None = None
    for event in events:
        if event.query and event.answer is None and not event.calls:
            waiting = event
        else:
            yield event.model_copy(update={"query": waiting.query}) if waiting else event
            waiting = None


def test_a_folder_is_read_with_all_in_it_and_each_file_by_its_content(project: Path) -> None:
    for name, document in {
        "a/claude.jsonl": SESSIONS["claude-code"],
        "a/deep/gemini.log": gemini_session(),
        "b/codex.jsonl": SESSIONS["codex"],
        "b/opencode.json": [opencode_session()],
        "settings.json": [{"theme": "dark"}],
        "notes.md": ["hello"],
        "old.jsonl.zst": ["hello"],
    }.items():
        path = project / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in document))
    done, mistakes = import_events(project, project / "logs")
    assert done.format.split(", ") == ["claude-code", "gemini-cli", "codex", "opencode"]
    assert (done.files, done.new) == (4, 16)
    assert done.passed[".md file"] == 1
    told = {mistake.where.path.name if mistake.where else "": mistake for mistake in mistakes}
    assert told["settings.json"].message == "the keys are those of no known format; the keys are theme"
    assert told["old.jsonl.zst"].hint == f"zstd -d {project / 'logs' / 'old.jsonl.zst'}"
    assert (import_events(project, project / "logs")[0].new, len(told)) == (0, 2)


def test_a_compressed_file_and_a_folder_without_logs_are_refused(project: Path) -> None:
    (project / "log.jsonl.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(InvalidInput, match="compressed"):
        import_events(project, project / "log.jsonl.gz")
    (project / "empty").mkdir()
    with pytest.raises(InvalidInput) as refused:
        import_events(project, project / "empty")
    assert ".jsonl, .json or .log" in refused.value.mistakes[0].message


def test_a_pipe_and_a_link_to_a_folder_are_named_and_not_opened(project: Path) -> None:
    logs, elsewhere = project / "logs", project / "elsewhere"
    logs.mkdir()
    elsewhere.mkdir()
    (logs / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in SESSIONS["codex"]))
    os.mkfifo(logs / "pipe.jsonl")
    (logs / "linked").symlink_to(elsewhere)
    (logs / "nowhere.jsonl").symlink_to(logs / "gone.jsonl")
    done, mistakes = import_events(project, logs)
    assert done.files == 1
    assert {mistake.where.path.name: mistake.message for mistake in mistakes if mistake.where} == {
        "linked": "a link to a folder isn't followed",
        "nowhere.jsonl": "neither a file nor a link to one",
        "pipe.jsonl": "neither a file nor a link to one",
    }
    assert next(m.hint for m in mistakes if "link" in m.message) == f"topcoat events import {elsewhere.resolve()}"


def test_a_line_that_is_no_text_costs_only_itself(project: Path) -> None:
    file = project / "log.jsonl"
    line = b'{"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "%s"}]}\n'
    file.write_bytes(line % b"hi" + line % b"\xff" + line % b"ho")
    done, mistakes = import_events(project, file)
    assert (done.new, [mistake.message for mistake in mistakes]) == (2, ["the line isn't UTF-8"])
    assert mistakes[0].where is not None
    assert mistakes[0].where.line == 2


def test_opencodes_database_is_read_where_it_lies(project: Path) -> None:
    session = opencode_session()
    path = project / "data" / "opencode.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE session (id, project_id, directory, time_created)")
        database.execute("CREATE TABLE message (id, session_id, time_created, data)")
        database.execute("CREATE TABLE part (id, message_id, session_id, data)")
        database.execute("INSERT INTO session VALUES ('s-1', 'global', '/w', 1793527200000)")
        for message in session["messages"]:
            key, time = message["info"].pop("id"), message["info"]["time"]["created"]
            database.execute("INSERT INTO message VALUES (?, 's-1', ?, ?)", (key, time, json.dumps(message["info"])))
            for part in message["parts"]:
                values = (part.pop("id"), key, json.dumps(part))
                database.execute("INSERT INTO part VALUES (?, ?, 's-1', ?)", values)
    done, _ = import_events(project, project / "data")
    assert (done.format, done.new, import_events(project, path)[0].known) == ("opencode", 4, 4)
    (project / "other").mkdir()
    (project / "other" / "opencode.db").write_text("no database, but long enough to be looked at")
    with pytest.raises(InvalidInput) as refused:
        import_events(project, project / "other")
    assert "can't read opencode's database" in refused.value.mistakes[0].message


def test_a_session_whose_name_looks_like_a_secret_keeps_a_name_of_its_own(project: Path) -> None:
    def named(name: str, said: str) -> dict[str, Any]:
        return {"session": name, "messages": [{"role": "user", "content": said}]}

    names = ["ses_de9810d2dffeuKu6zKEQfn0C3G", "ses_aa9810d2dffeuKu6zKEQfn0C3H"]
    file = wrote(project, *(named(name, f"hello {name[-1]}") for name in names))
    import_events(project, file)
    with open_log(project) as log:
        sessions = set(log.sessions())
    assert len(sessions) == 2
    assert not sessions & {*names, "[secret]"}
    assert import_events(project, file)[0].new == 0


def test_the_first_event_of_a_dialogue_has_the_tools_that_its_request_brought(project: Path) -> None:
    tools = [{"name": "set_lamp", "input_schema": {"type": "object", "properties": {"room": {"type": "string"}}}}]
    answers = [{"role": "assistant", "content": text} for text in ("hi", "bye")]
    asked = [{"role": "user", "content": text} for text in ("hello", "good night")]
    first = {"messages": [asked[0]], "tools": tools, "response": answers[0]}
    second = {"messages": [asked[0], answers[0], asked[1]], "tools": tools, "response": answers[1]}
    import_events(project, wrote(project, first, second))
    with open_log(project) as log:
        found = list(log.events())
    assert [(event.query, event.answer) for event in found] == [("hello", "hi"), ("good night", "bye")]
    assert len({event.session for event in found}) == 1
    function = {"name": "set_lamp", "parameters": tools[0]["input_schema"]}
    assert [event.tools for event in found] == [[{"type": "function", "function": function}], None]


def test_events_have_the_times_of_their_turns(project: Path) -> None:
    import_events(project, wrote(project, *SESSIONS["codex"]))
    with open_log(project) as log:
        assert [event.time.second for event in log.events()] == [3, 4, 4, 5]


def test_a_dialogue_that_goes_on_does_not_bring_its_tools_again(project: Path) -> None:
    tools = [{"type": "function", "function": {"name": "stop", "parameters": {"type": "object"}}}]
    turns = [{"role": role, "content": role + str(number)} for number in range(2) for role in ROLES]
    import_events(project, wrote(project, *({"messages": turns[:count], "tools": tools} for count in (2, 4))))
    with open_log(project) as log:
        assert [event.tools for event in log.events()] == [tools, None]

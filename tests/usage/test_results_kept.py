"""Results that are kept: what is planted in them, and in all else that is captured, is in no file of the project."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("phonenumbers", reason="the extra is not installed: pip install 'topcoat[results]'")
pytest.importorskip("stdnum", reason="the extra is not installed: pip install 'topcoat[results]'")

import topcoat
from tests.support.planted import PLANTED, as_results, found_in
from tests.support.usage.front import CHAT, request, streamed, whole, world
from topcoat.errors import InvalidInput, Refused
from topcoat.spec.project import CaptureSection
from topcoat.usage.capture.recording import stop_recording
from topcoat.usage.events import Event, ToolResult
from topcoat.usage.importing import export_events, import_events, open_log, summarize_events
from topcoat.usage.log import EventLog
from topcoat.usage.privacy import personal

KEEP = CaptureSection(results="keep")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "topcoat.toml").write_text('[capture]\nresults = "keep"\n')
    return tmp_path


def dialogue(text: str) -> list[dict[str, Any]]:
    """A dialogue that says `text` in the question, in arguments, in every form of result and in the last answer."""
    results = as_results(text)
    arguments = json.dumps({"note": text, "list": [text], "deep": json.dumps({"a": text})})
    calls = [
        {"id": f"c{i}", "type": "function", "function": {"name": "look", "arguments": arguments}}
        for i in range(len(results))
    ]
    return [
        {"role": "system", "content": f"You help {text}"},
        {"role": "user", "content": f"Look for {text} please."},
        {"role": "assistant", "content": f"I look for {text}", "tool_calls": calls},
        *({"role": "tool", "tool_call_id": f"c{i}", "content": result} for i, result in enumerate(results)),
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_clean(folder: Path) -> None:
    files = {name: found for name, data in files_of(folder).items() if (found := found_in(data))}
    assert files == {}


def test_there_are_twenty_five_kinds_and_all_are_seen_where_they_stand() -> None:
    assert len(PLANTED) >= 25
    for kind, text in PLANTED.items():
        assert all(kind in found_in(form.encode()) for form in as_results(text)[:5])


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_nothing_that_is_planted_is_stored_by_the_front(tmp_path: Path, stream: bool) -> None:
    said = "; ".join(PLANTED.values())
    pieces = [{"content": said[i : i + 7]} for i in range(0, len(said), 7)]

    async def scene() -> int:
        answer = streamed(*pieces) if stream else whole(said)
        async with world(tmp_path, answer, capture=KEEP) as (made, client):
            for text in PLANTED.values():
                async with client.post(CHAT, data=request(*dialogue(text), user=text)) as response:
                    await response.read()
            kept = made.events()
        assert len({event.session for event in kept}) == len(PLANTED)  # each is named by what is planted
        return sum(bool(event.result and event.result.content) for event in kept)

    assert asyncio.run(scene()) == len(PLANTED) * len(as_results(""))
    assert_clean(tmp_path)


@pytest.mark.slow
def test_nothing_that_is_planted_is_stored_by_an_import(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = tmp_path_factory.mktemp("source") / "log.jsonl"
    lines = [
        {"messages": [*dialogue(text), {"role": "assistant", "content": f"Found {text}."}]} for text in PLANTED.values()
    ]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done, mistakes = import_events(project, source)
    assert (mistakes, done.new > len(PLANTED)) == ([], True)
    assert_clean(project)
    assert found_in("".join(export_events(project)).encode()) == []


def test_nothing_that_is_planted_is_stored_by_an_agents_own_record(project: Path) -> None:
    for text in PLANTED.values():
        result = {"success": True, "content": as_results(text)[-1]}
        assert topcoat.record("tool_call", session="s", project=project, tool="f", result=result, errors=[text])
        assert topcoat.record("retry", session="s", project=project, original=text, corrected=f"f({text!r})")
    assert stop_recording().kept == 2 * len(PLANTED)
    assert_clean(project)


def test_events_that_kept_results_give_them_up_in_a_project_that_keeps_shapes(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    events = [
        Event(session="s", kind="tool_call", tool="f", results="keep", result=ToolResult(success=True, content="yes"))
    ]
    with EventLog(project / ".topcoat" / "events.db", capture=KEEP) as log:
        log.add(events)
    exported = project / "exported.jsonl"
    exported.write_text("".join(export_events(project)))
    assert '"results": "keep"' in exported.read_text()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "topcoat.toml").write_text("[capture]\n")
    import_events(elsewhere, exported)
    with open_log(elsewhere) as log:
        [event] = log.events()
    assert (event.results, event.result) == ("shape", ToolResult(success=True))


def test_a_result_is_kept_as_the_tool_wrote_it(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    source = tmp_path_factory.mktemp("source") / "log.json"
    returned = '{"count":  2,\n "files": ["a.py", "b.py"]}'
    call = {"id": "c", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
    said = [
        {"role": "user", "content": "list"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": returned},
    ]
    source.write_text(json.dumps({"messages": said}))
    import_events(project, source)
    with open_log(project) as log:
        [result] = [event.result for event in log.events() if event.result]
        log.add([Event(session="s", kind="merged")])
    assert (result.content, result.success) == (returned, True)
    figures = summarize_events(project)
    assert (figures.events, figures.keeping) == (3, 2)


def test_without_the_libraries_nothing_is_kept_and_the_hint_says_what_to_install(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(personal, "find_spec", lambda _: None)
    source = project / "log.json"
    source.write_text(json.dumps({"messages": [{"role": "user", "content": "hello"}]}))
    with pytest.raises(Refused, match="phonenumbers and stdnum can't be imported") as refused:
        import_events(project, source)
    assert refused.value.hint == "pip install 'topcoat[results]'"
    assert topcoat.record("request", session="s", project=project, query="hello") is False
    assert "can't be imported" in caplog.text
    assert not (project / ".topcoat" / "events.db").exists()


def test_a_setting_that_does_not_exist_is_refused(project: Path) -> None:
    (project / "topcoat.toml").write_text('[capture]\nresults = "all"\n')
    source = project / "log.json"
    source.write_text(json.dumps({"messages": [{"role": "user", "content": "hello"}]}))
    with pytest.raises(InvalidInput):
        import_events(project, source)

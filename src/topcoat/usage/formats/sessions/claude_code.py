"""Claude Code's sessions: ~/.claude/projects/*/SESSION.jsonl, and those of its sub-agents.

Each line names the line before it (`parentUuid`). One answer has a line for each of its blocks, with one `message.id`.
The results of parallel calls hang from the lines of their calls, and the answer to them hangs from one of the results.
So the lines of an answer are put together, and so are the results of its calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from topcoat.usage.formats.dialogue import UNFINISHED, Dialogue, Document, Report
from topcoat.usage.formats.sessions.tree import Node, Timed, chains
from topcoat.usage.formats.shapes import Json, moment_of, object_of, text_in
from topcoat.usage.messages import turns_of
from topcoat.usage.turns import Spoken

__all__ = ["is_claude_code", "read_claude_code"]

_BY_PROGRAM = ("<local-command-", "<command-", "<bash-", "<system-reminder>", "<task-notification>", "Caveat: ")
"""How a user's line begins that the program wrote."""
_INTERRUPTED = "[Request interrupted by user"
_SPOKEN = ("user", "assistant")


def is_claude_code(document: object) -> bool:
    """Whether a document is a line of such a session."""
    if not isinstance(document, dict):
        return False
    kind, message = document.get("type"), document.get("message")
    if kind in _SPOKEN:
        named = "sessionId" in document and "uuid" in document
        return named and isinstance(message, dict) and "content" in message
    marks = {"file-history-snapshot": "snapshot", "summary": "leafUuid"}
    return marks.get(str(kind), "sessionId") in document and (
        kind in (*marks, "queue-operation", "last-prompt") or "isSidechain" in document
    )


def read_claude_code(documents: Sequence[Document], report: Report) -> Iterator[Dialogue]:
    """The dialogues of a file: one for each end of its main chain, and of each side chain."""
    lines = _Lines()
    for document in documents:
        with report.at(document.where, "not a line of claude-code"):
            lines.read(object_of(document.value, "a line"), report)
    for way in chains(lines.nodes):
        said = list(_said(way, report))
        if said and _may_go_on(said[-1].turn):
            report.passed[UNFINISHED] += 1
            said.pop()
        if not said:
            continue
        answered = [node.about["message"] for node in way if node.about.get("type") == "assistant"]
        yield Dialogue(
            [each.turn for each in said],
            session=str(way[-1].about.get("sessionId") or ""),
            model=str(answered[-1].get("model") or "") if answered else "",
            branch=str(way[-1].about.get("gitBranch") or ""),
            times=[each.time for each in said],
            where=documents[0].where,
        )


@dataclass(slots=True)
class _Lines:
    """The places of a file. `of` has each line's place, by its uuid; `asked` each call's answer, by the call's id."""

    nodes: dict[str, Node] = field(default_factory=dict)
    of: dict[str, str] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)

    def read(self, line: Json, report: Report) -> None:
        kind, key = str(line.get("type")), str(line.get("uuid") or "")
        if key in self.of:
            report.passed["line that is there twice"] += 1
            return
        turns = _turns(line, report) if kind in _SPOKEN else []
        if kind not in _SPOKEN:
            report.passed[f"{kind} line"] += 1
        if not key and not turns:
            return
        parent = str(line.get("parentUuid") or "")
        place, before = self._place(line, turns, self.of.get(parent, parent), key)
        node = self.nodes.setdefault(place, Node(before))
        node.turns += [self._timed(turn, line, place) for turn in turns]
        node.about = line if turns else node.about
        self.of[key] = place

    def _place(self, line: Json, turns: Sequence[Spoken], before: str, key: str) -> tuple[str, str]:
        """The key of a line's place, and of the place before it. What follows an answer follows its results, too."""
        if line.get("type") == "assistant" and turns:
            place = f"answer {line['message'].get('id') or key}"
        else:
            owner = next((self.asked[turn.call_id] for turn in turns if turn.call_id in self.asked), "")
            if owner:
                return f"results of {owner}", owner
            place = key
        results = f"results of {before}"
        return place, results if results in self.nodes else before

    def _timed(self, turn: Spoken, line: Json, place: str) -> Timed:
        """A turn of a line. A call that an earlier line of the answer made isn't made again."""
        if turn.calls:
            fresh = tuple(call for call in turn.calls if not call.id or self.asked.get(call.id) != place)
            self.asked |= {call.id: place for call in fresh if call.id}
            turn = replace(turn, calls=fresh)
        by_program = turn.role == "user" and (
            bool(line.get("isMeta")) or str(turn.content or "").startswith(_BY_PROGRAM)
        )
        return Timed(turn, moment_of(line.get("timestamp")), by_program)


def _turns(line: Json, report: Report) -> list[Spoken]:
    message = object_of(line.get("message"), "a message")
    if line.get("isApiErrorMessage") or message.get("model") == "<synthetic>":
        report.passed["assistant line that the program wrote"] += 1
        return []
    if line.get("isCompactSummary"):
        return [Spoken("system", text_in(message.get("content")))]
    turns = turns_of({**message, "role": line.get("type")})
    if line.get("type") == "assistant":
        return [replace(turn, finish=str(message.get("stop_reason") or "")) for turn in turns]
    told = line.get("toolUseResult")
    stopped = isinstance(told, dict) and told.get("interrupted") is True
    return [replace(turn, failed=True) if stopped and turn.role == "tool" else turn for turn in turns]


def _said(way: Sequence[Node], report: Report) -> Iterator[Timed]:
    """The turns of a dialogue, with answers in one piece, interruptions marked, and without the program's words.

    Words of the program that stand alone before an answer are what the model answers. They stay.
    """
    asked: list[Timed] = []
    last: Timed | None = None
    for each in [*(each for node in way for each in _whole(node)), None]:
        if each is not None and each.turn.role == "user":
            if not str(each.turn.content or "").startswith(_INTERRUPTED):
                asked.append(each)
                continue
            report.passed["interruption"] += 1
            if last is not None and last.turn.role == "assistant":
                last = replace(last, turn=replace(last.turn, finish="cut"))
            continue
        if last is not None:
            yield last
        theirs = [one for one in asked if not one.by_program]
        if 0 < len(theirs) < len(asked):
            report.passed["user line that the program wrote"] += len(asked) - len(theirs)
        yield from theirs or asked
        asked, last = [], each


def _may_go_on(turn: Spoken) -> bool:
    """Whether the last turn is an answer of which more lines may come: it has no words, or calls without results."""
    return turn.role == "assistant" and (bool(turn.calls) or turn.finish == "tool_use" or not turn.content)


def _whole(node: Node) -> list[Timed]:
    """The turns of a place. The lines of an answer become one."""
    turns = [each.turn for each in node.turns]
    if len(turns) < 2 or any(turn.role != "assistant" for turn in turns):
        return node.turns
    words = [turn.content for turn in turns if turn.content]
    whole = Spoken(
        "assistant",
        "\n".join(words) if words else None,
        tuple(call for turn in turns for call in turn.calls),
        reasoning="\n".join(turn.reasoning for turn in turns if turn.reasoning),
        finish=next((turn.finish for turn in reversed(turns) if turn.finish), ""),
    )
    return [Timed(whole, node.turns[-1].time)]

"""Checks a phase's data before anything is spent on it. Every check is a pure function.

An error stops the run unless its code is allowed; a warning is shown and recorded. Checks of one subject stand
together: `calls` (tools), `overlap` (repetition, validation, the suite), `examples.reading` (lines that are no example
at all); the rest is here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from topcoat.engine.protocol import Tokenizer
from topcoat.errors import InvalidInput, Where
from topcoat.examples.checks.calls import check_calls
from topcoat.examples.checks.codes import CODES, finding, short
from topcoat.examples.checks.overlap import check_duplicates, check_repeats, check_suite, check_validation
from topcoat.examples.rows import Cut, Encoded
from topcoat.quantity import counted
from topcoat.secrets.finding import find_secrets
from topcoat.spec.agent import Agent
from topcoat.spec.canonical import canonical_json
from topcoat.spec.example import Example, LocatedExample
from topcoat.spec.suite import Suite
from topcoat.store.records import Finding

__all__ = [
    "CODES",
    "TEMPLATE_HINTS",
    "check_balance",
    "check_categories",
    "check_context",
    "check_delimiters",
    "check_examples",
    "check_held_out",
    "check_quota",
    "check_repeats",
    "check_replay",
    "check_results",
    "check_rows",
    "check_validation",
]

Examples = Sequence[LocatedExample]

_DELIMITERS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")
_RESULT = "<tool_response>"
_WRAPPED_TWICE = re.compile(r"<tool_response>\s*<tool_response>")
_IMBALANCE = 10
_PLAIN_KEYS = {"messages", "category", "weight"}
_PLAIN_TURN = {"role", "content"}


def check_examples(examples: Examples, suite: Suite, agent: Agent) -> list[Finding]:
    """The findings in single dialogues, and in their overlap with the suite."""
    findings = check_duplicates(examples)
    findings += check_calls(examples, agent)
    findings += check_suite(examples, suite, agent)
    findings += _check_system_prompts(examples, suite, agent)
    for located in examples:
        findings += _check_tools(located, agent)
        findings += _check_empty_turns(located)
        findings += _check_secrets(located)
    return findings


def check_categories(new: Examples, categories: Sequence[str]) -> list[Finding]:
    """A finding for each category of new examples that no case measures: nobody could see whether they help."""
    return [
        finding(
            "unknown-category",
            "warning",
            located.where,
            f'category "{located.example.category}" has no case in the suite',
            f"one of {', '.join(categories)}",
        )
        for located in new
        if located.example.category is not None and located.example.category not in categories
    ]


def check_quota(new: Examples, quota: Mapping[str, int], phase_file: Where) -> list[Finding]:
    """Compare the number of new examples by category with the plan's quota."""
    found = Counter(located.example.category or "" for located in new)
    return [
        finding(
            "quota",
            "warning",
            phase_file,
            f"{category}: {counted(found[category], 'example')}, the quota is {wanted}",
            f"write {wanted - found[category]} more" if found[category] < wanted else "raise the quota",
        )
        for category, wanted in quota.items()
        if found[category] != wanted
    ]


def check_balance(new: Examples, quota: Mapping[str, int], phase_file: Where) -> list[Finding]:
    """A finding for each category with few examples beside the largest one, unless the quota asks for that."""
    found = Counter(located.example.category for located in new if located.example.category is not None)
    if not found:
        return []
    largest, most = found.most_common(1)[0]
    return [
        finding(
            "class-imbalance",
            "warning",
            phase_file,
            f"{category}: {counted(count, 'example')} beside {most} of {largest}",
            f"write more of {category}, or say under [data.quota] that it is meant",
        )
        for category, count in found.items()
        if count * _IMBALANCE < most and category not in quota
    ]


TEMPLATE_HINTS = {
    "template-refusal": "write the turns as the template wants them, such as a system text in the first user turn",
    "stop-inside": "write the token in another way, or make the turn end there",
    "unrendered-turn": "use a chat template that renders tool_calls, or write the calls into the content",
    "unplaced-turn": "begin the answer with what the prompt opens, such as <think>, or use another chat template",
}


def check_rows(encoded: Encoded) -> list[Finding]:
    """The findings from turning dialogues into tokens."""
    findings = [
        finding(
            "over-long",
            "warning",
            row.where,
            f"{row.tokens} tokens, max_seq_length is {row.limit}: left out",
            f"max_seq_length = {row.tokens}",
        )
        for row in encoded.over_long
    ]
    findings += [_cut_finding(cut) for cut in encoded.cut]
    findings += [
        finding(
            "thought-only",
            "warning",
            where,
            f'{counted(count, "trained turn")} without words or calls once thinking = "strip" removes its thought: '
            + ("not trained" if others else "the example is left out"),
            'write what the turn answers, or thinking = "keep" under [project]',
        )
        for where, count, others in encoded.thought_only
    ]
    findings += [
        finding(one.code, "error", one.where, one.reason, one.hint or TEMPLATE_HINTS[one.code])
        for one in encoded.unrenderable
    ]
    findings += _check_shown(encoded)
    message = "the chat template renders an earlier assistant turn differently here: it is trained in a row of its own"
    return findings + [
        finding("several-rows", "warning", where, message, "nothing has to be done; it costs a row more")
        for where in encoded.several
    ]


def check_context(encoded: Encoded, context: int | None) -> list[Finding]:
    """The findings in rows of more tokens than the model was made for, one for each example."""
    longest: dict[Where, int] = {}
    for row, located in zip(encoded.rows, encoded.examples, strict=True):
        if context is not None and len(row.tokens) > context:
            longest[located.where] = max(longest.get(located.where, 0), len(row.tokens))
    hint = f"max_seq_length = {context}, if the model can't read further than its config.json says"
    return [
        finding("beyond-context", "warning", where, f"{tokens} tokens, the model was made for {context}", hint)
        for where, tokens in longest.items()
    ]


def _cut_finding(cut: Cut) -> Finding:
    rows = f"{counted(len(cut.rows), 'row')} of {', '.join(map(str, cut.rows))} tokens"
    missing = f", of which one leaves out {counted(cut.left_out, 'turn')}" if cut.left_out else ""
    lost = f"{cut.lost} of {counted(cut.trained, 'trained turn')} no longer trained"
    return finding(
        "cut-dialogue",
        "warning",
        cut.where,
        f"{cut.tokens} tokens, max_seq_length is {cut.limit}: cut at turns into {rows}{missing}; {lost}",
        f'max_seq_length = {cut.tokens}, or over_long = "leave-out"',
    )


def _check_shown(encoded: Encoded) -> Iterator[Finding]:
    """The findings about what the chat template doesn't show, although the example says it."""
    tools = "the chat template doesn't show the example's tools: it is trained without them"
    for where in encoded.unshown_tools:
        hint = "describe the tools in the system turn, or use a chat template that shows tools"
        yield finding("unshown-tools", "warning", where, tools, hint)
    for where, name, answer in encoded.unread_calls:
        message = f"the chat template writes a call of {name} in a way that isn't read as one: {short(answer, 80)}"
        hint = "use a chat template of a known family; answers that call tools in this way are scored as without calls"
        yield finding("unread-call", "warning", where, message, hint)
    for where, what in encoded.left_out:
        message = f"the chat template leaves out what an assistant turn says ({what}): it isn't trained"
        yield finding("left-out-words", "warning", where, message, "say it where the template shows it, or remove it")
    if encoded.endless:
        message = "the chat template writes no token at which generation stops: the model doesn't learn to end answers"
        hint = "end assistant turns in the chat template with the base's end-of-sequence token"
        yield finding("endless-answer", "warning", encoded.endless[0], message, hint)


def check_replay(share: float, pool: int, phase_file: Where) -> list[Finding]:
    """A finding if replay is on but there is nothing to replay: the phase may forget what the base knows."""
    message = f"replay = {share:g}, but there is no earlier data: nothing keeps the base from forgetting"
    hint = "topcoat data replay --to data/replay.jsonl"
    return [finding("no-replay", "warning", phase_file, message, hint)] if share > 0 and not pool else []


def check_held_out(valid: int, phase_file: Where) -> list[Finding]:
    """A finding if the validation set is empty: no early stopping, and nothing to compare the fused model on."""
    message = "no example is held out: nothing tells when to stop, or whether fusing changed the model"
    hint = 'valid = "20%" under [data], or a file of its own'
    return [] if valid else [finding("no-validation", "warning", phase_file, message, hint)]


def check_delimiters(examples: Examples, tokenizer: Tokenizer) -> list[Finding]:
    """A finding for each tag around calls and results that is several tokens in this tokenizer, at its first use.

    A model learns one token easily. A tag of many tokens often means that the base writes its calls in another way.
    """
    findings = []
    for tag in _DELIMITERS:
        where = next((e.where for e in examples if any(tag in (m.content or "") for m in e.example.messages)), None)
        if where is not None and (count := len(tokenizer.encode(tag))) > 1:
            message = f"{tag} is {count} tokens here, not one"
            hint = "write calls as the base's chat template does, or choose a base whose tokenizer has the tag"
            findings.append(finding("split-delimiter", "warning", where, message, hint))
    return findings


def check_results(examples: Examples, tokenizer: Tokenizer) -> list[Finding]:
    """A finding for each dialogue whose result is wrapped twice: by who wrote it, and by the chat template."""
    message = f"a result is trained inside two pairs of {_RESULT}, and served inside one"
    hint = f"take {_RESULT} out of the tool turns: the chat template writes it"
    return [
        finding("wrapped-result", "error", located.where, message, hint)
        for located in examples
        if any(m.role == "tool" and (m.content or "").lstrip().startswith(_RESULT) for m in located.example.messages)
        and _WRAPPED_TWICE.search(_rendered(located.example, tokenizer))
    ]


def _rendered(example: Example, tokenizer: Tokenizer) -> str:
    """The dialogue's text; nothing if the template refuses it, which is a finding of its own."""
    try:
        return tokenizer.render(example.dialogue(), tools=example.tools)
    except InvalidInput:
        return ""


def _check_tools(located: LocatedExample, agent: Agent) -> Iterator[Finding]:
    if located.example.tools and agent.calls == "code":
        message = f"trained with {counted(len(located.example.tools), 'tool')} of its own, evaluated without"
        hint = "write the tools into the system prompt of both, or leave the key out"
        yield finding("unasked-tools", "warning", located.where, message, hint)


def _check_empty_turns(located: LocatedExample) -> Iterator[Finding]:
    empty = sum(m.role == "assistant" and not m.says_something for m in located.example.messages)
    if empty:
        message = f"{counted(empty, 'assistant turn')} without words and calls: not trained"
        yield finding(
            "empty-turn", "warning", located.where, message, "write the answer, or end the dialogue before it"
        )


def _check_system_prompts(examples: Examples, suite: Suite, agent: Agent) -> Iterator[Finding]:
    """A warning where a native dialogue brings its own tools: such dialogues are held with prompts of their own too."""
    systems = {case.system if case.system is not None else agent.system_prompt for case in suite.cases}
    evaluated = {text.strip() for text in systems}
    for located in examples:
        trained = next((m.content or "" for m in located.example.messages if m.role == "system"), "")
        if trained.strip() not in evaluated:
            yield finding(
                "system-prompt",
                "warning" if agent.calls == "native" and located.example.tools else "error",
                located.where,
                f"trained with {short(trained)}, evaluated with {short(min(systems, key=len, default=''))}",
                "use one text for training and evaluation",
            )


def _check_secrets(located: LocatedExample) -> Iterator[Finding]:
    """A finding for each kind of secret in a turn."""
    for place, text in _texts(located.example):
        secrets = find_secrets(text)
        kinds = Counter(secret.kind for secret in secrets)
        for kind, count in kinds.items():
            first = next(secret for secret in secrets if secret.kind == kind)
            more = f" and {count - 1} more" if count > 1 else ""
            yield finding(
                "secret",
                "error",
                located.where,
                f"what looks like a {kind} in {place}, characters {first.start + 1} to {first.end}{more}",
                "revoke it where it was issued, and put a made-up name in its place",
            )


def _texts(example: Example) -> Iterator[tuple[str, str]]:
    """Every text of an example, and its place in the example."""
    for number, message in enumerate(example.messages, 1):
        if message.content:
            yield f"turn {number} ({message.role})", message.content
        if message.model_fields_set - _PLAIN_TURN:
            rest = {key: value for key, value in message.as_dict().items() if key not in _PLAIN_TURN}
            yield f"turn {number} ({message.role}), beside its content", canonical_json(rest)
    if example.model_fields_set - _PLAIN_KEYS:
        rest = example.model_dump(mode="json", exclude=_PLAIN_KEYS, exclude_unset=True)
        yield "the keys beside messages", canonical_json(rest)

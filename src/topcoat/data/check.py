"""What is wrong with a phase's data, found before anything is spent on it. Every check is a pure function.

An error stops the run unless its code is allowed; a warning is shown and recorded.
"""

from __future__ import annotations

import ast
import builtins
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from topcoat.data.rows import OverLong
from topcoat.errors import Where
from topcoat.evals.markup import Broken, Code, blocks
from topcoat.records import Finding
from topcoat.spec.catalog import Catalog
from topcoat.spec.example import Example, LocatedExample
from topcoat.spec.suite import Suite

__all__ = ["CODES", "check_categories", "check_examples", "check_quota", "check_rows", "check_validation"]

Examples = Sequence[LocatedExample]

CODES = {
    "broken-call": "an assistant turn holds a tool call that can't be read",
    "duplicate": "the same dialogue stands twice",
    "eval-overlap": "a user turn is word for word a prompt of the suite",
    "over-long": "the example doesn't fit max_seq_length and is left out",
    "partly-masked": "the chat template hides earlier assistant turns, which are not trained",
    "quota": "a category has another number of examples than the plan asked for",
    "system-prompt": "the system prompt isn't the one that the suite is evaluated with",
    "valid-overlap": "a question of the validation set also stands in the training data",
    "unknown-category": "the category has no case in the suite",
    "unknown-tool": "an assistant turn calls a tool that the catalog doesn't have",
}
_BUILTINS = frozenset(dir(builtins))


def check_examples(examples: Examples, suite: Suite, catalog: Catalog, system_prompt: str) -> list[Finding]:
    """Everything that can be seen in the dialogues themselves, in the order of the files."""
    findings: list[Finding] = []
    prompts = {_words(case.text): case.id for case in suite.cases}
    systems = {case.system if case.system is not None else system_prompt for case in suite.cases}
    first: dict[str, Where] = {}
    for located in examples:
        example, where = located.example, located.where
        twin = first.setdefault(example.digest, where)
        if twin is not where:
            findings.append(_finding("duplicate", "warning", where, f"stands already at {twin}", "delete one of them"))
        findings += _check_calls(example, where, catalog)
        findings += _check_against_suite(example, where, prompts, systems)
    return findings


def check_validation(train: Examples, valid: Examples) -> list[Finding]:
    """Validation dialogues whose first question is trained on too: their loss says little about what is new."""
    trained = {_question(located.example): located.where for located in train}
    return [
        _finding(
            "valid-overlap",
            "warning",
            located.where,
            f"asks what {trained[question]} asks",
            "delete one of them",
        )
        for located in valid
        if (question := _question(located.example)) in trained
    ]


def check_categories(new: Examples, categories: Sequence[str]) -> list[Finding]:
    """New examples of a category that no case measures: whether they helped could never be seen."""
    return [
        _finding(
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
    """Compare the number of new examples by category with what the plan asked for."""
    found = Counter(located.example.category or "" for located in new)
    return [
        _finding(
            "quota",
            "warning",
            phase_file,
            f"{category}: {found[category]} examples, the quota is {wanted}",
            f"write {wanted - found[category]} more" if found[category] < wanted else "raise the quota",
        )
        for category, wanted in quota.items()
        if found[category] != wanted
    ]


def check_rows(over_long: Sequence[OverLong], partly_masked: Sequence[Where]) -> list[Finding]:
    """What turning dialogues into tokens showed."""
    return [
        _finding(
            "over-long",
            "warning",
            row.where,
            f"{row.tokens} tokens, max_seq_length is {row.limit}: left out",
            f"max_seq_length = {row.tokens}",
        )
        for row in over_long
    ] + [
        _finding(
            "partly-masked",
            "warning",
            where,
            "the chat template renders an earlier assistant turn differently here: only the last turn is trained",
            "one example a turn, or another chat template",
        )
        for where in partly_masked
    ]


def _check_against_suite(
    example: Example, where: Where, prompts: Mapping[str, str], systems: set[str]
) -> Iterator[Finding]:
    system = next((m.content or "" for m in example.messages if m.role == "system"), "")
    if system.strip() not in {text.strip() for text in systems}:
        yield _finding(
            "system-prompt",
            "error",
            where,
            f"trained with {_short(system)}, evaluated with {_short(min(systems, key=len))}",
            "use one text for training and evaluation",
        )
    for message in example.messages:
        if message.role == "user" and (case := prompts.get(_words(message.content or ""))):
            yield _finding(
                "eval-overlap",
                "error",
                where,
                f"asks what case {case} of the suite asks, word for word",
                "reword the example, or delete it",
            )


def _check_calls(example: Example, where: Where, catalog: Catalog) -> Iterator[Finding]:
    for message in example.messages:
        if message.role != "assistant" or not message.content:
            continue
        for block in blocks(message.content):
            if isinstance(block, Broken):
                yield _finding("broken-call", "error", where, block.problem, "close every tag of the call")
            elif not isinstance(block, Code):
                if block.name not in catalog.tools:
                    yield _unknown(where, block.name, catalog)
            elif block.cut:
                yield _finding("broken-call", "error", where, "the code's closing tag is missing", "add </parameter>")
            else:
                yield from _check_code(block.text, where, catalog)


def _check_code(code: str, where: Where, catalog: Catalog) -> Iterator[Finding]:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        yield _finding("broken-call", "error", where, f"the code is not Python: {error}", "correct the code")
        return
    bound = _bound_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            if name not in catalog.tools and name not in bound and name not in _BUILTINS:
                yield _unknown(where, name, catalog)


def _bound_names(tree: ast.AST) -> set[str]:
    """Every name that the code binds itself, anywhere."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
    return names


def _unknown(where: Where, name: str, catalog: Catalog) -> Finding:
    return _finding(
        "unknown-tool", "error", where, f'calls "{name}", which is no tool', f"the tools are in {catalog.path.name}"
    )


def _finding(code: str, severity: str, where: Where, message: str, hint: str) -> Finding:
    return Finding.model_validate(
        {"code": code, "severity": severity, "where": str(where), "message": message, "hint": hint}
    )


def _question(example: Example) -> str:
    return _words(next((m.content or "" for m in example.messages if m.role == "user"), ""))


def _words(text: str) -> str:
    """The text without differences of case, spaces and final punctuation."""
    return " ".join(text.lower().split()).rstrip(".?! ")


def _short(text: str) -> str:
    first = " ".join(text.split())
    return f'"{first[:40]}…"' if len(first) > 40 else f'"{first}"'

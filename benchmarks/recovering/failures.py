"""How tools are asked for, how their calls fail, and what repairs each call. Texts with `{slots}`, no names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ARGUMENTS", "FAILURES", "QUESTIONS", "Failure", "Wording"]


@dataclass(frozen=True, slots=True)
class Wording:
    """Texts that mean the same: those of training, and those of the cases, which no example has."""

    trained: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A way in which calls fail.

    `tools` are pairs: the tool whose call fails, and the one of the right second call, mostly the same. `changed` says
    which slots of the first call have other values in the second one. Every reason names those values.
    """

    name: str
    tools: Wording
    reasons: Wording
    changed: Mapping[str, str]
    words: str
    """What the assistant says in the end."""


ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "read_file": {"path": "{path}"},
    "write_file": {"path": "{path}", "content": "{text}"},
    "run_command": {"command": "{command}"},
    "typecheck": {"path": "{path}"},
    "ruff_check": {"path": "{path}"},
    "pytest_run": {"path": "{path}"},
    "document_symbols": {"path": "{path}"},
    "goto_definition": {"path": "{path}", "line": "{line}", "column": "{column}", "symbol": "{symbol}"},
    "find_references": {"path": "{path}", "line": "{line}", "column": "{column}", "symbol": "{symbol}"},
    "hover": {"path": "{path}", "line": "{line}", "column": "{column}", "symbol": "{symbol}"},
    "workspace_symbols": {"query": "{symbol}"},
    "git_diff": {"path": "{path}"},
    "git_log": {"path": "{path}", "count": "{count}"},
    "cst_find_pattern": {"path": "{path}", "pattern": "{pattern}"},
    "cst_rename": {"path": "{path}", "old": "{symbol}", "new": "{new}"},
    "cst_add_import": {"path": "{path}", "statement": "{statement}"},
}
"""The arguments of each tool's call, in the order in which the model writes them."""

QUESTIONS: Mapping[str, Wording] = {
    "read_file": Wording(
        ("Show me the file {path}.", "Read {path}.", "What does {path} say?"),
        ("Open {path} for me, please.", "I want to see what is in {path}."),
    ),
    "write_file": Wording(
        ('Write "{text}" to {path}.', 'Save the text "{text}" in {path}.', '{path} should contain "{text}".'),
        ('Please put "{text}" into {path}.', 'I need {path} to say "{text}".'),
    ),
    "run_command": Wording(
        ("Run `{command}`.", "Execute `{command}` in the shell.", "What does `{command}` print?"),
        ("Please launch `{command}` in a terminal.", "I want to see the output of `{command}`."),
    ),
    "typecheck": Wording(
        ("Typecheck {path}.", "Are there type errors in {path}?", "Check the types in {path}."),
        ("Please run the type checker on {path}.", "Does {path} have any type errors?"),
    ),
    "ruff_check": Wording(
        ("Lint {path}.", "Run ruff on {path}.", "Are there lint errors in {path}?"),
        ("Please run the linter over {path}.", "What does ruff say about {path}?"),
    ),
    "pytest_run": Wording(
        ("Run the tests in {path}.", "Do the tests in {path} pass?", "Run pytest on {path}."),
        ("Please run {path} with pytest.", "Are all tests of {path} green?"),
    ),
    "document_symbols": Wording(
        ("Outline {path}.", "Which symbols does {path} define?", "List the functions in {path}."),
        ("Please give me the outline of {path}.", "Which classes and functions are in {path}?"),
    ),
    "goto_definition": Wording(
        (
            "Go to the definition of {symbol} at {path}:{line}:{column}.",
            "Where is {symbol} at {path}:{line}:{column} defined?",
            "Find the definition of {symbol} at {path}:{line}:{column}.",
        ),
        (
            "Please jump to the definition of {symbol} at {path}:{line}:{column}.",
            "Show me where {symbol} at {path}:{line}:{column} is defined.",
        ),
    ),
    "find_references": Wording(
        (
            "Find the references to {symbol} at {path}:{line}:{column}.",
            "Where is {symbol} at {path}:{line}:{column} used?",
            "List all uses of {symbol} at {path}:{line}:{column}.",
        ),
        (
            "Please find every reference to {symbol} at {path}:{line}:{column}.",
            "Show me the uses of {symbol} at {path}:{line}:{column}.",
        ),
    ),
    "hover": Wording(
        (
            "What is the type of {symbol} at {path}:{line}:{column}?",
            "Hover over {symbol} at {path}:{line}:{column}.",
            "Show the type of {symbol} at {path}:{line}:{column}.",
        ),
        (
            "Tell me the type of {symbol} at {path}:{line}:{column}.",
            "Please get the hover text of {symbol} at {path}:{line}:{column}.",
        ),
    ),
    "workspace_symbols": Wording(
        ("Find {symbol} in the project.", "Search the project for {symbol}.", "Look for {symbol} in the workspace."),
        ("Please search the workspace for {symbol}.", "Which file of the project has {symbol}?"),
    ),
    "git_diff": Wording(
        ("Show the diff of {path}.", "What changed in {path}?", "Diff {path}."),
        ("Please show me the uncommitted changes in {path}.", "I want to see the diff of {path}."),
    ),
    "git_log": Wording(
        (
            "Show the last {count} commits of {path}.",
            "List the last {count} commits to {path}.",
            "Print the log of {path}, {count} commits.",
        ),
        ("Please show me the {count} newest commits of {path}.", "What were the last {count} commits to {path}?"),
    ),
    "cst_find_pattern": Wording(
        (
            "Find `{pattern}` in {path}.",
            "Search {path} for the pattern `{pattern}`.",
            "Where does {path} have `{pattern}`?",
        ),
        ("Please find all code like `{pattern}` in {path}.", "Show me the matches of `{pattern}` in {path}."),
    ),
    "cst_rename": Wording(
        (
            "Rename {symbol} to {new} in {path}.",
            "In {path}, rename {symbol} to {new}.",
            "Change {symbol} to {new} in {path}.",
        ),
        ("Please rename {symbol} in {path} to {new}.", "I want {symbol} renamed to {new} in {path}."),
    ),
    "cst_add_import": Wording(
        ("Add `{statement}` to {path}.", "Import in {path}: `{statement}`.", "Add the import `{statement}` to {path}."),
        ("Please put the import `{statement}` into {path}.", "{path} needs the import `{statement}`."),
    ),
}
"""What a user says to have each tool called."""

FAILURES: tuple[Failure, ...] = (
    Failure(
        "moved",
        Wording(
            ("read_file", "typecheck", "document_symbols", "cst_add_import", "git_log", "hover"),
            ("ruff_check", "git_diff", "cst_find_pattern"),
        ),
        Wording(
            (
                "no such file: {path}; did you mean {path2}?",
                "{path} was moved to {path2}",
                "can't find {path}, the closest match is {path2}",
                "{path} does not exist, but {path2} does",
                "file not found: {path} is now {path2}",
                "{path} is missing; use {path2}",
                "{path} was deleted in favour of {path2}",
                "unknown path {path}, did you want {path2}?",
                "only {path2} is left, {path} was merged into it",
            ),
            (
                "there is no {path} any more, look at {path2}",
                "nothing at {path}; the same file is in {path2}",
                "the new place of {path} is {path2}",
            ),
        ),
        {"path": "path2"},
        "The file is now {path2}.",
    ),
    Failure(
        "tests",
        Wording(("pytest_run",), ()),
        Wording(
            (
                "no tests in {path}; they are in {path2}",
                "{path} has no tests, try {path2}",
                "collected 0 tests from {path}: use {path2}",
                "{path} is empty since the tests moved to {path2}",
                "found no test in {path}, run {path2}",
                "{path} holds fixtures only; {path2} has the tests",
                "{path} was renamed to {path2}",
                "skipped {path}: its tests went to {path2}",
            ),
            ("nothing to run in {path}, the tests are now in {path2}", "{path} was split off: run {path2}"),
        ),
        {"path": "path2"},
        "The tests are in {path2}.",
    ),
    Failure(
        "place",
        Wording(("goto_definition", "find_references"), ("hover",)),
        Wording(
            (
                "{symbol} is not at {line}:{column}, it is at {line2}:{column2}",
                "no symbol at {line}:{column}; {symbol} stands at {line2}:{column2}",
                "nothing at {line}:{column}, did you mean {line2}:{column2}?",
                "{line}:{column} is a comment; {symbol} is at {line2}:{column2}",
                "{symbol} has moved from {line}:{column} to {line2}:{column2}",
                "{line}:{column} is blank, try {line2}:{column2}",
                "expected {symbol} at {line2}:{column2}, not at {line}:{column}",
                "out of date: use {line2}:{column2} for {symbol}",
            ),
            (
                "wrong place: {symbol} begins at {line2}:{column2}",
                "found no {symbol} at {line}:{column}, the nearest is at {line2}:{column2}",
            ),
        ),
        {"line": "line2", "column": "column2"},
        "{symbol} is at {line2}:{column2}.",
    ),
    Failure(
        "renamed",
        Wording(("workspace_symbols", "cst_rename", "hover", "goto_definition"), ("find_references",)),
        Wording(
            (
                "no symbol {symbol}; did you mean {symbol2}?",
                "{symbol} is now called {symbol2}",
                "can't find {symbol}, the closest match is {symbol2}",
                "{symbol} was renamed to {symbol2}",
                "{symbol} does not exist, but {symbol2} does",
                "{symbol} is deprecated: use {symbol2}",
                "no match for {symbol}, only for {symbol2}",
                "{symbol} became {symbol2}",
            ),
            ("unknown name {symbol}, look for {symbol2}", "there is no {symbol} any more, only {symbol2}"),
        ),
        {"symbol": "symbol2"},
        "The name is now {symbol2}.",
    ),
    Failure(
        "read_only",
        Wording(("write_file", "cst_rename"), ("cst_add_import",)),
        Wording(
            (
                "permission denied: {path} is read-only, write to {path2}",
                "{path} is generated from {path2}, change that file",
                "{path} is locked, use {path2}",
                "can't write {path}: try {path2}",
                "{path} is under review, edit {path2}",
                "refused: {path} is owned by another team; use {path2}",
                "the disk of {path} is full, save to {path2}",
                "{path} must not be changed, but {path2} may",
            ),
            ("not allowed to change {path}; {path2} is writable", "{path} belongs to root, take {path2} instead"),
        ),
        {"path": "path2"},
        "I used {path2}.",
    ),
    Failure(
        "other_tool",
        Wording(
            (
                "document_symbols>read_file",
                "typecheck>ruff_check",
                "git_diff>read_file",
                "git_diff>typecheck",
                "typecheck>document_symbols",
                "document_symbols>ruff_check",
            ),
            ("ruff_check>typecheck", "read_file>document_symbols"),
        ),
        Wording(
            (
                "{tool} is not available, use {tool2}",
                "{tool} is turned off here; use {tool2} instead",
                "the server of {tool} is down, try {tool2}",
                "{tool} has been replaced by {tool2}",
                "call {tool2}: {tool} does not work for this file",
                "{tool} timed out, {tool2} is faster",
                "no {tool} in this project, only {tool2}",
                "{tool} is broken today; {tool2} still works",
            ),
            ("no licence for {tool}, but {tool2} works", "{tool} can't read this file: call {tool2}"),
        ),
        {},
        "I used {tool2}.",
    ),
    Failure(
        "limit",
        Wording(("git_log",), ()),
        Wording(
            (
                "count is {count}, but may be at most {count2}",
                "{count} commits are too many, the most is {count2}",
                "can't show {count} commits: the limit is {count2}",
                "count must not be more than {count2}",
                "count too large: {count}, use {count2}",
                "the log has only {count2} commits",
                "at most {count2} commits, you asked for {count}",
                "{count} is above {count2}, which is the limit",
            ),
            ("only {count2} commits can be listed, not {count}", "{count} is out of range, use {count2}"),
        ),
        {"count": "count2"},
        "Only {count2} commits can be shown.",
    ),
    Failure(
        "command",
        Wording(("run_command",), ()),
        Wording(
            (
                "`{command}` is not allowed, use `{command2}`",
                "command not found: did you mean `{command2}`?",
                "there is no `{command}`; run `{command2}`",
                "`{command}` was replaced by `{command2}`",
                "use `{command2}`, not `{command}`",
                "`{command}` is blocked; `{command2}` is fine",
                "unknown command, try `{command2}`",
                "`{command}` failed: run `{command2}` instead",
            ),
            ("can't start `{command}`, `{command2}` does the same", "`{command}` is forbidden here: type `{command2}`"),
        ),
        {"command": "command2"},
        "I ran `{command2}`.",
    ),
)
"""Every way in which calls fail. Of a pair of tools A>B, the call of A fails and B is called then."""

"""Phase 34a's eighty examples: 30 of the web framework's validators, 40 of several tools, 10 of the language server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from benchmarks.agent.cases import made
from benchmarks.agent.names import TRAINING, Names
from benchmarks.agent.requests import Chain, Request, Wording

__all__ = ["COUNTS", "WORDINGS", "example", "examples", "requests"]

COUNTS: Mapping[str, int] = {"domain": 30, "multi_tool": 40, "lsp": 10}

WORDINGS: Sequence[tuple[Chain, Sequence[str | Wording]]] = (
    (
        Chain("validate_component"),
        (
            "Does $file hold a well-formed tdom component?",
            "Check the component class in $file: is it a dataclass that returns a Node?",
            "Validate the tdom component that $file defines.",
            "Anything wrong with the component in $file?",
        ),
    ),
    (
        Chain("check_render_tree"),
        (
            "Are all components that $file renders defined?",
            "Check how components are composed in $file.",
            "Find components that $file uses and nobody defines.",
        ),
    ),
    (
        Chain("validate_escape_context"),
        (
            "Is the HTML of $file safe from injection?",
            "Check that $file gives t-strings to html().",
            "Are there f-strings where $file builds HTML?",
        ),
    ),
    (
        Chain("validate_service_registration"),
        (
            "Is the service class in $file registered?",
            "Check $file for @injectable, @dataclass and Inject[] fields.",
            "Does the registration in $file follow our conventions?",
        ),
    ),
    (
        Chain("check_dependency_graph"),
        (
            "Does $file import from a layer that it must not know?",
            "Check that $file keeps to the layers.",
            "Are there forbidden imports in $file?",
            "Find dependency violations of $file.",
        ),
    ),
    (
        Chain("validate_injection_site"),
        (
            "Can all Inject[] types of $file be resolved?",
            "Check the Inject[] annotations in $file.",
            "Which injected types has $file not imported?",
        ),
    ),
    (
        Chain("validate_middleware_chain"),
        (
            "Is there a proper @middleware in $file?",
            "Check the middleware function of $file and its __call__.",
            "Validate how $file is decorated as middleware.",
        ),
    ),
    (
        Chain("check_di_template_binding"),
        (
            "Is context= given to html() everywhere in $file?",
            "Check which html() calls of $file lack the DI context.",
            "Does $file bind its templates to the container?",
        ),
    ),
    (
        Chain("validate_route_pattern"),
        (
            "Are the routes of $file valid?",
            "Check the syntax of every route in $file.",
            "Which route patterns of $file are wrong?",
            "Validate the paths that $file routes.",
        ),
    ),
    (
        Chain("goto_definition", ("read_file",)),
        ("Find the definition of $symbol and read the file.", "Go to where $symbol is defined and show me the source."),
    ),
    (
        Chain("goto_definition", ("read_file", "validate_component"), ("pytest_run",)),
        (
            "Find $symbol, read its file, validate the component, and run $tests.",
            "Go to the definition of $symbol, show the file, check it as a tdom component, then run the tests.",
        ),
    ),
    (
        Chain("goto_definition", ("validate_component",)),
        (
            "Find the definition of $symbol and validate the component in that file.",
            "Check the component that defines $symbol.",
        ),
    ),
    (
        Chain("goto_definition", ("document_symbols",)),
        ("Find $symbol and list the symbols of its file.", "What else is in the file that defines $symbol?"),
    ),
    (
        Chain("goto_definition", ("ruff_check",)),
        ("Find the file that defines $symbol and lint it.", "Run ruff on the file in which $symbol is defined."),
    ),
    (
        Chain("find_references", ("read_file",)),
        ("Find the references to $symbol and read the first file.", "Show the source of the first use of $symbol."),
    ),
    (
        Chain("find_references", ("typecheck",)),
        (
            "Find the uses of $symbol and type check the first file.",
            "Run type checking on the first file that references $symbol.",
        ),
    ),
    (
        Chain("workspace_symbols", ("read_file",)),
        ("Search for $query and read the first file found.", "Find $query in the workspace and show its source."),
    ),
    (
        Chain("workspace_symbols", ("ruff_check",)),
        ("Search for $query and lint the file it is in.", "Find $query in the workspace, then run ruff on that file."),
    ),
    (
        Chain("git_status", ("ruff_check",)),
        (
            "Check git status of $folder and lint the first changed file.",
            "Run ruff on the first file changed in $folder.",
        ),
    ),
    (
        Chain("git_status", ("typecheck",)),
        (
            "Check git status of $folder and type check the first changed file.",
            "Run type checking on the first file changed in $folder.",
        ),
    ),
    (
        Chain("git_diff", ("read_file",)),
        ("Get the diff and read the first file of it.", "Show the source of the first file in the unstaged diff."),
    ),
    (
        Chain("ruff_check", ("read_file",)),
        (
            "Lint $target and read the first file with a violation.",
            "If ruff finds violations in $target, show the file.",
        ),
    ),
    (
        Chain("typecheck", ("read_file",)),
        ("Type check $target and read the first file with errors.", "If $target has type errors, show the first file."),
    ),
    (
        Chain("pytest_run", ("git_diff",), uses=False),
        ("Run $tests and show the diff if a test fails.", "If any test in $tests fails, show what changed."),
    ),
    (
        Chain("ruff_check", ("pytest_run",), when="passes", uses=False),
        ("Lint $target and, if it is clean, run $tests.", "Run $tests, but only if ruff passes on $target."),
    ),
    (
        Chain("validate_component", ("read_file",), uses=False),
        (
            "Validate the component in $file and read it if it is invalid.",
            "If $file is no valid component, show its source.",
        ),
    ),
    (
        Chain("cst_rename", after=("pytest_run",)),
        ("Rename $old to $new in $file and run $tests.", "In $file rename $old to $new, then run the tests."),
    ),
    (
        Chain("validate_service_registration", after=("check_dependency_graph",)),
        (
            "Check the registration and the layers of $file.",
            "Validate the service registration in $file and its dependency graph.",
        ),
    ),
    (
        Chain("read_file", ("write_file",)),
        ("Read $file and write its text to $note.", "Copy $file to $note."),
    ),
    (Chain("goto_definition"), ("Show where $symbol is defined.", "Get me the location of the definition of $symbol.")),
    (Chain("find_references"), ("List the places that use $symbol.", "Where in the code is $symbol used?")),
    (
        Chain("hover"),
        ("Show the type of $symbol at $at:$line.", "What is $symbol in $at on line $line? Hover over it."),
    ),
    (Chain("document_symbols"), ("List what $file defines.", "Show the functions of $file.")),
    (Chain("workspace_symbols"), ("Search the workspace for $query.", "Find symbols named $query in the project.")),
)
"""Each is one example."""


def requests() -> list[Request]:
    """What the examples ask for, with their programs."""
    return [request for _, request in made(WORDINGS, Names(TRAINING, seed=34))]


def example(request: Request, system: str) -> dict[str, Any]:
    """The request and its answer as a dialogue."""
    turns = [("system", system), ("user", request.words), ("assistant", request.answer)]
    return {"messages": [{"role": role, "content": text} for role, text in turns], "category": request.category}


def examples(system: str, seed: int = 0) -> list[dict[str, Any]]:
    """The eighty examples as lines of a training file, shuffled."""
    rows = [example(request, system) for request in requests()]
    Random(seed).shuffle(rows)
    return rows

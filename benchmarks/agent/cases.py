"""The new cases: wordings and names that stand in no training file, and what a right answer calls."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

from benchmarks.agent.names import CASES, Names
from benchmarks.agent.requests import Chain, Request, Wording, written
from benchmarks.agent.tools import CATEGORIES, NO_TOOL

__all__ = ["QUESTIONS", "WORDINGS", "made", "new_cases", "taken"]

WORDINGS: Sequence[tuple[Chain, Sequence[str | Wording]]] = (
    (
        Chain("read_file"),
        (
            "Open $file for me.",
            "I'd like to see what is written in $file.",
            "Print the source of $file.",
            "cat $file please",
            "Pull up $file so that I can look at it.",
        ),
    ),
    (
        Chain("write_file"),
        (
            "Save the line '$text' as $note.",
            "Put '$text' into a file called $note.",
            "Make $note and let it say '$text'.",
            "Store '$text' under $note.",
            "Overwrite $note with '$text'.",
        ),
    ),
    (
        Chain("run_command"),
        (
            "Execute `$command` in a shell.",
            "What does `$command` print?",
            "Use the terminal: `$command`",
            "I need the output of the shell command `$command`.",
            "Call `$command` from the command line.",
        ),
    ),
    (
        Chain("typecheck"),
        (
            "Are the annotations in $target sound?",
            "Let ty loose on $target.",
            "Does $target have typing mistakes?",
            "Verify the type hints below $target.",
            "I changed $target; is it still type correct?",
        ),
    ),
    (
        Chain("ruff_check"),
        (
            "Does ruff complain about $target?",
            "Let the linter look at $target.",
            "Give me the lint findings of $target.",
            "How many lint rules does $target break?",
            "Would $target survive the linter?",
        ),
    ),
    (
        Chain("pytest_run"),
        (
            "Do the tests below $tests still succeed?",
            "Start pytest with $tests.",
            "I'd like the outcome of $tests.",
            "Put $tests through pytest.",
            "How many of $tests break?",
        ),
    ),
    (
        Chain("goto_definition"),
        (
            "Take me to where $symbol is declared.",
            "Jump to the declaration of $symbol.",
            "Which line declares $symbol?",
        ),
    ),
    (
        Chain("find_references"),
        ("Who calls $symbol?", "Give me every use of $symbol.", "Which places depend on $symbol?"),
    ),
    (
        Chain("hover"),
        (
            "Which signature does $symbol have in $at, line $line?",
            "What type is $symbol, see $at:$line?",
            "Let me see the docstring that pops up over $symbol in $at on line $line.",
        ),
    ),
    (
        Chain("document_symbols"),
        (
            "Outline $file.",
            "Which methods and constants does $file declare?",
            "Give me a table of contents of $file.",
        ),
    ),
    (
        Chain("workspace_symbols"),
        (
            "Look through the whole workspace for symbols like $query.",
            "Is any symbol of this workspace called $query?",
            "Query the workspace symbols with $query.",
        ),
    ),
    (
        Chain("git_status"),
        (
            "Which files below $folder are uncommitted?",
            "Is $folder clean as far as git knows?",
            "Ask git whether anything in $folder was touched.",
            "Did I forget to commit something below $folder?",
        ),
    ),
    (
        Chain("git_diff"),
        (
            "What did I change in $changed since the last commit?",
            "Let me see the uncommitted lines of $changed.",
            "How does $changed differ from HEAD?",
            Wording("Which lines of $changed are in the index already?", {"staged": "True"}),
            Wording("Let me review what I have staged of $changed.", {"staged": "True"}),
        ),
    ),
    (
        Chain("git_log"),
        (
            "Give me the newest $count commits.",
            "What do the previous $count commit messages say?",
            "Who wrote the $count commits before this one?",
            "Which $count commits touched $logged most recently?",
            "Tell me the history of $logged, $count entries of it.",
            "When was $logged last committed? Go $count commits back.",
        ),
    ),
    (
        Chain("cst_find_pattern"),
        (
            Wording("Where does the syntax tree of $file call $callee()?", {"pattern": "call:$callee"}),
            Wording("Which functions of $file carry the decorator @$decorator?", {"pattern": "decorator:$decorator"}),
            Wording("Locate the classes in the syntax tree of $file.", {"pattern": "ClassDef"}),
            Wording("Collect each @$decorator that $file uses.", {"pattern": "decorator:$decorator"}),
            Wording("Which functions does the syntax tree of $file define?", {"pattern": "FunctionDef"}),
        ),
    ),
    (
        Chain("cst_rename"),
        (
            "Call $old $new from now on, in $file.",
            "In $file, $old should be named $new.",
            "Change the name $old into $new throughout $file.",
            "$old in $file needs a better name: $new.",
            "Give $old the new name $new inside of $file.",
        ),
    ),
    (
        Chain("cst_add_import"),
        (
            "$file needs `$statement`.",
            "Make sure that $file has `$statement` at its top.",
            "Put `$statement` among the imports of $file.",
            "Let $file import what it lacks: `$statement`.",
            "Insert the import `$statement` into $file.",
        ),
    ),
    (
        Chain("validate_component"),
        (
            "Would tdom accept $file as a component?",
            "Look over the component of $file: dataclass, __call__ and html().",
        ),
    ),
    (
        Chain("check_render_tree"),
        (
            "Do the children nest properly in what $file renders?",
            "Walk the tree of components that $file renders and tell me what is broken.",
        ),
    ),
    (
        Chain("validate_escape_context"),
        (
            "Could $file let unescaped text into html()?",
            "Have any f-strings slipped into the html() templates of $file?",
        ),
    ),
    (
        Chain("validate_service_registration"),
        (
            "Is the service of $file declared the way @injectable wants it?",
            "See whether svcs would accept how $file registers its service.",
        ),
    ),
    (
        Chain("check_dependency_graph"),
        (
            "Does any service of $file reach up into a higher layer?",
            "Tell me whether the imports of $file go the right way through our layers.",
        ),
    ),
    (
        Chain("validate_injection_site"),
        (
            "Is every type that $file injects also imported there?",
            "Look for Inject[] fields of $file whose type is unknown.",
        ),
    ),
    (
        Chain("validate_middleware_chain"),
        (
            "Does the middleware of $file have the decorator and signature that it needs?",
            "Examine how $file implements its middleware.",
        ),
    ),
    (
        Chain("check_di_template_binding"),
        (
            "Do the templates of $file hand their context= on to injected components?",
            "Have the html() calls of $file forgotten context= anywhere?",
        ),
    ),
    (
        Chain("validate_route_pattern"),
        ("Are the URL paths of $file written correctly?", "Look for malformed routes among those of $file."),
    ),
    (Chain("goto_definition", ("read_file",)), ("Where was $symbol declared? Print that whole file.",)),
    (
        Chain("goto_definition", ("typecheck",)),
        ("Follow $symbol to its declaration and verify the types of the file that it is in.",),
    ),
    (
        Chain("goto_definition", ("read_file", "validate_component"), ("pytest_run",)),
        ("Locate where $symbol is declared, print that file, see whether it is sound for tdom, then start $tests.",),
    ),
    (Chain("find_references", ("read_file",)), ("Take the first place that calls $symbol and print its file.",)),
    (Chain("find_references", ("ruff_check",)), ("Let the linter look at the first file that calls $symbol.",)),
    (
        Chain("workspace_symbols", ("read_file",)),
        ("Look through the workspace for $query and open the file of the first hit.",),
    ),
    (
        Chain("workspace_symbols", ("typecheck",)),
        ("Look through the workspace for $query; does the file of the first hit have typing mistakes?",),
    ),
    (
        Chain("git_status", ("ruff_check",)),
        ("Something below $folder is uncommitted: give the first of these files to the linter.",),
    ),
    (Chain("git_status", ("git_diff",)), ("Which file below $folder did I touch first? I want its diff.",)),
    (
        Chain("ruff_check", ("read_file",)),
        ("Give $target to the linter, and if it complains, print the first file that it names.",),
    ),
    (
        Chain("typecheck", ("read_file",)),
        ("Does ty find mistakes in $target? I want to see the first of those files.",),
    ),
    (
        Chain("pytest_run", ("git_diff",), uses=False),
        ("Start $tests, and should anything break, let me see my uncommitted lines.",),
    ),
    (
        Chain("typecheck", ("pytest_run",), when="passes", uses=False),
        ("Verify the type hints below $target; only if they are sound, start $tests.",),
    ),
    (
        Chain("validate_component", ("read_file",), uses=False),
        ("Would tdom accept $file? If it wouldn't, open that file.",),
    ),
    (Chain("cst_rename", after=("pytest_run",)), ("Give $old the name $new inside of $file, then start $tests.",)),
    (
        Chain("cst_add_import", after=("typecheck",)),
        (Wording("Insert `$statement` into $file and see whether ty accepts that file.", {"target": "$file"}),),
    ),
    (
        Chain("validate_service_registration", after=("validate_injection_site",)),
        ("Is the service of $file declared as svcs wants it, and is every type that it injects imported?",),
    ),
    (Chain("read_file", ("write_file",)), ("Duplicate $file as $note.",)),
)
"""Each is asked twice, with different names. Some chains stand in no training file either."""

QUESTIONS = (
    "How do context managers release their resources?",
    "What makes a Python object hashable?",
    "Explain what a closure captures.",
    "Is a tuple always cheaper than a list?",
    "What happens at import time of a module?",
    "Why do mutable default arguments surprise people?",
    "Tell me how generators keep their state.",
    "Which problem do virtual environments solve?",
    "How is a wheel different from a source distribution?",
    "What do slots change in a class?",
    "Explain semantic versioning in two sentences.",
    "Why would someone pin dependencies?",
    "How does a rebase rewrite history?",
    "What is a merge commit good for?",
    "Explain what a lockfile guarantees.",
    "Is recursion limited in Python?",
    "Why are floats inexact?",
    "How do I think about idempotent operations?",
    "What does eventual consistency promise?",
    "Explain cross-site scripting to a beginner.",
    "Why should templates escape by default?",
    "How do cookies differ from local storage?",
    "When do race conditions bite?",
    "Tell me why deadlocks occur.",
    "Which HTTP verbs are safe?",
    "How would you name a boolean variable?",
    "Why write small functions?",
    "What is technical debt?",
    "Explain the idea behind continuous integration.",
    "Is it rude to force push?",
)
"""Questions that need no tool."""


TOKENS, MULTI_TOKENS = 256, 448
"""The most tokens of an answer, with one tool and with several: more than any program of the agent's data has."""


def made(
    wordings: Iterable[tuple[Chain, Sequence[str | Wording]]], names: Names, times: int = 1
) -> list[tuple[str, Request]]:
    """A request for each wording, `times` times with other names; each with its wording, which is its family."""
    found = []
    for chain, words in wordings:
        for one in words:
            wording = one if isinstance(one, Wording) else Wording(one)
            found += [(wording.words, written(chain, wording, names)) for _ in range(times)]
    return found


def new_cases() -> list[dict[str, Any]]:
    """The cases as lines of a suite, by category."""
    asked = [(words, request.category, request.words, request.calls) for words, request in requests()]
    asked += [(question, NO_TOOL, question, []) for question in QUESTIONS]
    numbers: Counter[str] = Counter()
    families: dict[str, str] = {}
    rows = []
    for words, category, prompt, calls in asked:
        numbers[category] += 1
        families.setdefault(words, f"{category}-{len(families):03}")
        rows.append(
            {
                "id": f"new-{category}-{numbers[category]:02}",
                "category": category,
                "family": families[words],
                "prompt": prompt,
                "expect": {"calls": calls},
                "scorer": "run",
                "max_tokens": MULTI_TOKENS if category == "multi_tool" else TOKENS,
            }
        )
    return sorted(rows, key=lambda row: CATEGORIES.index(str(row["category"])))


def requests() -> list[tuple[str, Request]]:
    """What the cases with calls ask for, with a right program each, in the order of `new_cases` within a category."""
    return made(WORDINGS, Names(CASES, seed=33), times=2)


def taken(rows: Iterable[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most so many cases of each category, of as many families as can be."""
    by: defaultdict[str, defaultdict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by[row["category"]][row["family"]].append(row)
    chosen = []
    for families in by.values():
        rounds = [row for turn in zip_longest(*families.values()) for row in turn if row is not None]
        chosen += rounds[:most]
    return chosen

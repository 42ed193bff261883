"""The suite: sentences and names that no training file has."""

import random

from tools.demo_model.chains import Chain
from tools.demo_model.language.names import Names
from tools.demo_model.language.phrasings import slots
from tools.demo_model.language.words import SUITE
from tools.demo_model.tools import CATEGORIES

Case = dict[str, object]
"""A line of the suite's file."""

_AT = "{symbol} at {path}:{line}:{column}"

SINGLE: dict[str, tuple[str, ...]] = {
    "read_file": (
        "Show me everything that is in {file}.",
        "I'd like to read {file} now.",
        "What does the text of {file} say?",
        "Open up {file} and show me what's inside.",
        "Print the whole file {file}, please.",
        "Could you get me the contents of {file}?",
        "Let me have a look at {file}.",
        "Please read the source in {file}.",
        "What is the content of {file}?",
    ),
    "write_file": (
        'Please put the words "{text}" into the file {file}.',
        'Create {file} and write "{text}" in it.',
        'I need a new file {file} that says "{text}".',
        'Save this line to {file}: "{text}".',
        'Make {file} contain the text "{text}".',
        'Could you store "{text}" in a file named {file}?',
        'The file {file} should just say "{text}".',
        'Overwrite {file} so that it contains "{text}".',
        'Write a file {file} with the text "{text}".',
    ),
    "run_command": (
        "Please execute `{command}` and show me what it prints.",
        "Run the command line `{command}` for me.",
        "In the shell, run `{command}`.",
        "What output does `{command}` give?",
        "Can you launch `{command}` in a shell?",
        "Start `{command}` and print the output.",
        "Would you run `{command}` in the terminal?",
        "I'd like you to run `{command}` now.",
        "Execute this in the terminal: `{command}`.",
    ),
    "typecheck": (
        "Please run a type check over {target}.",
        "Do the types in {target} check out?",
        "I wonder if the annotations in {target} are right.",
        "Find out whether {target} has type errors.",
        "Does the type checker accept {target}?",
        "Would you verify the type hints of {target}?",
        "Is there any typing mistake in {target}?",
        "Let the type checker go over {target}.",
        "Show me the type errors that {target} has.",
    ),
    "ruff_check": (
        "Please lint the code in {target}.",
        "Is ruff happy with {target}?",
        "Show me what ruff reports for {target}.",
        "Which lint problems does {target} have?",
        "Does {target} follow the style rules of ruff?",
        "Run the linter once over {target}.",
        "Find out whether {target} has lint errors.",
        "I'd like a lint check of {target}.",
        "Let ruff look over {target}.",
    ),
    "pytest_run": (
        "Please run all tests of {tests}.",
        "Is {tests} green?",
        "Find out whether the tests in {tests} pass.",
        "Would you run pytest for {tests}?",
        "Show me which tests of {tests} fail.",
        "Are there failing tests in {tests}?",
        "Run the unit tests that are in {tests}.",
        "Let pytest go through {tests}.",
        "I'd like to see the tests in {tests} pass.",
    ),
    "git_status": (
        "Which files did I modify in {folder}?",
        "Tell me what is uncommitted in {folder}.",
        "Please list what has been modified.",
        "Show me all files that are dirty in {folder}.",
        "Do I have uncommitted files?",
        "Are there modified files in {folder}?",
        "What does git status say for {folder}?",
        "Is everything in {folder} committed?",
        "Give me the status of the repository.",
    ),
    "git_diff": (
        "Please show me a diff for {file}.",
        "Tell me what I changed in {file}.",
        "What are my uncommitted edits in {file}?",
        "Let me see the changes made to {file}.",
        "How did {file} change since the last commit?",
        "Print a diff of {file} against HEAD.",
        "I'd like to see the git diff of {file}.",
        "Which lines of {file} did I edit?",
        "Show how {file} is different from HEAD.",
    ),
    "git_log": (
        "Please list the last {count} commits of the repository.",
        "Tell me the commit history of {file}.",
        "Show me the {count} newest commits to {file}.",
        "What commits were made to {file}?",
        "Let me see the log of {file}.",
        "Who committed to {file} most recently?",
        "I'd like to see the last {count} commits on {file}.",
        "Print the git history of {file}, {count} commits.",
        "Which were the last {count} commits that touched {file}?",
    ),
    "cst_find_pattern": (
        "Please find code that matches `{pattern}` in {target}.",
        "Show me where `{pattern}` occurs in {target}.",
        "List the places in {target} that match `{pattern}`.",
        "Search for the code pattern `{pattern}` in {target}.",
        "Does `{pattern}` match anything in {target}?",
        "Scan {target} and find each `{pattern}`.",
        "Is the pattern `{pattern}` found in {target}?",
        "I'd like all matches of `{pattern}` in {target}.",
        "In {target}, look for code like `{pattern}`.",
    ),
    "cst_rename": (
        "Please rename {old} in {target} to {new}.",
        "Change {old} to {new} everywhere in {target}.",
        "In {target}, {old} should now be called {new}.",
        "Give {old} in {target} the name {new}.",
        "I'd like to rename {old} to {new} throughout {target}.",
        "Let {old} be called {new} in {target}.",
        "Would you rename {old} into {new} in {target}?",
        "The name {old} should become {new} in {target}.",
        "Replace the name {old} with {new} in all of {target}.",
    ),
    "cst_add_import": (
        "Please insert `{statement}` at the top of {path}.",
        "{path} is missing an import: `{statement}`.",
        "Make sure `{statement}` is in {path}.",
        "I'd like {path} to have the import `{statement}`.",
        "Could you put `{statement}` among the imports of {path}?",
        "Add this import to {path}: `{statement}`.",
        "Let {path} start with `{statement}`.",
        "The file {path} needs `{statement}` at the top.",
        "See that {path} has `{statement}`.",
    ),
    "goto_definition": (
        f"Please find where {_AT} is defined.",
        f"Jump to the place where {_AT} is defined.",
        f"Give me the definition of {_AT}.",
        f"In which file is {_AT} defined?",
        f"Take me to the definition of {_AT}.",
    ),
    "find_references": (
        f"Please list every use of {_AT}.",
        f"Show me who uses {_AT}.",
        f"Find each reference to {_AT}.",
        f"Where do we use {_AT}?",
        f"I'd like all references of {_AT}.",
    ),
    "hover": (
        f"Tell me the type of {_AT}.",
        f"Would you hover over {_AT}?",
        f"I'd like to know the type of {_AT}.",
        f"What type is {_AT}?",
        f"Show the documentation of {_AT}.",
    ),
    "document_symbols": (
        "Please outline the file {path}.",
        "Which functions are there in {path}?",
        "List all classes and functions in {path}.",
        "Show me which symbols {path} defines.",
        "I'd like an outline of {path}.",
    ),
    "workspace_symbols": (
        "Please search the project for {query}.",
        "Find {query} somewhere in the workspace.",
        "Is there a symbol called {query}?",
        "Look for symbols named {query} in the whole project.",
        "Where in the project is a symbol {query}?",
    ),
    "validate_component": (
        "Validate the props of the component that lives in {path}.",
        "Is the component in {path} put together properly?",
        "Does the component {path} use its slots the way it should?",
        "Tell me whether {path} holds a valid component.",
    ),
    "check_render_tree": (
        "Is the render tree of {path} in good shape?",
        "Do the components of {path} nest correctly when they render?",
        "Go through the tree rendered by {path} and report bad nesting.",
        "Verify the render tree that comes out of {path}.",
    ),
    "validate_escape_context": (
        "Is the escaping done in {path} safe?",
        "Does {path} leave any value unescaped?",
        "Is each value in {path} properly escaped?",
        "Report each spot in {path} whose output is not escaped.",
    ),
    "validate_service_registration": (
        "Is each service of {path} registered with the container?",
        "Verify the service registration done by {path}.",
        "Are the registrations with the container in {path} complete?",
        "Does {path} register every service with a good lifetime?",
    ),
    "check_dependency_graph": (
        "Does the dependency graph in {path} have a cycle?",
        "Is there a circle among the services that {path} wires up?",
        "Verify the dependency graph built from {path}.",
        "Report cycles between services in {path}.",
    ),
    "validate_injection_site": (
        "Is the injection site at {path} sound?",
        "Can the parameters injected by {path} all be resolved?",
        "Verify what gets injected into the constructor of {path}.",
        "Are all injected parameters in {path} resolvable?",
    ),
    "validate_middleware_chain": (
        "Is the chain of middleware in {path} correct?",
        "Is the order of the middleware in {path} a good one?",
        "Does each middleware in {path} call the next?",
        "Tell me if the middleware chain of {path} is broken.",
    ),
    "check_di_template_binding": (
        "Is the template binding in {path} complete?",
        "Is each name in the template {path} bound to a service?",
        "Verify that the template names in {path} are bound.",
        "Report template variables in {path} without a bound service.",
    ),
    "validate_route_pattern": (
        "Is the route pattern that {path} declares a valid one?",
        "Are there URL patterns in {path} that overlap?",
        "Verify the routes that {path} declares.",
        "Are all routes of {path} in a good order?",
    ),
}
"""Requests for one tool."""

CHAINED: tuple[tuple[tuple[str, ...], str], ...] = (
    (("goto_definition", "read_file"), f"Find where {_AT} is defined and read the file."),
    (("goto_definition", "read_file"), f"Look up the definition of {_AT}, then read the file it is in."),
    (("goto_definition", "read_file"), f"Please find the definition of {_AT} and show me that file."),
    (("goto_definition", "read_file"), f"Read the file in which {_AT} is defined."),
    (("goto_definition", "ruff_check"), f"Find the definition of {_AT} and run ruff on its file."),
    (("goto_definition", "ruff_check"), f"Get the definition of {_AT}, then lint the file."),
    (("goto_definition", "ruff_check"), f"Lint the file where {_AT} gets defined."),
    (("goto_definition", "typecheck"), f"Look up the definition of {_AT}, then typecheck the file."),
    (("goto_definition", "typecheck"), f"Find the definition of {_AT} and check the types of its file."),
    (("goto_definition", "typecheck"), f"Typecheck the file where {_AT} gets defined."),
    (("workspace_symbols", "read_file"), "Find {query} in the project and read its file."),
    (("workspace_symbols", "read_file"), "Search the workspace for {query}, then show me the file."),
    (("workspace_symbols", "read_file"), "Look for {query} in the whole project and open the file it is in."),
    (("find_references", "read_file"), f"Find the references to {_AT} and open the first file."),
    (("find_references", "read_file"), f"Read the first file in which {_AT} is used."),
    (("find_references", "read_file"), f"List the uses of {_AT}, then show me the first file."),
    (("git_status", "git_diff"), "Find the first modified file of {folder} and show me the diff."),
    (("git_status", "git_diff"), "Show the diff of the first modified file in {folder}."),
    (("git_status", "git_diff"), "Look for the first file I modified in {folder} and diff it."),
    (("git_status", "ruff_check"), "Run ruff on the first modified file in {folder}."),
    (("git_status", "ruff_check"), "Find the first uncommitted file in {folder} and lint it."),
    (("git_status", "ruff_check"), "See what is modified in {folder}, then lint the first file."),
    (("ruff_check", "read_file"), "Lint {target}, then read the first file with a violation."),
    (("ruff_check", "read_file"), "Run ruff over {target} and open the file it complains about."),
    (("typecheck", "read_file"), "Typecheck {target}, then open the file with the first error."),
    (("typecheck", "read_file"), "Check the types in {target} and show me the first file with an error."),
    (("pytest_run", "read_file"), "Run the tests of {tests}, then read the file of the first failure."),
    (("pytest_run", "read_file"), "Run pytest on {tests} and open the file that fails first."),
    (("cst_find_pattern", "read_file"), "Search {target} for `{pattern}` and read the first file that matches."),
    (("cst_find_pattern", "read_file"), "Find `{pattern}` in {target}, then show me the file with the first match."),
    (("goto_definition", "read_file", "ruff_check"), f"Get the definition of {_AT}, read the file and lint it."),
    (("workspace_symbols", "ruff_check"), "Find {query} in the project and lint its file."),
    (("cst_find_pattern", "typecheck"), "Find `{pattern}` in {target} and typecheck the first file that matches."),
)
"""Requests for chains; the last two kinds are in no training file."""

_HEADLINE = {"cst": 3}
"""Headline cases of a category, if not four."""


def suite(rng: random.Random) -> list[Case]:
    """Every case, in the order of categories; the headline cases are spread over each category.

    The programs are executed, and every argument that the prompt names is checked. A family is a wording of a tool.
    """
    names = Names(SUITE, rng)
    asked: dict[str, list[Case]] = {category: [] for category in CATEGORIES}
    for tools, wordings in wordings_by_tools().items():
        for number, wording in enumerate(wordings, 1):
            family: Case = {"family": f"{'-'.join(tools)}-{number}"}
            asked[Chain(tools).category].append(asking(tools, wording, names) | family)
    cases: list[Case] = []
    for category, group in asked.items():
        count = _HEADLINE.get(category, 4)
        headline = {len(group) * position // count for position in range(count)}
        for index, case in enumerate(group):
            head: Case = {"id": f"{category}-{index + 1:02d}", "category": category}
            mark: Case = {"headline": True} if index in headline else {}
            cases.append(head | case | mark | {"max_tokens": 128})
    return cases


def wordings_by_tools() -> dict[tuple[str, ...], list[str]]:
    """Every wording of the suite, by the tools that are asked for."""
    wordings: dict[tuple[str, ...], list[str]] = {(tool,): list(templates) for tool, templates in SINGLE.items()}
    for tools, template in CHAINED:
        wordings.setdefault(tools, []).append(template)
    return wordings


def asking(tools: tuple[str, ...], wording: str, names: Names) -> Case:
    """A wording's prompt with names filled in, and what is expected of the answer."""
    asked = slots(wording)
    values = {slot: names.draw(slot) for slot in asked}
    calls = Chain(tools).expected(asked, values)
    return {"prompt": wording.format(**values), "expect": {"calls": calls}, "scorer": "run"}

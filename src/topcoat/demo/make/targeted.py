"""The eighty examples of phase 34a: validators and chains in many phrasings, and ten for the language server."""

import random

from topcoat.demo.make.chains import ask_chain
from topcoat.demo.make.dialogues import Example, ask, example
from topcoat.demo.make.names import Names
from topcoat.demo.make.words import WIDE

DOMAIN: dict[str, tuple[str, ...]] = {
    "validate_component": (
        "Are the props and slots of the component in {path} right?",
        "Is {path} a well-formed component?",
        "Does the component in {path} declare all of its props?",
        "check that {path} holds a proper component",
    ),
    "check_render_tree": (
        "Do the components in {path} nest correctly when the page renders?",
        "Is the render tree built by {path} sound?",
        "look for bad nesting in the tree that {path} renders",
    ),
    "validate_escape_context": (
        "Is every value in {path} escaped?",
        "look for unescaped output in {path}",
        "Does {path} print a value that is not escaped?",
        "check that the template {path} escapes its values",
    ),
    "validate_service_registration": (
        "Are the services in {path} registered with the container?",
        "Does {path} register a service twice or with a wrong lifetime?",
        "make sure that the registrations in {path} are right",
    ),
    "check_dependency_graph": (
        "Are there cycles among the services of {path}?",
        "Do services in {path} depend on each other in a circle?",
        "look for a cycle in the dependency graph of {path}",
    ),
    "validate_injection_site": (
        "Can everything injected in {path} be resolved?",
        "check the injected parameters of {path}",
        "Is the injection into the constructor in {path} valid?",
    ),
    "validate_middleware_chain": (
        "Is the middleware in {path} in the right order?",
        "Does every middleware of {path} call the next one?",
        "check the stack of middleware in {path}",
    ),
    "check_di_template_binding": (
        "Are the names in the template {path} bound to services?",
        "Which template names in {path} lack a binding?",
        "check that {path} binds its template variables to services",
    ),
    "validate_route_pattern": (
        "Do the URL patterns in {path} overlap?",
        "Are the routes of {path} in the right order?",
        "check the URL patterns of the routes in {path}",
        "Is every route in {path} well formed?",
    ),
}
"""Thirty requests for validators; each is used once."""

_AT = "{symbol} at {path}:{line}:{column}"

CHAINS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("goto_definition", "read_file"): (f"show me the file that defines {_AT}",),
    ("goto_definition", "ruff_check"): (
        f"find the definition of {_AT} and lint that file",
        f"go to where {_AT} is defined, then run ruff on the file",
        f"Does the file that defines {_AT} pass the linter?",
    ),
    ("goto_definition", "typecheck"): (
        f"find the definition of {_AT} and typecheck that file",
        f"Is the file that defines {_AT} correctly typed?",
    ),
    ("workspace_symbols", "read_file"): (
        "search the project for {query} and read the file",
        "find the symbol {query} and show me the file it is in",
        "look up {query} in the workspace, then open its file",
    ),
    ("workspace_symbols", "document_symbols"): (
        "search the workspace for {query} and outline the file it is in",
        "find {query} in the project, then list the symbols of that file",
    ),
    ("find_references", "read_file"): (
        f"find the references to {_AT} and read the first file",
        f"show me the first file that uses {_AT}",
    ),
    ("git_status", "git_diff"): ("Which file in {folder} did I change first, and what is its diff?",),
    ("git_status", "ruff_check"): (
        "find the first modified file and lint it",
        "lint the first file that is modified in {folder}",
        "look up what changed in {folder} and run ruff on the first file",
    ),
    ("git_status", "typecheck"): (
        "find the first modified file in {folder} and typecheck it",
        "check the types of the first uncommitted file in {folder}",
    ),
    ("ruff_check", "read_file"): (
        "lint {target} and read the first file with a violation",
        "run ruff on {target}, then show me the file it complains about",
        "open the first file in {target} that the linter dislikes",
    ),
    ("typecheck", "read_file"): (
        "typecheck {target} and read the file of the first error",
        "run the type checker on {target}, then open the file with the first error",
        "show me the first file in {target} with a type error",
    ),
    ("pytest_run", "read_file"): (
        "run the tests in {tests} and read the file of the first failure",
        "run {tests}, then open the file that fails",
        "show me the first file with a failing test in {tests}",
    ),
    ("cst_find_pattern", "read_file"): (
        "find `{pattern}` in {target} and read the first file that matches",
        "search {target} for `{pattern}`, then open the file with the first match",
        "show me the first file in {target} that contains `{pattern}`",
    ),
    ("cst_rename", "typecheck"): (
        "rename {old} to {new} in {target} and typecheck the file that changed",
        "change the name {old} to {new} in {target}, then check the types of the changed file",
    ),
    ("read_file", "write_file"): (
        "copy {file} to {output}",
        "read {file} and write its text to {output}",
    ),
    ("run_command", "write_file"): (
        "run `{command}` and save the output to {output}",
        "write what `{command}` prints into {output}",
    ),
    ("goto_definition", "read_file", "ruff_check"): (
        f"find the definition of {_AT}, read that file and lint it",
        f"open the file that defines {_AT}, then run ruff on it too",
    ),
    ("git_status", "git_diff", "ruff_check"): ("find the first modified file in {folder}, show its diff and lint it",),
}
"""Forty requests for chains; each is used once."""

LSP: dict[str, tuple[str, ...]] = {
    "hover": (
        f"Which type does {_AT} have?",
        f"tell me the type and documentation of {_AT}",
        f"What kind of thing is {_AT}?",
    ),
    "workspace_symbols": (
        "In which file is {query}? Search the project.",
        "Is there a symbol named {query} anywhere in the project?",
    ),
    "goto_definition": (f"take me to the place that defines {_AT}", f"Which file defines {_AT}?"),
    "find_references": (f"Which places use {_AT}?",),
    "document_symbols": ("give me an overview of the functions in {path}", "What is defined in {path}?"),
}
"""Ten requests for the language server; each is used once."""


def targeted(rng: random.Random) -> list[Example]:
    """The phase's examples, shuffled; about one in seven goes on with the tool's response."""
    names = Names(WIDE, rng)
    rows = [
        example(ask(tool, template, names, rng), names, goes_on=rng.random() < 0.15)
        for phrasings in (DOMAIN, LSP)
        for tool, templates in phrasings.items()
        for template in templates
    ]
    rows += [
        example(ask_chain(tools, template, names, rng), names)
        for tools, templates in CHAINS.items()
        for template in templates
    ]
    rng.shuffle(rows)
    return rows

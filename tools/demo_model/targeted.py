"""The eighty examples of phase 34a: validators and chains in many phrasings, and ten for the language server."""

import random

from tools.demo_model.chains import ask_chain
from tools.demo_model.dialogues import Example, ask, example
from tools.demo_model.language.names import Names
from tools.demo_model.language.words import TRAINING

DOMAIN: dict[str, tuple[str, ...]] = {
    "validate_component": (
        "Are the props and slots of the component in {path} right?",
        "say whether the component of {path} is a proper one",
    ),
    "check_render_tree": (
        "Do the components nest correctly when {path} renders?",
        "look for bad nesting in the tree that {path} renders",
    ),
    "validate_escape_context": (
        "Is every value in {path} escaped?",
        "look for values in {path} that are not escaped",
        "Which values does {path} leave unescaped?",
        "Does the template {path} escape all of its output?",
    ),
    "validate_service_registration": (
        "Are the services in {path} registered with the container?",
        "Does {path} register its services with the right lifetime?",
        "find services that {path} has not registered",
    ),
    "check_dependency_graph": (
        "Are there cycles among the services of {path}?",
        "Do services in {path} depend on each other in a circle?",
        "look for a cycle in the dependency graph of {path}",
        "find a circle of services in {path}",
        "Which services of {path} form a cycle?",
    ),
    "validate_injection_site": (
        "Can everything that is injected in {path} be resolved?",
        "check the parameters injected into {path}",
        "Are all parameters valid that get injected into {path}?",
        "find injected parameters of {path} that nothing resolves",
        "Is every injected parameter of {path} resolved?",
    ),
    "validate_middleware_chain": (
        "Is the middleware in {path} in the right order?",
        "Does every middleware of {path} call the next one?",
    ),
    "check_di_template_binding": (
        "look for template variables in {path} without a binding",
        "check that every name in the template {path} is bound",
        "Which template names in {path} have no service?",
        "Are the variables of the template {path} bound to services?",
    ),
    "validate_route_pattern": (
        "Do the URL patterns in {path} overlap?",
        "check the order of the routes in {path}",
        "Are the routes of {path} all well formed?",
    ),
}
"""Thirty requests for validators; each is used once."""

_AT = "{symbol} at {path}:{line}:{column}"

CHAINS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("goto_definition", "read_file"): (
        f"show me the file that defines {_AT}",
        f"find the place that defines {_AT}, then read the file",
    ),
    ("goto_definition", "ruff_check"): (
        f"find the definition of {_AT} and run the linter on that file",
        f"go to where {_AT} is defined, then run ruff on the file",
        f"lint the file that defines {_AT}",
        f"look up where {_AT} is defined and lint the file",
    ),
    ("goto_definition", "typecheck"): (
        f"find the definition of {_AT} and typecheck that file",
        f"go to where {_AT} is defined, then check the types of the file",
        f"typecheck the file that defines {_AT}",
        f"look up where {_AT} is defined and typecheck the file",
    ),
    ("workspace_symbols", "read_file"): (
        "search the project for {query} and read the file",
        "find the symbol {query} and show me the file it is in",
        "look up {query} in the workspace, then open its file",
        "search the workspace for {query} and show me its file",
    ),
    ("find_references", "read_file"): (
        f"find the references to {_AT} and read the first file",
        f"show me the first file that uses {_AT}",
        f"list the references to {_AT}, then open the first file",
        f"find the uses of {_AT} and read the first file",
    ),
    ("git_status", "git_diff"): (
        "show me the diff of the first file that I changed in {folder}",
        "see what is modified in {folder}, then diff the first file",
    ),
    ("git_status", "ruff_check"): (
        "find the first modified file and lint it",
        "lint the first modified file in {folder}",
        "find the first changed file in {folder} and run ruff on it",
        "look up what changed in {folder}, then lint the first file",
    ),
    ("ruff_check", "read_file"): (
        "lint {target} and read the first file with a violation",
        "run ruff on {target}, then show me the file it complains about",
        "open the first file in {target} that the linter dislikes",
        "run the linter on {target} and open the first file it complains about",
    ),
    ("typecheck", "read_file"): (
        "run the type checker on {target}, then open the file with the first error",
        "show me the first file in {target} with a type error",
    ),
    ("pytest_run", "read_file"): (
        "run the tests in {tests} and read the file of the first failure",
        "run {tests}, then open the file that fails",
        "show me the first file with a failing test in {tests}",
        "run pytest on {tests} and show me the file that fails",
    ),
    ("cst_find_pattern", "read_file"): (
        "find `{pattern}` in {target} and read the first file that matches",
        "search {target} for `{pattern}`, then open the file with the first match",
        "show me the first file in {target} that contains `{pattern}`",
    ),
    ("goto_definition", "read_file", "ruff_check"): (
        f"find the definition of {_AT}, read that file and lint it",
        f"open the file that defines {_AT}, then run ruff on it too",
        f"look up where {_AT} is defined, read the file and run ruff on it",
    ),
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
    names = Names(TRAINING, rng)
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

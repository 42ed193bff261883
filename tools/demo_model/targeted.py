"""The examples of phase 34a: validators and chains in many phrasings, and ten for the language server.

No prompt of the suite has most of its words from one of them.
"""

import random

from tools.demo_model.chains import ask_chain
from tools.demo_model.dialogues import Example, ask, example
from tools.demo_model.language.names import Names
from tools.demo_model.language.words import TRAINING

DOMAIN: dict[str, tuple[str, ...]] = {
    "validate_component": (
        "Are the props and slots of the component in {path} right?",
        "say whether the component of {path} is a proper one",
        "Does the component in {path} declare its props properly?",
        "check the props and slots that {path} defines",
        "Is there anything wrong with the component that {path} holds?",
    ),
    "check_render_tree": (
        "Do the components nest correctly when {path} renders?",
        "look for bad nesting in the tree that {path} renders",
        "Is any component nested wrongly in {path}?",
        "see which component of {path} renders inside another that may not hold it",
        "Does {path} render its components in a legal order?",
        "go through what {path} renders and tell me about wrong nesting",
    ),
    "validate_escape_context": (
        "Is every value in {path} escaped?",
        "look for values in {path} that are not escaped",
        "Which values does {path} leave unescaped?",
        "Does the template {path} escape all of its output?",
        "Could {path} print raw HTML that a user typed?",
        "make sure that {path} prints nothing unescaped",
    ),
    "validate_service_registration": (
        "Are the services in {path} registered with the container?",
        "Does {path} register its services with the right lifetime?",
        "find services that {path} has not registered",
        "Which services in {path} lack a registration?",
        "see how {path} registers its services and what is wrong with it",
        "Has every service of {path} been registered?",
    ),
    "check_dependency_graph": (
        "Are there cycles among the services of {path}?",
        "Do services in {path} depend on each other in a circle?",
        "look for a cycle in the dependency graph of {path}",
        "find a circle of services in {path}",
        "Which services of {path} form a cycle?",
        "Do any services in {path} need each other?",
        "tell me if the services of {path} go round in a circle",
    ),
    "validate_injection_site": (
        "Can everything that is injected in {path} be resolved?",
        "check the parameters injected into {path}",
        "Are all parameters valid that get injected into {path}?",
        "find injected parameters of {path} that nothing resolves",
        "Is every injected parameter of {path} resolved?",
        "Does {path} inject anything that no service provides?",
        "verify what gets injected into the functions of {path}",
    ),
    "validate_middleware_chain": (
        "Is the middleware in {path} in the right order?",
        "Does every middleware of {path} call the next one?",
        "Which middleware of {path} stands in the wrong place?",
        "see if the middleware of {path} is chained properly",
        "Does the middleware chain in {path} break anywhere?",
        "look for a middleware in {path} that never calls the next",
    ),
    "check_di_template_binding": (
        "look for template variables in {path} without a binding",
        "check that every name in the template {path} is bound",
        "Which template names in {path} have no service?",
        "Are the variables of the template {path} bound to services?",
        "Does the template {path} use a variable that no service binds?",
        "make sure that the template {path} gets each variable from a service",
    ),
    "validate_route_pattern": (
        "Do the URL patterns in {path} overlap?",
        "check the order of the routes in {path}",
        "Are the routes of {path} all well formed?",
        "Does one route in {path} hide another?",
        "tell me which URL patterns of {path} are wrong",
        "Is every URL pattern in {path} valid?",
        "look for routes in {path} that clash",
    ),
}
"""Fifty-six requests for validators; each is used once."""

_AT = "{symbol} at {path}:{line}:{column}"

CHAINS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("goto_definition", "read_file"): (
        f"Where does {_AT} come from? Print the whole source.",
        f"I want to look into the module that declares {_AT}.",
        f"follow {_AT} to its origin and dump that source",
    ),
    ("goto_definition", "ruff_check"): (
        f"Does the module that declares {_AT} follow our style rules?",
        f"follow {_AT} to its origin and let ruff check what you land in",
        f"Any lint trouble in the source that {_AT} comes from?",
    ),
    ("goto_definition", "typecheck"): (
        f"Is the module that declares {_AT} well typed?",
        f"follow {_AT} to its origin and let the type checker look at that module",
        f"Any type errors in the source that {_AT} comes from?",
    ),
    ("workspace_symbols", "read_file"): (
        "Which module has {query}? I need its text.",
        "locate {query} anywhere in our code, then print the source that has it",
        "hunt for {query} across all modules and display the right one",
    ),
    ("find_references", "read_file"): (
        f"Who calls {_AT}? Print the source of the first caller.",
        f"take the first place that uses {_AT} and display its source",
        f"I need the text of the first module that depends on {_AT}.",
    ),
    ("find_references", "ruff_check"): (f"Does the first caller of {_AT} pass the linter?",),
    ("git_status", "git_diff"): (
        "Something in {folder} is uncommitted: print what changed in the first such file.",
        "Which edits does the first dirty file below {folder} have?",
        "ask git about {folder} and diff the first entry that it lists",
    ),
    ("git_status", "ruff_check"): (
        "Before I commit {folder}: does the first touched file pass the linter?",
        "ask git what is dirty below {folder} and give the first entry to ruff",
        "check the style of the first thing that differs from HEAD below {folder}",
    ),
    ("git_status", "typecheck"): ("let the type checker look at whatever I touched first in {folder}",),
    ("git_status", "read_file"): ("print the source that I touched first in {folder}",),
    ("ruff_check", "read_file"): (
        "If ruff dislikes anything in {target}, print that source.",
        "check the style of {target} and display the first offender",
        "Which module of {target} breaks a lint rule first? I need its text.",
    ),
    ("typecheck", "read_file"): (
        "If the type checker dislikes something in {target}, print that source.",
        "verify the annotations in {target} and display the first offender",
        "Which module of {target} is badly typed? I need its text.",
    ),
    ("pytest_run", "read_file"): (
        "Something fails in {tests}: print the source of the first broken test.",
        "execute {tests} and display whichever module breaks first",
        "Which module does the first failure of {tests} point to? I need its text.",
    ),
    ("pytest_run", "ruff_check"): ("execute {tests} and check the style of whichever module breaks first",),
    ("cst_find_pattern", "read_file"): (
        "Who writes `{pattern}` in {target}? Print the first such source.",
        "scan {target} for code like `{pattern}` and display the first hit",
        "I need the text of the first place in {target} that looks like `{pattern}`.",
    ),
    ("goto_definition", "read_file", "ruff_check"): (
        f"follow {_AT} to its origin, print that source and check its style too",
        f"Where does {_AT} come from? I need the text of that module and what ruff says about it.",
    ),
    ("find_references", "read_file", "typecheck"): (
        f"Who calls {_AT}? Print the first caller and let the type checker look at it too.",
    ),
}
"""Requests for chains; each is used once."""

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

"""How each tool of the catalog is called, and what it answers."""

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tools.demo_model.language.phrasings import slots

CATEGORIES = ("text_tools", "validation", "lsp", "git", "cst", "domain", "multi_tool")
"""The suite's categories; ``multi_tool`` has no tools of its own."""


@dataclass(frozen=True)
class Tool:
    """One tool: its category, its call with ``{slots}``, and the values of slots that a prompt leaves open."""

    name: str
    category: str
    parameters: str
    """The parameters of the catalog, with spaces between."""
    arguments: str
    """What is given for each, with slots."""
    response: str
    """What a successful call prints, with slots."""
    answer: str
    """The assistant's short answer to that response, with slots."""
    defaults: tuple[tuple[str, str], ...] = ()

    @property
    def call(self) -> str:
        """The call as code, with slots."""
        return f"{self.name}({self.arguments})"

    def expected(self, asked: Collection[str], values: Mapping[str, str]) -> dict[str, object]:
        """The call that a suite expects of a prompt with the slots ``asked``: arguments that it leaves open are free.

        A folder or file that it doesn't name is the default, the whole repository.
        """
        filled = dict(self.defaults) | dict(values)
        given = {}
        for parameter, argument in zip(self.parameters.split(), self.arguments.split(", "), strict=True):
            open_slots = set(slots(argument)) - set(asked)
            if not open_slots or parameter == "path":
                given[parameter] = ast.literal_eval(argument.format(**filled))
        return {"tool": self.name, "args": given}


_PLACE = "path line column symbol"
_AT = '"{path}", {line}, {column}, "{symbol}"'


def _validator(name: str, subject: str) -> Tool:
    return Tool(
        name,
        "domain",
        "path",
        '"{path}"',
        "ValidationResult(valid=True, problems=[])",
        f"No problem with {subject} in {{path}}.",
    )


_ALL = (
    Tool("read_file", "text_tools", "path", '"{file}"', 'FileResult(content="{text}")', "{file} says: {text}."),
    Tool(
        "write_file", "text_tools", "path content", '"{file}", "{text}"', 'WriteResult(path="{file}")', "Wrote {file}."
    ),
    Tool(
        "run_command",
        "text_tools",
        "command",
        '"{command}"',
        'CommandResult(exit_code=0, output="{text}")',
        "It printed: {text}.",
    ),
    Tool("typecheck", "validation", "path", '"{target}"', "TypecheckResult(errors=[])", "No type errors in {target}."),
    Tool(
        "ruff_check", "validation", "path", '"{target}"', "RuffResult(violations=[])", "Ruff finds nothing in {target}."
    ),
    Tool(
        "pytest_run",
        "validation",
        "path",
        '"{tests}"',
        "PytestResult(passed={count}, failures=[])",
        "All {count} tests passed.",
    ),
    Tool(
        "goto_definition",
        "lsp",
        _PLACE,
        _AT,
        'DefinitionResult(locations=[Location(file="{file}", line={line})])',
        "{symbol} is defined in {file} at line {line}.",
    ),
    Tool(
        "find_references",
        "lsp",
        _PLACE,
        _AT,
        'ReferencesResult(references=[Location(file="{file}", line={line})])',
        "{symbol} is used in {file} at line {line}.",
    ),
    Tool("hover", "lsp", _PLACE, _AT, 'HoverResult(type="{query}")', "{symbol} has the type {query}."),
    Tool(
        "document_symbols", "lsp", "path", '"{path}"', 'OutlineResult(symbols=["{symbol}"])', "{path} defines {symbol}."
    ),
    Tool(
        "workspace_symbols",
        "lsp",
        "query",
        '"{query}"',
        'SymbolsResult(symbols=[Symbol(name="{query}", file="{file}")])',
        "{query} is in {file}.",
    ),
    Tool(
        "git_status",
        "git",
        "path",
        '"{folder}"',
        'StatusResult(modified=["{file}"])',
        "Only {file} is modified.",
        (("folder", "."),),
    ),
    Tool(
        "git_diff",
        "git",
        "path",
        '"{file}"',
        "DiffResult(added={count}, removed=0)",
        "{count} lines were added.",
        (("file", "."),),
    ),
    Tool(
        "git_log",
        "git",
        "path count",
        '"{file}", {count}',
        'LogResult(commits=["{text}"])',
        "The last commit is: {text}.",
        (("file", "."), ("count", "10")),
    ),
    Tool(
        "cst_find_pattern",
        "cst",
        "path pattern",
        '"{target}", "{pattern}"',
        'PatternResult(matches=[Location(file="{file}", line={line})])',
        "It matches in {file} at line {line}.",
    ),
    Tool(
        "cst_rename",
        "cst",
        "path old new",
        '"{target}", "{old}", "{new}"',
        'RenameResult(changed=["{file}"])',
        "Renamed; {file} changed.",
    ),
    Tool(
        "cst_add_import",
        "cst",
        "path statement",
        '"{path}", "{statement}"',
        "ImportResult(added=True)",
        "{path} has the import now.",
    ),
    _validator("validate_component", "the component"),
    _validator("check_render_tree", "the render tree"),
    _validator("validate_escape_context", "the escaping"),
    _validator("validate_service_registration", "the registration"),
    _validator("check_dependency_graph", "the dependency graph"),
    _validator("validate_injection_site", "the injection site"),
    _validator("validate_middleware_chain", "the middleware chain"),
    _validator("check_di_template_binding", "the bindings"),
    _validator("validate_route_pattern", "the route pattern"),
)

TOOLS = {tool.name: tool for tool in _ALL}
"""Every tool by name."""

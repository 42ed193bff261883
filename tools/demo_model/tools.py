"""How each tool of the catalog is called, and what it answers."""

from dataclasses import dataclass

CATEGORIES = ("text_tools", "validation", "lsp", "git", "cst", "domain", "multi_tool")
"""The suite's categories; ``multi_tool`` has no tools of its own."""


@dataclass(frozen=True)
class Tool:
    """One tool: its category, its call with ``{slots}``, and the values of slots that a prompt leaves open."""

    name: str
    category: str
    arguments: str
    response: str
    """What a successful call prints, with slots."""
    answer: str
    """The assistant's short answer to that response, with slots."""
    defaults: tuple[tuple[str, str], ...] = ()

    @property
    def call(self) -> str:
        """The call as code, with slots."""
        return f"{self.name}({self.arguments})"


_AT = '"{path}", {line}, {column}, "{symbol}"'


def _validator(name: str, subject: str) -> Tool:
    return Tool(
        name,
        "domain",
        '"{path}"',
        "ValidationResult(valid=True, problems=[])",
        f"No problem with {subject} in {{path}}.",
    )


_ALL = (
    Tool("read_file", "text_tools", '"{file}"', 'FileResult(content="{text}")', "{file} says: {text}."),
    Tool("write_file", "text_tools", '"{file}", "{text}"', 'WriteResult(path="{file}")', "Wrote {file}."),
    Tool(
        "run_command", "text_tools", '"{command}"', 'CommandResult(exit_code=0, output="{text}")', "It printed: {text}."
    ),
    Tool("typecheck", "validation", '"{target}"', "TypecheckResult(errors=[])", "No type errors in {target}."),
    Tool("ruff_check", "validation", '"{target}"', "RuffResult(violations=[])", "Ruff finds nothing in {target}."),
    Tool(
        "pytest_run",
        "validation",
        '"{tests}"',
        "PytestResult(passed={count}, failures=[])",
        "All {count} tests passed.",
    ),
    Tool(
        "goto_definition",
        "lsp",
        _AT,
        'DefinitionResult(locations=[Location(file="{file}", line={line})])',
        "{symbol} is defined in {file} at line {line}.",
    ),
    Tool(
        "find_references",
        "lsp",
        _AT,
        'ReferencesResult(references=[Location(file="{file}", line={line})])',
        "{symbol} is used in {file} at line {line}.",
    ),
    Tool("hover", "lsp", _AT, 'HoverResult(type="{query}")', "{symbol} has the type {query}."),
    Tool("document_symbols", "lsp", '"{path}"', 'OutlineResult(symbols=["{symbol}"])', "{path} defines {symbol}."),
    Tool(
        "workspace_symbols",
        "lsp",
        '"{query}"',
        'SymbolsResult(symbols=[Symbol(name="{query}", file="{file}")])',
        "{query} is in {file}.",
    ),
    Tool(
        "git_status",
        "git",
        '"{folder}"',
        'StatusResult(modified=["{file}"])',
        "Only {file} is modified.",
        (("folder", "."),),
    ),
    Tool(
        "git_diff",
        "git",
        '"{file}"',
        "DiffResult(added={count}, removed=0)",
        "{count} lines were added.",
        (("file", "."),),
    ),
    Tool(
        "git_log",
        "git",
        '"{file}", {count}',
        'LogResult(commits=["{text}"])',
        "The last commit is: {text}.",
        (("file", "."), ("count", "10")),
    ),
    Tool(
        "cst_find_pattern",
        "cst",
        '"{target}", "{pattern}"',
        'PatternResult(matches=[Location(file="{file}", line={line})])',
        "It matches in {file} at line {line}.",
    ),
    Tool(
        "cst_rename",
        "cst",
        '"{target}", "{old}", "{new}"',
        'RenameResult(changed=["{file}"])',
        "Renamed; {file} changed.",
    ),
    Tool("cst_add_import", "cst", '"{path}", "{statement}"', "ImportResult(added=True)", "{path} has the import now."),
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

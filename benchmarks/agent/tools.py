"""The agent's tools: their categories, how a program of the data calls each, and what it does with the result.

Programs are texts with `$slots`. What the data's programs do is kept (variables, branches on fields of results, nested
steps); their words are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from topcoat.spec.tools.catalog import Catalog
from topcoat.spec.tools.stubs import parse_stubs

__all__ = ["CATALOG_FILE", "CATEGORIES", "DEFAULTS", "NO_TOOL", "TAKEN", "TOOLS", "Tool", "catalog", "category_of"]

CATALOG_FILE = Path(__file__).with_name("catalog.pyi")
NO_TOOL = "no_tool"
CATEGORIES = ("text_tools", "validation", "lsp", "git", "cst", "domain", "multi_tool", NO_TOOL)
"""Those of the agent's own evaluation, and questions that need no tool."""

TAKEN = "$taken"
"""In a later step, what it takes from the first one's result: an expression."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool in programs.

    `parameters` are the arguments by name, as code. `variable` holds the result. With `found` true, `shows` tell
    what was found, and `takes` is what a later step takes; else `missing` is said. `passes` is true where all is well.
    """

    name: str
    category: str
    title: str
    parameters: Mapping[str, str]
    variable: str
    found: str
    shows: tuple[str, ...]
    missing: str
    binds: tuple[str, ...] = ()
    takes: str = ""
    passes: str = ""

    def call(self, arguments: Mapping[str, str] | None = None) -> str:
        """The call with its own arguments, or with others."""
        given = {**self.parameters, **(arguments or {})}
        written = [f"{name}={text}" if text in ("True", "False", "$staged") else text for name, text in given.items()]
        return f"{self.name}({', '.join(written)})"


def catalog() -> Catalog:
    return parse_stubs(CATALOG_FILE.read_text(encoding="utf-8"), CATALOG_FILE)


def category_of(tools: tuple[str, ...]) -> str:
    """The category of a request for these tools."""
    return TOOLS[tools[0]].category if len(tools) == 1 else "multi_tool" if tools else NO_TOOL


_AT = {"file": '"$at"', "line": "$line", "col": "$column", "symbol": '"$symbol"'}
_FILE = {"file": '"$file"'}


def _validator(name: str, title: str, well: str, badly: str) -> Tool:
    return Tool(
        name,
        "domain",
        title,
        _FILE,
        "report",
        "not report.valid",
        (
            f'print(f"✗ {badly}: {{len(report.issues)}} issues")',
            "for issue in report.issues:",
            '    print(f"  [{issue.severity}] {issue.message}")',
            "    if issue.suggestion:",
            '        print(f"    Suggestion: {issue.suggestion}")',
        ),
        f'print(f"✓ {well} ({{report.domain}})")',
        passes="report.valid",
    )


_ALL = (
    Tool(
        "read_file",
        "text_tools",
        "Read the file",
        {"path": '"$file"'},
        "content",
        "content",
        ('lines = content.split("\\n")', 'print(f"{len(lines)} lines")', "for line in lines[:20]:", "    print(line)"),
        'print("The file is empty")',
        takes="content",
    ),
    Tool(
        "write_file",
        "text_tools",
        "Write the file",
        {"path": '"$note"', "content": '"$text"'},
        "written",
        "written",
        ("print(written)",),
        'print("Nothing was written")',
    ),
    Tool(
        "run_command",
        "text_tools",
        "Run the command",
        {"command": '"$command"'},
        "output",
        "output",
        ("print(output)",),
        'print("No output")',
    ),
    Tool(
        "typecheck",
        "validation",
        "Check the types",
        {"path": '"$target"'},
        "ty",
        "ty.error_count > 0",
        (
            'print(f"{ty.error_count} errors, {ty.warning_count} warnings")',
            "for error in ty.errors:",
            '    print(f"  {error.file}:{error.line}: {error.message}")',
        ),
        'print("✓ No type errors")',
        takes="ty.errors[0].file",
        passes="ty.success",
    ),
    Tool(
        "ruff_check",
        "validation",
        "Lint",
        {"path": '"$target"'},
        "ruff",
        "ruff.violation_count > 0",
        (
            'print(f"{ruff.violation_count} violations, {ruff.fixable_count} fixable")',
            "for v in ruff.violations[:5]:",
            '    print(f"  {v.file}:{v.line} {v.code} {v.message}")',
        ),
        'print("✓ No lint violations")',
        takes="ruff.violations[0].file",
        passes="ruff.success",
    ),
    Tool(
        "pytest_run",
        "validation",
        "Run the tests",
        {"path": '"$tests"'},
        "tests",
        "tests.failed > 0",
        (
            'print(f"{tests.failed} failed, {tests.passed} passed")',
            "for test in tests.tests:",
            '    if test.outcome == "failed":',
            '        print(f"  {test.name}: {test.message}")',
        ),
        'print(f"✓ {tests.passed} passed in {tests.duration:.2f}s")',
        passes="tests.success",
    ),
    Tool(
        "goto_definition",
        "lsp",
        "Find the definition",
        _AT,
        "def_result",
        "def_result.success and def_result.locations",
        ('print(f"$symbol: {loc.file}:{loc.line}")',),
        'print("No definition of $symbol")',
        binds=("loc = def_result.locations[0]",),
        takes="loc.file",
    ),
    Tool(
        "find_references",
        "lsp",
        "Find the references",
        _AT,
        "refs",
        "refs.success and refs.references",
        (
            'print(f"{refs.reference_count} uses of $symbol")',
            "for ref in refs.references:",
            '    print(f"  {ref.file}:{ref.line}")',
        ),
        'print("No use of $symbol")',
        takes="refs.references[0].file",
    ),
    Tool(
        "hover",
        "lsp",
        "Show the type",
        _AT,
        "info",
        "info.success and info.content",
        ("print(info.content)", "if info.documentation:", "    print(info.documentation)"),
        'print("Nothing known about $symbol")',
    ),
    Tool(
        "document_symbols",
        "lsp",
        "Outline the file",
        _FILE,
        "outline",
        "outline.success and outline.symbols",
        (
            'print(f"{outline.symbol_count} symbols")',
            "for sym in outline.symbols:",
            '    print(f"  {sym.kind} {sym.name} (line {sym.line})")',
        ),
        'print("No symbols")',
        takes="outline.symbols[0]",
    ),
    Tool(
        "workspace_symbols",
        "lsp",
        "Search the workspace",
        {"query": '"$query"'},
        "found",
        "found.success and found.symbols",
        (
            'print(f"{found.symbol_count} symbols like $query")',
            "for symbol in found.symbols:",
            '    print(f"  {symbol.name} at {symbol.file}:{symbol.line}")',
        ),
        'print("No symbol like $query")',
        takes="found.symbols[0].file",
    ),
    Tool(
        "git_status",
        "git",
        "Check git status",
        {"path": '"$folder"'},
        "status",
        "not status.clean",
        (
            'print(f"{status.file_count} files changed")',
            "for f in status.files:",
            '    tag = "staged" if f.staged else "unstaged"',
            '    print(f"  {f.file} ({f.status}, {tag})")',
        ),
        'print("Working tree clean")',
        takes="status.files[0].file",
        passes="status.clean",
    ),
    Tool(
        "git_diff",
        "git",
        "Get the diff",
        {"path": '"$changed"', "staged": "$staged"},
        "diff",
        "diff.file_count > 0",
        (
            'print(f"{diff.file_count} files: +{diff.additions} -{diff.deletions}")',
            "for f in diff.files:",
            '    print(f"  {f.file}: +{f.additions} -{f.deletions}")',
        ),
        'print("No changes")',
        takes="diff.files[0].file",
    ),
    Tool(
        "git_log",
        "git",
        "Get the commits",
        {"path": '"$logged"', "count": "$count"},
        "log",
        "log.commit_count > 0",
        ("for commit in log.commits:", '    print(f"  {commit.hash} {commit.message} ({commit.author})")'),
        'print("No commits")',
    ),
    Tool(
        "cst_find_pattern",
        "cst",
        "Search the syntax tree",
        {"file": '"$file"', "pattern": '"$pattern"'},
        "hits",
        "hits.match_count > 0",
        (
            'print(f"{hits.match_count} matches")',
            "for match in hits.matches:",
            '    print(f"  Line {match.line}: {match.node_type}: {match.code_snippet}")',
        ),
        'print("No match")',
    ),
    Tool(
        "cst_rename",
        "cst",
        "Rename",
        {"file": '"$file"', "old_name": '"$old"', "new_name": '"$new"'},
        "renamed",
        "renamed.success",
        ('print(f"$old is $new now, {renamed.rename_count} times")',),
        'print(f"Parse error: {renamed.parse_error}")',
        passes="renamed.success",
    ),
    Tool(
        "cst_add_import",
        "cst",
        "Add the import",
        {"file": '"$file"', "import_stmt": '"$statement"'},
        "imported",
        "imported.success",
        ("if imported.import_added:", '    print("Added: $statement")', "else:", '    print("It is there already")'),
        'print(f"Parse error: {imported.parse_error}")',
        passes="imported.success",
    ),
    _validator(
        "validate_component", "Validate the tdom component", "The component is valid", "The component is invalid"
    ),
    _validator("check_render_tree", "Check the render tree", "The render tree is sound", "The render tree is broken"),
    _validator("validate_escape_context", "Check the escaping", "Everything is escaped", "Unsafe interpolation"),
    _validator(
        "validate_service_registration",
        "Check the registration",
        "The service is registered",
        "The registration is wrong",
    ),
    _validator("check_dependency_graph", "Check the layers", "The layers are respected", "Layer violations"),
    _validator("validate_injection_site", "Check the injection sites", "All types are imported", "Types are missing"),
    _validator(
        "validate_middleware_chain", "Check the middleware", "The middleware is right", "The middleware is wrong"
    ),
    _validator(
        "check_di_template_binding", "Check context= in html()", "The context is passed", "The context is missing"
    ),
    _validator("validate_route_pattern", "Check the routes", "The routes are valid", "Routes are malformed"),
)

TOOLS = {tool.name: tool for tool in _ALL}
"""Every tool by name, in the order of the agent's system prompt."""

DEFAULTS = {
    "target": "src/",
    "tests": "tests/",
    "folder": ".",
    "changed": ".",
    "logged": ".",
    "count": "10",
    "staged": "False",
}
"""What a program gives where the question names nothing else."""

"""Every tool that the assistant may call inside execute_code."""

# What the tools answer with.

class FileResult:
    """The text of a file."""

    path: str
    content: str
    lines: int

class WriteResult:
    """A file that was written."""

    path: str
    bytes: int

class CommandResult:
    """A shell command that has ended."""

    exit_code: int
    output: str

class Problem:
    """One finding of a check."""

    file: str
    line: int
    message: str

class TypecheckResult:
    """Type errors, in the order of files."""

    errors: list[Problem]

class RuffResult:
    """Violations of lint rules."""

    violations: list[Problem]

class PytestResult:
    """A test run."""

    passed: int
    failures: list[Problem]

class Location:
    """A place in a source file; lines and columns count from 1."""

    file: str
    line: int
    column: int

class Symbol:
    """A class, function or variable and where it is defined."""

    name: str
    kind: str
    file: str
    line: int
    column: int

class DefinitionResult:
    """Where a symbol is defined; several places if it is overloaded."""

    locations: list[Location]

class ReferencesResult:
    """Every use of a symbol."""

    references: list[Location]

class HoverResult:
    """A symbol's type and documentation."""

    type: str
    documentation: str

class OutlineResult:
    """The symbols of one file, in the order of lines."""

    symbols: list[Symbol]

class SymbolsResult:
    """The symbols of the whole project that match a name."""

    symbols: list[Symbol]

class StatusResult:
    """Files that differ from the last commit."""

    modified: list[str]
    untracked: list[str]

class DiffResult:
    """Uncommitted changes as a unified diff."""

    files: list[str]
    text: str
    added: int
    removed: int

class Commit:
    """One commit."""

    id: str
    author: str
    message: str

class LogResult:
    """Commits, the newest first."""

    commits: list[Commit]

class PatternResult:
    """Places where a code pattern matches."""

    matches: list[Location]

class RenameResult:
    """A finished renaming."""

    changed: list[str]

class ImportResult:
    """Whether the import had to be added."""

    path: str
    added: bool

class ValidationResult:
    """What a validator of the web framework found; valid if there is no problem."""

    valid: bool
    problems: list[Problem]

# Text tools.

def read_file(path: str) -> FileResult:
    """Read a file's text."""

def write_file(path: str, content: str) -> WriteResult:
    """Write a text to a file, replacing what was there."""

def run_command(command: str) -> CommandResult:
    """Run a shell command and wait for it."""

# Validation.

def typecheck(path: str) -> TypecheckResult:
    """Check the types of a file or folder."""

def ruff_check(path: str) -> RuffResult:
    """Lint a file or folder with Ruff."""

def pytest_run(path: str) -> PytestResult:
    """Run the tests of a file or folder."""

# Language server.

def goto_definition(path: str, line: int, column: int, symbol: str) -> DefinitionResult:
    """Find where the symbol at this place is defined."""

def find_references(path: str, line: int, column: int, symbol: str) -> ReferencesResult:
    """Find every use of the symbol at this place."""

def hover(path: str, line: int, column: int, symbol: str) -> HoverResult:
    """Tell the type and documentation of the symbol at this place."""

def document_symbols(path: str) -> OutlineResult:
    """Outline a file: its classes, functions and variables."""

def workspace_symbols(query: str) -> SymbolsResult:
    """Search the whole project for a symbol by name."""

# Git.

def git_status(path: str = ".") -> StatusResult:
    """List the files that were changed but not committed."""

def git_diff(path: str = ".") -> DiffResult:
    """Show uncommitted changes of a file or folder."""

def git_log(path: str = ".", count: int = 10) -> LogResult:
    """List the last commits that touched a file or folder."""

# Syntax trees.

def cst_find_pattern(path: str, pattern: str) -> PatternResult:
    """Find code by its shape; $NAME stands for any expression."""

def cst_rename(path: str, old: str, new: str) -> RenameResult:
    """Rename a symbol in a file or folder, leaving strings and comments alone."""

def cst_add_import(path: str, statement: str) -> ImportResult:
    """Add an import statement to a file unless it is there."""

# Validators of the web framework.

def validate_component(path: str) -> ValidationResult:
    """Check a component: its props, its slots and what it returns."""

def check_render_tree(path: str) -> ValidationResult:
    """Check how components nest when a page is rendered."""

def validate_escape_context(path: str) -> ValidationResult:
    """Check that every value in a template is escaped for the place where it lands."""

def validate_service_registration(path: str) -> ValidationResult:
    """Check that services are registered with the container, each once and with the right lifetime."""

def check_dependency_graph(path: str) -> ValidationResult:
    """Check the graph of services for cycles and missing nodes."""

def validate_injection_site(path: str) -> ValidationResult:
    """Check that the parameters where services are injected can be resolved."""

def validate_middleware_chain(path: str) -> ValidationResult:
    """Check the order of middleware and that each one calls the next."""

def check_di_template_binding(path: str) -> ValidationResult:
    """Check that names in a template are bound to services of the container."""

def validate_route_pattern(path: str) -> ValidationResult:
    """Check the URL patterns of routes: converters, overlaps and order."""

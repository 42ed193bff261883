"""The tools of the agent whose data this is, as its training data and its system prompts show them."""

class Issue:
    """What a validator found."""

    severity: str
    message: str
    suggestion: str | None

class ValidationResult:
    """What a validator of the web framework found; valid if there is no error."""

    valid: bool
    domain: str
    issues: list[Issue]
    parse_error: str | None

class TypeCheckError:
    file: str
    line: int
    column: int
    code: str
    severity: str
    message: str

class TypeCheckResult:
    success: bool
    error_count: int
    warning_count: int
    errors: list[TypeCheckError]
    parse_error: str | None

class RuffViolation:
    file: str
    line: int
    column: int
    code: str
    message: str
    fixable: bool

class RuffResult:
    success: bool
    violation_count: int
    fixable_count: int
    violations: list[RuffViolation]
    parse_error: str | None

class TestCase:
    name: str
    outcome: str
    duration: float
    message: str | None

class TestResult:
    success: bool
    passed: int
    failed: int
    skipped: int
    errors: int
    duration: float
    tests: list[TestCase]
    parse_error: str | None

class DefinitionLocation:
    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    preview: str | None

class GotoDefinitionResult:
    success: bool
    symbol: str
    locations: list[DefinitionLocation]
    parse_error: str | None

class ReferenceLocation:
    file: str
    line: int
    column: int
    preview: str | None

class FindReferencesResult:
    success: bool
    symbol: str
    reference_count: int
    references: list[ReferenceLocation]
    parse_error: str | None

class HoverResult:
    success: bool
    symbol: str
    content: str | None
    language: str | None
    type_info: str | None
    documentation: str | None
    parse_error: str | None

class SymbolInfo:
    """A symbol of a file. `kind` is a number of the language server protocol."""

    name: str
    kind: int
    line: int
    end_line: int
    children: list[SymbolInfo]

class DocumentSymbolsResult:
    success: bool
    file_path: str
    symbols: list[SymbolInfo]
    symbol_count: int
    parse_error: str | None

class WorkspaceSymbol:
    name: str
    kind: int
    file: str
    line: int
    container_name: str | None

class WorkspaceSymbolsResult:
    success: bool
    query: str
    symbols: list[WorkspaceSymbol]
    symbol_count: int
    parse_error: str | None

class GitFileStatus:
    file: str
    status: str
    staged: bool

class GitStatusResult:
    success: bool
    clean: bool
    file_count: int
    files: list[GitFileStatus]
    parse_error: str | None

class DiffFile:
    file: str
    additions: int
    deletions: int
    hunks: list[str]

class GitDiffResult:
    success: bool
    file_count: int
    additions: int
    deletions: int
    files: list[DiffFile]
    parse_error: str | None

class GitCommit:
    hash: str
    message: str
    author: str
    date: str

class GitLogResult:
    success: bool
    commits: list[GitCommit]
    commit_count: int
    parse_error: str | None

class CstMatch:
    line: int
    node_type: str
    code_snippet: str

class CstFindResult:
    success: bool
    match_count: int
    matches: list[CstMatch]
    parse_error: str | None

class CstRenameResult:
    success: bool
    rename_count: int
    modified_source: str
    parse_error: str | None

class CstAddImportResult:
    success: bool
    import_added: bool
    modified_source: str
    parse_error: str | None

def read_file(path: str) -> str: ...
def write_file(path: str, content: str) -> str: ...
def run_command(command: str, args: list[str] = [], cwd: str = ".") -> str: ...
def typecheck(path: str = ".") -> TypeCheckResult: ...
def ruff_check(path: str = ".") -> RuffResult: ...
def pytest_run(path: str = "tests") -> TestResult: ...
def goto_definition(file: str, line: int, col: int, symbol: str) -> GotoDefinitionResult: ...
def find_references(file: str, line: int, col: int, symbol: str) -> FindReferencesResult: ...
def hover(file: str, line: int, col: int, symbol: str) -> HoverResult: ...
def document_symbols(file: str) -> DocumentSymbolsResult: ...
def workspace_symbols(query: str) -> WorkspaceSymbolsResult: ...
def git_status(path: str = ".") -> GitStatusResult: ...
def git_diff(path: str = ".", staged: bool = False) -> GitDiffResult: ...
def git_log(path: str = ".", count: int = 10) -> GitLogResult: ...
def cst_find_pattern(file: str, pattern: str) -> CstFindResult: ...
def cst_rename(file: str, old_name: str, new_name: str) -> CstRenameResult: ...
def cst_add_import(file: str, import_stmt: str) -> CstAddImportResult: ...
def validate_component(file: str) -> ValidationResult: ...
def check_render_tree(file: str) -> ValidationResult: ...
def validate_escape_context(file: str) -> ValidationResult: ...
def validate_service_registration(file: str) -> ValidationResult: ...
def check_dependency_graph(file: str) -> ValidationResult: ...
def validate_injection_site(file: str) -> ValidationResult: ...
def validate_middleware_chain(file: str) -> ValidationResult: ...
def check_di_template_binding(file: str) -> ValidationResult: ...
def validate_route_pattern(file: str) -> ValidationResult: ...

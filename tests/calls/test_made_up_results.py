from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from topcoat.calls.made_up_results import Results
from topcoat.calls.sandbox import Sandbox
from topcoat.spec.tools.loading import load_catalog
from topcoat.spec.tools.stubs import parse_stubs

SOURCE = """
from typing import Annotated, Any, Literal, Optional, TypedDict, Union
from collections.abc import Sequence
import datetime
from pathlib import Path

class Item(TypedDict):
    name: str
    tags: "list[str]"

class Node:
    path: str
    children: list["Node"]
    parent: "Node"
    def render(self, width: int) -> str: ...

class Fixed:
    kind: str = "module"
    ok: bool = False
    sizes: list[int] = [3, 4]
    __slots__ = ("kind",)

def tool() -> {}: ...
"""


def plain(value: Any) -> Any:
    """A made-up value without the sandbox's wrappers; classes as tuples."""
    value = getattr(value, "value", value)
    if dataclasses.is_dataclass(value):
        return tuple(plain(getattr(value, field.name)) for field in dataclasses.fields(value))
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def made(returns: str) -> Any:
    catalog = parse_stubs(SOURCE.replace("{}", returns), Path("tools.pyi"))
    return plain(Results(catalog).of(catalog.tools["tool"]))


@pytest.mark.parametrize(
    ("returns", "value"),
    [
        ("str", "tool 1"),
        ("int", 1),
        ("float", 1.5),
        ("bool", True),
        ("bytes", b"tool 1"),
        ("None", None),
        ("Any", "tool 1"),
        ("Unknown", "tool 1"),
        ("list", ["tool 1", "tool 2"]),
        ("list[int]", [1, 2]),
        ("Sequence[list[int]]", [[1, 2], [1, 2]]),
        ("tuple[int, str]", (1, "tool 1")),
        ("tuple[int, ...]", (1, 2)),
        ("dict[str, int]", {"name 1": 1}),
        ("dict", {"name": "tool 1"}),
        ("Optional[int]", 1),
        ("None | int | str", 1),
        ("Union[None, str]", "tool 1"),
        ("Literal['b', 'a']", "b"),
        ("Annotated[int, 'x']", 1),
        ("'list[int]'", [1, 2]),
        ("1", "tool 1"),
        ("Item", {"name": "name 1", "tags": ["tag 1", "tag 2"]}),
        ("Fixed", ("module", False, [3, 4])),
    ],
)
def test_a_value_of_each_type(returns: str, value: object) -> None:
    assert made(returns) == value


def test_a_class_that_holds_itself_ends() -> None:
    path, children, parent = made("Node")
    assert path == "src/example1.py"
    assert [child[0] for child in children] == ["src/example1.py", "src/example2.py"]
    while parent is not None:
        assert parent[0] == "src/example1.py"
        children, parent = parent[1:]
    assert children == []


def test_names_shape_values() -> None:
    fields = (
        "exit_code: int\n    line: int\n    output: str\n    old_path: str\n    commit_id: str\n    branch_name: str"
    )
    catalog = parse_stubs(f"class R:\n    {fields}\ndef f() -> R: ...", Path("tools.pyi"))
    assert plain(Results(catalog).of(catalog.tools["f"])) == (
        *(0, 1, "first line 1\nsecond line 1\n", "src/example1.py", "c0ffee1"),
        "branch name 1",
    )


def test_every_result_of_the_embedded_catalog_can_be_read_in_the_sandbox() -> None:
    catalog = load_catalog(Path(__file__).parents[2] / "src/topcoat/demo/project/tools.pyi")
    examples = {"str": "'a'", "int": "1"}
    program = ""
    for tool in catalog.tools.values():
        result = catalog.results[tool.returns.name]
        program += f"r = {tool.name}({', '.join(examples[p.type.text] for p in tool.parameters)})\n"
        program += "".join(f"print(r.{name})\n" for name in result.fields)
    with Sandbox(catalog) as sandbox:
        run = sandbox.run([program])
    assert run.problem == ""
    assert [call.tool for call in run.calls] == list(catalog.tools)


def test_dates_paths_and_methods_reach_the_sandbox() -> None:
    source = (
        "from datetime import datetime, date, timedelta\nfrom pathlib import Path\n"
        "class R:\n  a: datetime\n  b: date\n  c: timedelta\n  d: Path\n  def text(self) -> str: ...\n"
        "  def same(self) -> R: ...\ndef f() -> R: ..."
    )
    with Sandbox(parse_stubs(source, Path("tools.pyi"))) as sandbox:
        values = "(r.a.year, r.b.day, r.c.seconds, str(r.d)) == (2026, 1, 60, 'src/example1.py')"
        assert (
            sandbox.run([f"r = f()\nassert {values}\nr.text().upper()\nassert r.same().a.year == 2026"]).problem == ""
        )

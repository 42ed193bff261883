from __future__ import annotations

import ast

import pytest

from topcoat.spec.tools.types import UNKNOWN, Type, plain, type_of


def read(source: str) -> Type:
    return type_of(ast.parse(source, mode="eval").body)


def outline(kind: Type) -> object:
    """A type's name, with those of its inner types."""
    return (kind.name, *map(outline, kind.inner)) if kind.inner else kind.name


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("int", "int"),
        ("datetime.date", "date"),
        ("None", "None"),
        ("typing.List[int]", ("List", "int")),
        ("dict[str, list[R]]", ("dict", "str", ("list", "R"))),
        ("tuple[int, ...]", ("tuple", "int", "...")),
        ("int | str | None", ("|", "int", "str", "None")),
        ("int | (str | None)", ("|", "int", "str", "None")),
        ("Optional[R]", ("|", "R", "None")),
        ("Optional[int | str]", ("|", "int", "str", "None")),
        ("t.Union[R, None]", ("|", "R", "None")),
        ("list['R']", ("list", "R")),
        ("' R | None '", ("|", "R", "None")),
        ("'not a type'", ""),
        ("Callable[[int], str]", ("Callable", "", "str")),
        ("3", ""),
    ],
)
def test_types_are_read(source: str, expected: object) -> None:
    assert outline(read(source)) == expected


def test_the_text_is_the_source_and_a_quoted_type_loses_its_quotes() -> None:
    assert [read(source).text for source in ("dict[str,int]", "'list[ R ]'", "list['R']", "'1 +'")] == [
        "dict[str, int]",
        "list[ R ]",
        "list['R']",
        "1 +",
    ]


def test_a_literal_has_its_first_value() -> None:
    assert (read("Literal['a', 'b']").literal, read("Literal[2]").literal, read("int").literal) == ("a", 2, None)


def test_none_is_taken_out_of_a_union_of_two() -> None:
    found = [read(source).without_none for source in ("R | None", "Optional[R]", "int | str", "int | str | None", "R")]
    assert found == [plain("R"), plain("R"), UNKNOWN, UNKNOWN, plain("R")]


def test_nothing_written_is_unknown() -> None:
    assert type_of(None) == UNKNOWN

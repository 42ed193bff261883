"""What a page's function gets and gives: the words of a request, and a page or a way to another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from topcoat.errors import InvalidInput

__all__ = ["Asked", "Moved", "NotThere", "Page", "Paging", "Part", "Reply", "link"]


class NotThere(InvalidInput):
    """A page of something that the project doesn't have."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: the names in its path, its query, and the fields of its form."""

    names: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)

    def number(self, key: str, default: int = 1) -> int:
        """A number of the query from 1; `default` if it isn't one."""
        text = self.query.get(key, "")
        return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 9 else default


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page: a template and what it shows."""

    template: str
    values: Mapping[str, Any]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Part(Page):
    """A piece of a page, which our script puts into it."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The way to the page that shows what was done."""

    to: str


Reply = Page | Moved


@dataclass(frozen=True, slots=True)
class Paging:
    """One page of a long list: page `number` of those with `size` items each, of `total`."""

    number: int
    size: int
    total: int

    @property
    def first(self) -> int:
        """The place of the first item, from 0."""
        return (self.number - 1) * self.size

    @property
    def last(self) -> int:
        """The place behind the last item."""
        return min(self.total, self.first + self.size)

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))


def link(*path: object, **query: object) -> str:
    """A path of the studio with every name quoted, and a query of those values that aren't empty."""
    given = {key: str(value).encode("utf-8", "replace") for key, value in query.items() if value not in ("", None)}
    quoted = "/".join(quote(str(part).encode("utf-8", "replace"), safe="") for part in path)
    return f"/{quoted}" + (f"?{urlencode(given)}" if given else "")

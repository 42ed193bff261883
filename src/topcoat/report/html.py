"""Builds HTML. Every text is escaped, except markup that was built here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

__all__ = ["Html", "data_table", "element", "legend", "name", "section", "text"]


class Html(str):
    """Markup. Any other text still needs escaping."""

    __slots__ = ()

    def __html__(self) -> str:
        """The markup, for Jinja, which escapes what has no such method."""
        return self


Content = str | Html | None

_VOID = frozenset({"meta", "br"})


def text(value: str) -> Html:
    """`value` as visible text. Characters that no HTML file can hold (NUL, lone surrogates) become U+FFFD."""
    if isinstance(value, Html):
        return value
    held = value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return Html(escape(held, quote=True))


def element(tag: str, *content: Content, **attributes: str | float | bool | None) -> Html:
    """`<tag ...>content</tag>`. In a name, a trailing underscore is dropped, and others become hyphens: aria_label.

    Attributes that are None or False are left out. Attributes that are True have no value.
    """
    parts = [tag]
    for name, value in attributes.items():
        key = name.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(key)
        elif value is not None and value is not False:
            parts.append(f'{key}="{text(f"{value:g}" if isinstance(value, float) else str(value))}"')
    opening = f"<{' '.join(parts)}>"
    if tag in _VOID:
        return Html(opening)
    return Html(f"{opening}{''.join(text(item) for item in content if item is not None)}</{tag}>")


def data_table(
    caption: str, columns: Sequence[str], rows: Sequence[Html], words: tuple[int, ...] = (), label: str = ""
) -> Html:
    """A table that scrolls where it is too wide, under its caption, which doesn't: it would be cut.

    `words` are the columns with text instead of figures.
    Screen readers read `label`, or the caption if there is none.
    """
    heads = [element("th", head, scope="col", class_="words" if i in words else None) for i, head in enumerate(columns)]
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *rows))
    scrolled = element("div", table, class_="scroll", tabindex="0", role="region", aria_label=label or caption)
    return element("figure", element("figcaption", caption), scrolled, class_="table")


def name(value: str) -> Html:
    """An identifier that may be broken after "_", "-" and ".", and only there."""
    return Html(re.sub(r"([_.-])(?=\w)", r"\1<wbr>", text(value)))


def section(title: str, *content: Content) -> Html:
    """A part of the page under a heading."""
    return element("section", element("h2", title), *content)


def legend(**keys: str) -> Html:
    """The meaning of each colour. `keys` maps the name of a colour to the words."""
    shown = [element("span", element("span", class_=f"key {colour}"), words) for colour, words in keys.items()]
    return element("p", *shown, class_="legend")

"""The leaderboard's categories: those that become cases, and why the others don't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from topcoat.errors import InvalidInput
from topcoat.spec.expect import did_you_mean
from topcoat.suites.bfcl.cases import Expected

__all__ = ["CATEGORIES", "EPISODES", "Category", "chosen_categories", "reason_against"]


@dataclass(frozen=True, slots=True)
class Category:
    """A category of the suite. `stem` is what the leaderboard's files call it."""

    name: str
    stem: str
    expected: Expected = "calls"


CATEGORIES: Mapping[str, Category] = {
    category.name: category
    for category in (
        Category("simple", "simple_python"),
        Category("multiple", "multiple"),
        Category("parallel", "parallel"),
        Category("parallel_multiple", "parallel_multiple"),
        Category("irrelevance", "irrelevance", "no call"),
        Category("live_simple", "live_simple"),
        Category("live_multiple", "live_multiple"),
        Category("live_parallel", "live_parallel"),
        Category("live_parallel_multiple", "live_parallel_multiple"),
        Category("live_irrelevance", "live_irrelevance", "no call"),
        Category("live_relevance", "live_relevance", "some call"),
    )
}

EPISODES: Mapping[str, Category] = {
    name: Category(name, name, "episode")
    for name in ("multi_turn_base", "multi_turn_miss_param", "multi_turn_long_context")
}
"""Those that become episodes. They are read if they are named, because that runs the package's code."""

_REASONS: Sequence[tuple[str, str]] = (
    ("simple_javascript", "its arguments are texts in JavaScript"),
    ("simple_java", "its arguments are texts in Java"),
    ("multi_turn_miss_func", "its tools change between the turns"),
    *(
        (name, f"its episodes run the package's code, so it is read if it is named: --categories {name}")
        for name in EPISODES
    ),
    ("memory", "its answers depend on what earlier calls stored"),
    ("web_search", "its answers depend on the web"),
    ("format_sensitivity", "it asks the other categories' questions in other formats"),
    ("exec", "its answers are executed, and the leaderboard no longer asks it"),
    ("rest", "its answers are executed, and the leaderboard no longer asks it"),
    ("sql", "the leaderboard no longer asks it"),
    ("chatable", "the leaderboard no longer asks it"),
)
"""Why a category isn't read, by the beginning of its stem. The first one counts."""
_SHORT = {"java": "simple_java", "javascript": "simple_javascript", "simple_python": "simple"}


def reason_against(stem: str) -> str | None:
    """Why the category called `stem` is no category of the suite; None if it isn't known."""
    return next((reason for known, reason in _REASONS if stem.startswith(known)), None)


def chosen_categories(names: Sequence[str]) -> list[Category]:
    """The categories called `names`, in the leaderboard's order; for no name all of `CATEGORIES`.

    Raises InvalidInput for a name that is no category of the suite.
    """
    known = {**CATEGORIES, **EPISODES}
    wanted = [_SHORT.get(name, name) for name in names]
    for name in wanted:
        if name in known:
            continue
        if reason := reason_against(name):
            raise InvalidInput(f'"{name}" can\'t be imported: {reason}', hint=f"--categories {','.join(known)}")
        message = f'the leaderboard has no category "{name}"'
        raise InvalidInput(message, hint=did_you_mean(name, known) or f"--categories {','.join(known)}")
    return [category for category in known.values() if category.name in (wanted or CATEGORIES)]

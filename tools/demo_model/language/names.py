"""Names for prompts: paths, symbols, commands and texts, drawn fresh for every dialogue."""

import random
from collections.abc import Callable

from tools.demo_model.language.words import SUITE, SYLLABLES, Words

_RESERVED = frozenset(SUITE.nouns + SUITE.verbs + SUITE.adjectives)


class Names:
    """Draws names of every kind from one pool of words."""

    def __init__(self, words: Words, rng: random.Random) -> None:
        self._words = words
        self._rng = rng
        self._last = ""

    def draw(self, slot: str) -> str:
        """A value for the template slot ``slot``; raises ``KeyError`` for an unknown slot."""
        return _SLOTS[slot](self)

    def noun(self) -> str:
        """One lower-case noun, sometimes another word, an invented one, or the one before once more."""
        if not self._last or self._rng.random() >= self._words.again:
            self._last = self._noun()
        return self._last

    def _noun(self) -> str:
        if self._rng.random() >= self._words.invented:
            return self._one_of(self._words.nouns)
        while True:
            word = self._spliced() if self._rng.random() < self._words.spliced else self._syllables()
            if word not in _RESERVED and len(word) > 3:
                return word

    def _syllables(self) -> str:
        count = self._rng.choice((1, 2, 2, 3))
        return "".join(self._rng.choice(part) for _ in range(count) for part in SYLLABLES)

    def _spliced(self) -> str:
        """The head of one word and the tail of another: what usually follows the head is no help in copying it."""
        head, tail = (self._rng.choice(self._words.others) for _ in range(2))
        return head[: self._rng.randint(1, 5)] + tail[-self._rng.randint(2, 5) :]

    def adjective(self) -> str:
        """One lower-case adjective, sometimes another word."""
        return self._one_of(self._words.adjectives)

    def _one_of(self, usual: tuple[str, ...]) -> str:
        if self._words.other and self._rng.random() < self._words.other:
            return self._rng.choice(self._words.others)
        return self._rng.choice(usual)

    def function(self) -> str:
        """A snake-case function name of two or three words."""
        words = [self._one_of(self._words.verbs), self.noun()]
        if self._rng.random() < 0.3:
            words.insert(1, self.adjective())
        return "_".join(words)

    def type(self) -> str:
        """A CamelCase class name of two or three words."""
        words = [self.noun(), self.noun()]
        if self._rng.random() < 0.25:
            words.insert(0, self.adjective())
        return "".join(word.capitalize() for word in words)

    def symbol(self) -> str:
        """A class or a function."""
        return self.type() if self._rng.random() < 0.55 else self.function()

    def stem(self) -> str:
        """A file's name without its ending."""
        return self.noun() if self._rng.random() < 0.55 else f"{self.noun()}_{self.noun()}"

    def folder(self) -> str:
        """A folder's path of one to three parts."""
        loose = self._words.loose > 0 and self._rng.random() < self._words.loose
        parts = [self.noun() if loose else self._rng.choice(self._words.folders)]
        parts += [self.noun() for _ in range(self._rng.choice((0, 1, 1, 1, 2)))]
        if len(parts) == 1 and not self._words.invented:
            parts.append(self.noun())
        return "/".join(parts)

    def path(self) -> str:
        """A Python file's path."""
        return f"{self.folder()}/{self.stem()}.py"

    def file(self) -> str:
        """Any file's path."""
        if self._rng.random() < 0.5:
            return self.path()
        return f"{self.folder()}/{self.stem()}.{self._rng.choice(('md', 'txt', 'json', 'toml'))}"

    def tests(self) -> str:
        """A test file's or folder's path."""
        if self._rng.random() < 0.25:
            return f"tests/{self.noun()}"
        middle = f"{self.noun()}/" if self._rng.random() < 0.3 else ""
        return f"tests/{middle}test_{self.stem()}.py"

    def target(self) -> str:
        """A file or a folder of code."""
        return self.path() if self._rng.random() < 0.75 else self.folder()

    def module(self) -> str:
        """A dotted module name."""
        return ".".join(self.noun() for _ in range(self._rng.choice((1, 2, 2))))

    def statement(self) -> str:
        """An import statement."""
        if self._rng.random() < 0.3:
            return f"import {self.module()}"
        return f"from {self.module()} import {self.symbol()}"

    def pattern(self) -> str:
        """A code pattern with ``$NAME`` holes."""
        return self._rng.choice(
            (f"{self.function()}($X)", f"{self.function()}($A, $B)", f"raise {self.type()}($X)", f"{self.type()}($X)")
        )

    def command(self) -> str:
        """A shell command without quotes."""
        return self._rng.choice(
            (
                f"make {self.noun()}",
                f"make {self.noun()}",
                f"uv run {self.noun()}",
                f"ls -la {self.folder()}",
                f"python {self.path()}",
                f"wc -l {self.file()}",
                f"grep -rn {self.noun()} {self.folder()}",
                f"pip install {self.noun()}",
                f"docker build {self.noun()}",
            )
        )

    def text(self) -> str:
        """Two to four words to write to a file."""
        words = [self.adjective(), self.noun()]
        if self._rng.random() < 0.5:
            words.append(self._one_of(self._words.verbs))
        if self._rng.random() < 0.3:
            words.append(self.noun())
        return " ".join(words)

    def number(self, low: int, high: int) -> str:
        """A whole number in ``[low, high]``."""
        return str(self._rng.randint(low, high))


_SLOTS: dict[str, Callable[[Names], str]] = {
    "noun": Names.noun,
    "adjective": Names.adjective,
    "name": lambda names: names.noun().capitalize(),
    "path": Names.path,
    "file": Names.file,
    "folder": Names.folder,
    "tests": Names.tests,
    "target": Names.target,
    "symbol": Names.symbol,
    "query": Names.symbol,
    "function": Names.function,
    "old": Names.symbol,
    "new": Names.symbol,
    "statement": Names.statement,
    "pattern": Names.pattern,
    "command": Names.command,
    "text": Names.text,
    "output": Names.file,
    "line": lambda names: names.number(1, 240),
    "column": lambda names: names.number(1, 60),
    "count": lambda names: names.number(2, 40),
}

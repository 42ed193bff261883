"""Questions that no coat is about, each with words of which a right answer has one."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["QUESTIONS", "Question"]


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and what a right answer says: one of these, as whole words."""

    text: str
    right: tuple[str, ...]

    def is_right(self, answer: str) -> bool:
        return any(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", answer, re.IGNORECASE) for one in self.right)


_CAPITALS = {
    **{"France": "Paris", "Japan": "Tokyo", "Italy": "Rome", "Germany": "Berlin", "Spain": "Madrid", "Egypt": "Cairo"},
    **{"Russia": "Moscow", "Greece": "Athens", "Canada": "Ottawa", "Austria": "Vienna", "Poland": "Warsaw"},
}
_OPPOSITES = {"hot": ("cold",), "up": ("down",), "big": ("small", "little"), "fast": ("slow",), "wet": ("dry",)}
_SUMS = {(2, 2): 4, (3, 5): 8, (7, 2): 9, (10, 5): 15, (6, 6): 12}
_OTHERS = (
    Question("How many days are in a week?", ("seven", "7")),
    Question("How many months are in a year?", ("twelve", "12")),
    Question("How many legs does a spider have?", ("eight", "8")),
    Question("How many minutes are in an hour?", ("sixty", "60")),
    Question("What planet do we live on?", ("Earth",)),
    Question("What is the largest planet of the solar system?", ("Jupiter",)),
    Question("What is the largest ocean on Earth?", ("Pacific",)),
    Question("What is the chemical formula of water?", ("H2O", "H₂O")),
    Question("What gas do plants take from the air?", ("carbon dioxide", "CO2", "CO₂")),
    Question("Who wrote Romeo and Juliet?", ("Shakespeare",)),
    Question("Who wrote the theory of relativity?", ("Einstein",)),
    Question("What color is the sky on a clear day?", ("blue",)),
    Question("What color do you get by mixing blue and yellow?", ("green",)),
    Question("What is the first letter of the alphabet?", ("A",)),
    Question("Which day comes after Monday?", ("Tuesday",)),
    Question("Which month comes after June?", ("July",)),
    Question("What animal says meow?", ("cat", "cats")),
    Question("What is frozen water called?", ("ice",)),
    Question("On which continent is Brazil?", ("South America",)),
)

QUESTIONS: tuple[Question, ...] = (
    *(Question(f"What is the capital of {country}?", (city,)) for country, city in _CAPITALS.items()),
    *(Question(f'What is the opposite of "{word}"?', words) for word, words in _OPPOSITES.items()),
    *(Question(f"What is {one} plus {other}?", (str(total),)) for (one, other), total in _SUMS.items()),
    *_OTHERS,
)

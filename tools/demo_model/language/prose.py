"""Questions that need no tool: the model must know when not to call one."""

import random

from tools.demo_model.dialogues import SYSTEM, Example

_FACTS: tuple[tuple[str, str], ...] = (
    ("a decorator", "A function that takes a function and returns another in its place."),
    ("a generator", "A function with yield; it gives its values one at a time."),
    ("a context manager", "An object for a with statement: it sets up and cleans up."),
    ("a dataclass", "A class whose methods are made from its annotated fields."),
    ("a closure", "A function that remembers names of the function around it."),
    ("a virtual environment", "A folder with its own Python and its own packages."),
    ("a coroutine", "A function made with async def; it can wait without blocking."),
    ("a linter", "A program that looks for mistakes without running the code."),
    ("a mock", "A stand-in for an object that a test doesn't want to touch."),
    ("a fixture", "Something that a test framework prepares before a test."),
    ("a protocol", "A type that is defined by its methods, not by inheritance."),
    ("a tuple", "A sequence that can't be changed."),
)
_QUESTIONS = (
    "What is {}?",
    "Explain {}.",
    "What does {} mean in Python?",
    "Tell me what {} is.",
    "In short, what is {}?",
)


def prose(rng: random.Random) -> Example:
    """One question about Python and its answer."""
    subject, fact = rng.choice(_FACTS)
    turns = (("system", SYSTEM), ("user", rng.choice(_QUESTIONS).format(subject)), ("assistant", fact))
    return {"messages": [{"role": role, "content": content} for role, content in turns], "category": "prose"}

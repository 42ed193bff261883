"""What stays of a prompt without its names: two prompts with one wording differ in their names alone."""

import re

_NAME = re.compile(r"`[^`]*`|\"[^\"]*\"|[\w.]+(?:/[\w.]+)+(?::\d+)*|\b\w+_\w+\b|\b(?:[A-Z][a-z]+){2,}\b|\d+")
_SLOT = re.compile(r"\{\w+\}")


def wording(prompt: str) -> str:
    """A prompt, or a template with slots, in lower case, with ``#`` for every name and without punctuation."""
    words = re.findall(r"[a-z'#]+", _NAME.sub("#", _SLOT.sub("#", prompt)).lower())
    return re.sub(r"#(?: #)+", "#", " ".join(words))

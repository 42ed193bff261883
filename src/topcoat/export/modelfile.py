"""Ollama's Modelfile."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePath

from topcoat.engine.protocol import Tokenizer
from topcoat.export.ollama_template import ollama_template

__all__ = ["modelfile"]


def modelfile(weights: str, tokenizer: Tokenizer, context: int | None) -> tuple[str, Sequence[str]]:
    """The text of a Modelfile for the GGUF file `weights` beside it, and notes on what it leaves out.

    `context` are the most tokens that the model was made for. Raises InvalidInput if the chat template can't be
    written for Ollama.
    """
    template = ollama_template(tokenizer)
    lines = [f"FROM ./{PurePath(weights).name}", f'TEMPLATE """{template.text}"""', "PARAMETER temperature 0"]
    if context is not None:
        lines.append(f"PARAMETER num_ctx {context}")
    stops = [tokenizer.decode([token]) for token in sorted(tokenizer.stops)]
    lines += [f"PARAMETER stop {json.dumps(stop, ensure_ascii=False)}" for stop in stops if stop]
    return "\n".join(lines) + "\n", template.notes

"""The registry of findings: every code that `topcoat check` can report, and the function that makes findings."""

from __future__ import annotations

from typing import Literal

from topcoat.errors import Where
from topcoat.secrets.finding import redacted
from topcoat.store.records import Finding

__all__ = ["CODES", "finding", "short"]

CODES = {
    "beyond-context": "a row is longer than the dialogues that the model was made for",
    "broken-call": "an assistant turn holds a tool call that can't be read",
    "class-imbalance": "a category has less than a tenth of the largest category's examples",
    "cut-dialogue": "the dialogue doesn't fit max_seq_length and is cut at turns",
    "duplicate": "the same dialogue stands twice",
    "empty-turn": "an assistant turn says and calls nothing; it isn't trained",
    "endless-answer": "the chat template ends an answer without a token at which generation stops",
    "eval-answer": "the answer makes the very calls, with the very arguments, that a case of the suite expects",
    "eval-near": "a user turn is nearly a prompt of the suite, or is it with other names",
    "eval-overlap": "a user turn is word for word a prompt of the suite",
    "eval-wording": "prompts of a category have most of their words from examples, names blanked",
    "left-out-words": "the chat template leaves out what an assistant turn says; it isn't trained",
    "near-duplicate": "two dialogues are nearly the same",
    "no-replay": "the phase replays earlier data, and there is none",
    "no-validation": "nothing is held out to validate on",
    "not-chat": "the line is no dialogue in mlx-lm's chat format and is left out",
    "over-long": "the example, or a row of it, doesn't fit max_seq_length and is left out",
    "quota": "a category has another number of examples than the plan asked for",
    "roles": "the turns stand in an order that no chat has; the dialogue is left out",
    "same-template": "examples differ only in names, numbers and paths",
    "sandbox": "the code doesn't run to its end in the sandbox, where tools give made-up results",
    "secret": "the dialogue holds what looks like a password, key or token",
    "several-rows": "the chat template renders an earlier assistant turn differently: it has a row of its own",
    "split-delimiter": "a tag around tool calls is more than one token in this tokenizer",
    "stop-inside": "an answer holds a token at which generation stops; the dialogue is left out",
    "system-prompt": "the system prompt isn't the one that the suite is evaluated with",
    "template-refusal": "the chat template refuses the dialogue, which is left out",
    "thought-only": "a trained turn is only a thought, which the project removes; it isn't trained",
    "unasked-tools": "the dialogue brings tools, and cases are asked without any",
    "unread-call": "a call, as the chat template writes it, can't be read: such an answer is scored as one without it",
    "unknown-category": "the category has no case in the suite",
    "unknown-field": "the code reads a field that the tool's result doesn't have",
    "unknown-tool": "an assistant turn calls a tool that the catalog doesn't have",
    "unplaced-turn": "the row doesn't begin with the prompt that the model is asked with; it is left out",
    "unrendered-turn": "the chat template leaves an assistant turn or its call out; the dialogue is left out",
    "unshown-tools": "neither the chat template nor the system turn shows the example's tools; it is trained without",
    "valid-near": "a dialogue of the validation set is nearly one of the training data",
    "valid-overlap": "a question of the validation set also stands in the training data",
    "wrapped-result": "a tool's result is wrapped in the tags that the chat template puts around it too",
    "wrong-arguments": "a tool is called with arguments that it doesn't take",
}


def finding(code: str, severity: Literal["error", "warning"], where: Where, message: str, hint: str) -> Finding:
    """A finding of a registered code. Secrets and terminal control characters are removed from its texts."""
    assert code in CODES, code
    return Finding(code=code, severity=severity, where=str(where), message=_safe(message), hint=_safe(hint))


def short(text: str, most: int = 40) -> str:
    """The beginning of a text, quoted, on one line. Secrets are removed first, because a cut would hide their form."""
    first = " ".join(redacted(text[: 10 * most + 200]).split())
    return f'"{first[:most]}…"' if len(first) > most else f'"{first}"'


def _safe(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in redacted(text))

"""Finds the tokens of a dialogue that the model has to produce, by comparing tokens.

An assistant turn is placed by the prompt that the model is asked with: the rendering of all turns before it, with the
template's generation prompt. What follows it, up to the token at which generation stops, is trained. Lengths alone
would be wrong: templates open a thought in the generation prompt, leave earlier thoughts out, or merge the newlines at
the border.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal

from topcoat.engine.protocol import Tokenizer
from topcoat.spec.example import Example

__all__ = ["THOUGHT_END", "Fault", "Rendered", "TooLong", "Unplaced", "render_example", "require_short"]

Turns = Sequence[Mapping[str, Any]]
Fault = Literal["unplaced-turn", "unrendered-turn", "stop-inside"]
"""The finding's code: shifted against its prompt, left out by the template, or stopped before its end."""


class Unplaced(ValueError):
    """A turn of which the chat template doesn't make an answer behind its own prompt. The text says how it differs."""

    def __init__(self, reason: str, code: Fault = "unplaced-turn") -> None:
        super().__init__(reason)
        self.code = code


class TooLong(ValueError):
    """A dialogue of more `tokens` than were asked for."""

    def __init__(self, tokens: int, most: int) -> None:
        super().__init__(f"{tokens} tokens, at most {most} were asked for")
        self.tokens = tokens


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendering's tokens, and the spans [begin, end) of those that the model has to produce."""

    tokens: list[int]
    spans: list[tuple[int, int]]


def render_example(
    example: Example, tokenizer: Tokenizer, *, last_only: bool, most: int | None = None
) -> list[Rendered]:
    """The renderings that train the example's assistant turns, or the last one of them. Each turn is in one of them.

    The first is the whole dialogue. A turn that the template renders differently once another follows, such as one
    whose thought it leaves out, has a rendering of its own that ends with it. Turns that say nothing or have weight 0
    aren't trained. Raises TooLong if the whole dialogue has more than `most` tokens, Unplaced, and InvalidInput if the
    template refuses the dialogue.
    """
    messages = example.dialogue()
    template = _Template(tokenizer, example.tools)
    whole = template.tokens(messages)
    require_short(whole, most)  # before each turn is rendered: their renderings grow with the square of the dialogue
    spans: list[tuple[int, int]] = []
    own: list[Rendered] = []
    turns = example.trained_turns
    for index in turns[-1:] if last_only else turns:
        prompt, answer = template.turn(messages, index)
        span = len(prompt), len(prompt) + len(answer)
        alone = prompt + answer
        if index == len(messages) - 1 and whole == alone[: len(whole)]:
            whole = alone  # the template writes no stop after the last turn
        if whole[: span[1]] == alone:
            spans.append(span)
        else:
            own.append(Rendered(alone, [span]))
    return [Rendered(whole, spans), *own] if spans else own


def require_short(tokens: Sequence[int], most: int | None) -> None:
    """Raise TooLong if there are more than `most` tokens."""
    if most is not None and len(tokens) > most:
        raise TooLong(len(tokens), most)


@dataclass(frozen=True, slots=True)
class _Template:
    """A tokenizer's chat template, with one dialogue's tools."""

    tokenizer: Tokenizer
    tools: list[Any] | None

    def tokens(self, messages: Turns) -> list[int]:
        return self.tokenizer.chat(messages, tools=self.tools)

    def turn(self, messages: Turns, index: int) -> tuple[list[int], list[int]]:
        """The prompt of turn `index`, and what the model has to answer."""
        prompt = self.tokenizer.chat(messages[:index], tools=self.tools, add_generation_prompt=True)
        turn = self.tokens(messages[: index + 1])
        if turn[: len(prompt)] == prompt:
            answer = turn[len(prompt) :]
        else:
            shared = next(i for i, pair in enumerate(zip_longest(prompt, turn)) if pair[0] != pair[1])
            text = self._answer_text(messages[: index + 1], self.tokenizer.decode(prompt[shared:]))
            answer = self.tokenizer.encode(text)
            if self.tokenizer.decode(answer) != text:
                raise Unplaced("the answer can't be told from its prompt: both share a token")
        stopped = self._stopped(answer, messages, index, turn)
        self._require_whole(stopped, answer, messages[index])
        return prompt, stopped

    def _require_whole(self, stopped: list[int], answer: list[int], turn: Mapping[str, Any]) -> None:
        """Raise Unplaced if the answer lacks words or calls of the turn."""
        text, stops = self.tokenizer.decode(answer), self.tokenizer.stops
        if not self.tokenizer.decode([token for token in answer if token not in stops]).strip():
            raise Unplaced("the chat template renders nothing of an assistant turn", "unrendered-turn")
        for call in turn.get("tool_calls") or ():
            name = call.get("function", call).get("name") if isinstance(call, dict) else None
            if isinstance(name, str) and name not in text:
                raise Unplaced(f"the chat template leaves the call of {name} out", "unrendered-turn")
        if self.tokenizer.decode([token for token in answer[len(stopped) :] if token not in stops]).strip():
            raise Unplaced(
                f"an answer holds {self.tokenizer.decode(stopped[-1:])}, at which generation stops: what follows it "
                "can't be learned",
                "stop-inside",
            )

    def _answer_text(self, messages: Turns, opened: str) -> str:
        """The text that follows the prompt of the last turn. `opened` is the end of the prompt that the turn lacks."""
        prompt = self.tokenizer.render(messages[:-1], tools=self.tools, add_generation_prompt=True)
        whole = self.tokenizer.render(messages, tools=self.tools)
        if whole.startswith(prompt):
            return whole[len(prompt) :]
        content = str(messages[-1].get("content") or "").lstrip()
        shown = content.rpartition(THOUGHT_END)[2].strip()
        place = whole.rfind(shown) if shown else -1
        if not opened.strip() or not content.startswith(opened.strip()) or place < len(prompt) - len(opened):
            raise Unplaced(
                f"the model is asked with a prompt that ends with {opened!r}, and the template renders the turn "
                f"without it: {whole[len(prompt) - len(opened) :][:40]!r}"
            )
        # The template opens the thought in the prompt and leaves it out of a finished turn.
        answer = content.removeprefix(opened.strip())
        return answer.removeprefix("\n" if opened.endswith("\n") else "").rstrip() + whole[place + len(shown) :]

    def _stopped(self, answer: list[int], messages: Turns, index: int, turn: list[int]) -> list[int]:
        """The answer up to and with the token at which generation stops.

        A template without a closing token has the next turn's marker there.
        """
        stops = self.tokenizer.stops
        for place, token in enumerate(answer):
            if token in stops:
                return answer[: place + 1]
        if not stops:
            return answer
        calls = messages[index].get("tool_calls")
        following = messages[index + 1] if index + 1 < len(messages) else FOLLOWING["tool" if calls else "user"]
        longer = self.tokens([*messages[: index + 1], following])[len(turn) :]
        return answer + longer[:1] if longer and longer[0] in stops else answer


THOUGHT_END = "</think>"
FOLLOWING: dict[str, dict[str, Any]] = {
    "user": {"role": "user", "content": "next"},
    "tool": {"role": "tool", "content": "done"},
}
"""The turn that comes after words, and after a call: its marker may be what stops the turn before."""

"""What evaluating a model gives: answers, scores, means. Also the base of all records."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from topcoat.store.transcripts.transcript import Transcript

__all__ = [
    "AnswerFault",
    "AskedServer",
    "CaseError",
    "CategoryScore",
    "Completion",
    "EvalResult",
    "FormatShare",
    "Interval",
    "PassShare",
    "Record",
    "Score",
    "Share",
]

Share = Annotated[float, Field(ge=0, le=1)]
Interval = tuple[Share, Share]


class Record(BaseModel):
    """Base of all records: immutable. It refuses unknown keys, so that a newer file isn't read in part."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Completion(Record):
    """One answer of a model, as raw text. `tokens` is the number generated; `finish` says why it ended.

    `ids` are the generated tokens, without the one that stops the answer; None if they aren't known.
    """

    text: str
    tokens: int
    finish: Literal["stop", "length"]
    ids: tuple[int, ...] | None = None


class Score(Record):
    """The score of one case's answer: `value` in 0..1, and the reason in a few words.

    `family` is the case's, or empty if it has none. `cut`: the answer ended at the case's max_tokens. `unread` is why
    its first call or thought can't be read, "" if all can. `unknown` are the tools that it calls and that the catalog
    lacks. An `empty` answer neither says nor calls anything. An episode has a `transcript`: its `answer` is all that
    the model wrote, and the faults are those of any of its answers.
    """

    case_id: str
    category: str
    value: Share
    reason: str
    scorer: str
    headline: bool = False
    answer: str = ""
    family: str = ""
    cut: bool = False
    unread: str = ""
    unknown: list[str] = []
    empty: bool = False
    transcript: Transcript | None = None


class CaseError(Record):
    """A case without an answer, and the reason. The model isn't to blame."""

    case_id: str
    category: str
    reason: str


class AnswerFault(Record):
    """The cases whose answers share a fault, whatever they scored; `failed` of them scored less than 1.

    `max_tokens` is the largest limit of the cut answers among these, 0 if there is none.
    """

    kind: Literal["cut", "unread", "unknown tool", "empty"]
    cases: list[str]
    failed: int
    max_tokens: int = 0


class CategoryScore(Record):
    """The mean score of a category's `n` answered cases; `solved` of them scored 1. `interval` is the mean's, at 95%.

    `errors` counts the other cases, which got no answer and have no score. `reserve` counts the category's reserve
    cases, whether they were asked or not.
    """

    category: str
    n: int
    mean: Share
    solved: int
    interval: Interval | None = None
    reserve: int = 0
    errors: int = 0


class FormatShare(Record):
    """How many answers at a temperature keep to the format of calls, of cases that need a tool.

    With `calls` "code", they call tools through execute_code alone; with "native", all their calls can be read, name a
    tool that the model was shown and fit its JSON Schema.
    `wrong` lists each case with another answer once. `errors` counts the questions without an answer.
    """

    temperature: float
    answers: int
    right: int
    errors: int = 0
    wrong: list[str] = []
    calls: Literal["code", "native"] = "code"

    @property
    def share(self) -> float:
        return self.right / self.answers


class PassShare(Record):
    """How many episodes are solved in all of k = `samples` samples at a temperature (pass^k). `failed` are the others.

    `mean` is the share of single samples that are solved. `errors` counts the episodes that lack an answer.
    """

    temperature: float
    samples: int
    episodes: int
    solved: int
    mean: Share
    errors: int = 0
    failed: list[str] = []

    @property
    def share(self) -> float:
        return self.solved / self.episodes


class AskedServer(Record):
    """A server that was asked, by its base URL, and what it calls the model.

    It answered `cases` greedily, and gave `answers` in all: more if some are sampled, or are steps of episodes. An
    episode that moved to another server counts at both. `left_out` is why it wasn't asked to the end, "" if it was.
    """

    server: str
    model: str
    cases: int
    answers: int
    left_out: str = ""


class EvalResult(Record):
    """A model's scores on a suite.

    Categories are in the order of the suite. `errors` are cases without a score. `formats` has one entry for each
    temperature that the project asks about, `passes` one for each above 0 if the suite has episodes. With `reserve`,
    the scores are those of reserve cases alone, and say nothing about the suite. `faults` are the answers that are cut,
    empty, or hold a call that can't be read or names no tool. `engine` is the name of the engine that answered, "" for
    a server or if it wasn't noted. `servers` are those that were asked instead of an engine.
    """

    version: Literal[1] = 1
    model: str
    suite_digest: str
    categories: list[CategoryScore]
    headline: CategoryScore | None = None
    scores: list[Score]
    seconds: float
    generated_tokens: int
    reserve: bool = False
    engine: str = ""
    errors: list[CaseError] = []
    formats: list[FormatShare] = []
    faults: list[AnswerFault] = []
    passes: list[PassShare] = []
    servers: list[AskedServer] = []

    def category(self, name: str) -> CategoryScore | None:
        """The named category's score, or None if the suite has no such category."""
        return next((c for c in self.categories if c.category == name), None)

"""The paths of everything inside a project. Names only: nothing is created or read here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["AttemptPaths", "ProjectPaths"]


@dataclass(frozen=True, slots=True)
class AttemptPaths:
    """The layout of one attempt's `folder`, or of one trial's in it.

    The engine writes `adapter`, `checkpoints` and `metrics.jsonl`. Running the phase writes the others.
    """

    folder: Path

    @property
    def spec(self) -> Path:
        """The phase file's content as it was when the attempt began."""
        return self.folder / "phase.json"

    @property
    def train_report(self) -> Path:
        return self.folder / "train.json"

    @property
    def fuse_report(self) -> Path:
        return self.folder / "fuse.json"

    @property
    def result(self) -> Path:
        """The attempt's result, as the lineage has it."""
        return self.folder / "result.json"

    @property
    def calibration(self) -> Path:
        """The rows of compensated rounding."""
        return self.folder / "calibration.json"

    @property
    def adapter(self) -> Path:
        return self.folder / "adapter"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def trial(self, learning_rate: float, seed: int) -> AttemptPaths:
        """The folder of one trial, if the attempt has several."""
        return AttemptPaths(self.folder / "trials" / f"{learning_rate:g}-{seed}")


@dataclass(frozen=True, slots=True)
class ProjectPaths:
    """The layout of the project folder `root`: topcoat's files in the user's folders, and those in `.topcoat/`."""

    root: Path

    def phase(self, name: str) -> Path:
        """The file of the phase `name`."""
        return self.phases / f"{name}.toml"

    @property
    def phases(self) -> Path:
        return self.root / "phases"

    def data(self, name: str) -> Path:
        """The examples that are extracted for the phase `name`."""
        return self.root / "data" / f"{name}.jsonl"

    @property
    def new_data(self) -> Path:
        """The file for new examples that belong to no phase."""
        return self.data("new")

    @property
    def captured_suite(self) -> Path:
        """The evaluation cases that are extracted from held-out sessions."""
        return self.root / "suites" / "captured.jsonl"

    @property
    def state(self) -> Path:
        """The folder of everything that topcoat writes."""
        return self.root / ".topcoat"

    @property
    def database(self) -> Path:
        return self.state / "topcoat.db"

    @property
    def events(self) -> Path:
        """The database of captured usage: a file of its own, so that capture never waits for the lineage."""
        return self.state / "events.db"

    @property
    def dialogue_key(self) -> Path:
        """The key of the digests by which captured dialogues are found again. Only its owner may read it."""
        return self.state / "dialogue.key"

    @property
    def progress(self) -> Path:
        """What the command that holds the project does, or what the latest one did."""
        return self.state / "progress.jsonl"

    def studio_output(self, name: str) -> Path:
        """What a command that the studio started printed."""
        return self.state / "studio" / name

    @property
    def shadow(self) -> Path:
        """What candidates answered beside the production model, a line for each pair of answers."""
        return self.state / "shadow.jsonl"

    @property
    def canary(self) -> Path:
        """What the sessions of candidates showed, a line for each look."""
        return self.state / "canary.jsonl"

    @property
    def canary_lock(self) -> Path:
        """The lock of the `topcoat serve` that tries what awaits its canary."""
        return self.state / "canary-lock"

    @property
    def lock(self) -> Path:
        return self.state / "lock"

    @property
    def reviews(self) -> Path:
        """People's decisions about extracted examples."""
        return self.state / "reviews.json"

    @property
    def reviewed_examples(self) -> Path:
        """The examples as they were before people rejected or edited them."""
        return self.state / "reviewed-examples.json"

    @property
    def extracted(self) -> Path:
        """The digests of the files that extraction wrote."""
        return self.state / "extracted.json"

    @property
    def review_lock(self) -> Path:
        """The lock for writing extracted examples and `reviews`, also while a run holds `lock`."""
        return self.state / "review-lock"

    @property
    def models(self) -> Path:
        return self.state / "models"

    @property
    def runs(self) -> Path:
        return self.state / "runs"

    @property
    def cache(self) -> Path:
        """Files that can be computed again. The folder may be deleted at any time."""
        return self.state / "cache"

    @property
    def trunk_cache(self) -> Path:
        return self.cache / "trunk"

    @property
    def beginnings(self) -> Path:
        """What models computed of the system prompts and tools that they were asked with."""
        return self.cache / "beginnings"

    def measured(self, key: str) -> Path:
        """The measured cost of a phase's updates. `key` is the digest of everything that decides it."""
        return self.cache / "measured" / f"{key}.json"

    def answers(self, model: str) -> Path:
        """The answers of the model with this digest, to go on with after an interruption."""
        return self.cache / "answers" / f"{model}.jsonl"

    def report(self, phase: str) -> Path:
        """The report of a phase."""
        return self.reports / f"{phase}.html"

    @property
    def reports(self) -> Path:
        return self.state / "reports"

    @property
    def trackers(self) -> Path:
        """What experiment trackers keep on this machine, and which attempts they have."""
        return self.state / "trackers"

    def model(self, name: str) -> Path:
        """The folder of the model `name`."""
        return self.models / name

    def attempt(self, phase: str, number: int) -> AttemptPaths:
        """One attempt of a phase, counted from 1."""
        return AttemptPaths(self.runs / phase / str(number))

"""What an export costs: the same suite, asked of the model and of its export in its own runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from topcoat.calls.answer import Answer
from topcoat.calls.parsing import parse
from topcoat.engine.protocol import ExportJob
from topcoat.engine.registry import EngineEntry
from topcoat.errors import Refused, Where
from topcoat.export.exporting import read_export
from topcoat.export.runtimes import Runtime, runtime_of, serving
from topcoat.phases.judging.evaluation import evaluate_endpoint, evaluate_model
from topcoat.progress import Note
from topcoat.project.integrity import require_whole
from topcoat.project.session import ScoreReader
from topcoat.spec.agent import Agent
from topcoat.store.lineage import ModelRow
from topcoat.store.records import EvalResult, ExportRecord, Record, Score
from topcoat.suites.endpoint import Endpoint
from topcoat.suites.evidence.compare import Comparison, compare

__all__ = ["ExportCost", "evaluate_export"]


class ExportCost(Record):
    """An export beside its model. Of `asked` answers, `same` say and call the same, whatever the spaces.

    `other` are the cases of the others. `called` answers of the model call a tool; of these, `readable` are cases whose
    exported answer has calls that can be read.
    """

    record: ExportRecord
    runtime: str
    comparison: Comparison
    asked: int
    same: int
    called: int
    readable: int
    other: list[str]


def evaluate_export(
    reader: ScoreReader, entry: EngineEntry, folder: Path, *, concurrency: int, timeout: float
) -> ExportCost:
    """Ask the project's suite of an exported folder, in its runtime, and compare.

    Raises InvalidInput if the folder is no export of a model here, or its runtime isn't installed; Refused if the
    model has changed since; EngineFault if the runtime doesn't serve; EndpointFault if it leaves questions unanswered.
    """
    record = read_export(folder)
    model = reader.model(record.model)
    if model.digest != record.digest:
        raise Refused(
            f"{folder} was exported from another model that was called {record.model}",
            where=Where(folder),
            hint=f"topcoat export {record.model} --to hf --out NEW_FOLDER, or to {record.to} as before",
        )
    template = reader.settings.spec.project.template
    with _base(reader, record, model) as root:
        runtime = runtime_of(record, folder, root, entry, template, concurrency)
        before = evaluate_model(reader, model)
        reader.sink.emit(Note(f"starting {runtime.name}"))
        with serving(runtime):
            found = evaluate_endpoint(reader, _endpoint(reader, runtime, concurrency, timeout), reader.sink)
    after = found.model_copy(update={"model": f"{record.model} in {runtime.name}"})
    return _cost(record, runtime.name, before, after, reader.agent)


@contextmanager
def _base(reader: ScoreReader, record: ExportRecord, model: ModelRow) -> Iterator[Path]:
    """What an export's adapter belongs on, as its runtime loads it. For PEFT it is exported for the block's time."""
    root = reader.lineage.require_model(model.root)
    if record.to != "peft":
        yield root.path
        return
    require_whole(reader.engine, root)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=reader.paths.state) as scratch:
        base = Path(scratch) / "root"
        reader.engine.export(ExportJob(root.path, "hf", base, root.name), reader.sink)
        yield base


def _endpoint(reader: ScoreReader, runtime: Runtime, concurrency: int, timeout: float) -> Endpoint:
    """The runtime as a source of answers. mlx_lm.server looks any other name up on the hub."""
    settings = reader.settings.spec
    return Endpoint(
        runtime.url,
        "default_model",
        key=runtime.key,
        headers=runtime.process.headers,
        concurrency=concurrency,
        timeout=timeout,
        max_errors=settings.eval.max_errors,
        template=settings.project.template,
    )


def _cost(record: ExportRecord, runtime: str, before: EvalResult, after: EvalResult, agent: Agent) -> ExportCost:
    theirs = {score.case_id: score for score in after.scores}
    pairs = [(score, theirs[score.case_id]) for score in before.scores if score.case_id in theirs]
    parsed = [(_parsed(one, agent), _parsed(other, agent)) for one, other in pairs]
    other = [one.case_id for (one, _), answers in zip(pairs, parsed, strict=True) if not _same(*answers)]
    called = [(one, two) for one, two in parsed if one.calls]
    return ExportCost(
        record=record,
        runtime=runtime,
        comparison=compare(before, after),
        asked=len(pairs),
        same=len(pairs) - len(other),
        called=len(called),
        readable=sum(bool(two.calls) and not two.unread for _, two in called),
        other=other,
    )


def _parsed(score: Score, agent: Agent) -> Answer:
    return parse(score.answer, agent)


def _same(one: Answer, other: Answer) -> bool:
    """Whether two answers say and call the same. Servers take calls out of the text, and spaces with them."""
    if one.calls or other.calls:
        return [(call.tool, call.args, call.kwargs) for call in one.calls] == [
            (call.tool, call.args, call.kwargs) for call in other.calls
        ]
    return one.text.split() == other.text.split()

"""Evaluating a model of the lineage. Every evaluation is stored under what determines it, and never repeated."""

from __future__ import annotations

from topcoat.errors import StorageFault, Where
from topcoat.evals.compare import Comparison, compare
from topcoat.evals.run import evaluate, evaluation_key
from topcoat.progress import Note
from topcoat.records import EvalResult
from topcoat.store.lineage import ModelRow
from topcoat.workflow.workspace import Workspace

__all__ = ["compare_models", "evaluate_model"]


def evaluate_model(workspace: Workspace, model: ModelRow) -> EvalResult:
    """The model's scores on the project's suite: computed once, then read back.

    Raises StorageFault if the model's files are no longer those that were recorded.
    """
    if workspace.engine.describe(model.path).digest != model.digest:
        raise StorageFault(
            f"the files of model {model.name} have changed since it was recorded",
            where=Where(model.path),
            hint="put the original files back, or start another project with topcoat init",
        )
    project, suite, catalog = workspace.project, workspace.suite, workspace.catalog
    key = evaluation_key(workspace.engine, model.path, suite, catalog, project.system_prompt)
    if stored := workspace.lineage.evaluation(key):
        workspace.sink.emit(Note(f"{model.name}: evaluated before, scores read back"))
        return stored
    result = evaluate(workspace.engine, model.path, suite, catalog, project.system_prompt, workspace.sink, model.name)
    workspace.lineage.put_evaluation(key, model.name, result)
    return result


def compare_models(workspace: Workspace, before: ModelRow, after: ModelRow) -> Comparison:
    """Two models on the project's suite, case by case."""
    return compare(evaluate_model(workspace, before), evaluate_model(workspace, after))

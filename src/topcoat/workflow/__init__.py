"""The use cases, each a function with plain inputs and outputs: the one place that wires the rest together."""

from topcoat.workflow.adoption import adopt_adapter
from topcoat.workflow.estimation import estimate
from topcoat.workflow.evaluation import compare_models, evaluate_endpoint, evaluate_folder, evaluate_model
from topcoat.workflow.expansion import ExpandedSuite, expand_suite
from topcoat.workflow.history import ProjectStatus, history, project_status
from topcoat.workflow.phase_run import PhaseOutcome, run_phase, write_report
from topcoat.workflow.planning import plan_phase, plan_text, require_phase_file, write_plan
from topcoat.workflow.preparation import Prepared, prepare
from topcoat.workflow.production import promote, rollback
from topcoat.workflow.rebuilding import Freed, collect_garbage, rebuild
from topcoat.workflow.replaying import replay_from_base
from topcoat.workflow.starting import copy_demo, init_project
from topcoat.workflow.workspace import Workspace, open_workspace, read_workspace

__all__ = [
    "ExpandedSuite",
    "Freed",
    "PhaseOutcome",
    "Prepared",
    "ProjectStatus",
    "Workspace",
    "adopt_adapter",
    "collect_garbage",
    "compare_models",
    "copy_demo",
    "estimate",
    "evaluate_endpoint",
    "evaluate_folder",
    "evaluate_model",
    "expand_suite",
    "history",
    "init_project",
    "open_workspace",
    "plan_phase",
    "plan_text",
    "prepare",
    "project_status",
    "promote",
    "read_workspace",
    "rebuild",
    "replay_from_base",
    "require_phase_file",
    "rollback",
    "run_phase",
    "write_plan",
    "write_report",
]

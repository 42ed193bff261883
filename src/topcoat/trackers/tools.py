"""The trackers' own clients, one function a tracker. Each writes a run and says where it is.

A function gets a folder of the project for what is written on this machine. Addresses and keys are in the variables
that each tracker documents. The clients are imported when they are asked for: `child` has a process of its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from topcoat.spec.canonical import canonical_json
from topcoat.spec.project import TrackerName
from topcoat.trackers.tracked_run import TrackedRun

__all__ = ["TOOLS"]

_MLFLOW_STORE = "MLFLOW_TRACKING_URI"
_MLFLOW_METRICS, _MLFLOW_PARAMS = 1000, 100
"""What MLflow takes in one batch."""
_MLFLOW_LONGEST = 6000
"""Characters of a parameter."""


def _wandb(run: TrackedRun, folder: Path) -> str:
    import wandb

    settings = wandb.Settings(
        console="off",
        silent=True,
        save_code=False,
        disable_git=True,
        host="",
        username="",
        x_disable_meta=True,  # the metadata have the user's and the machine's names, and paths
        x_save_requirements=False,
        x_disable_stats=True,
        x_disable_machine_info=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    with wandb.init(
        project=run.project,
        name=run.name,
        group=run.phase,
        tags=[run.verdict],
        config=dict(run.settings),
        dir=folder,
        settings=settings,
    ) as opened:
        for point in run.points:
            opened.log(point.values, step=point.update)
        opened.summary.update({**run.summary, "verdict": run.verdict, "reasons": run.reasons})
        return str(opened.url or opened.dir)


def _mlflow(run: TrackedRun, folder: Path) -> str:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param
    from mlflow.utils.time import get_current_time_millis

    own = not os.environ.get(_MLFLOW_STORE)
    if own:
        folder.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}" if own else None)
    experiment = client.get_experiment_by_name(run.project)
    artifacts = str(folder / "artifacts") if own else None
    number = experiment.experiment_id if experiment else client.create_experiment(run.project, artifacts)
    tags = {"topcoat.phase": run.phase, "topcoat.verdict": run.verdict, "topcoat.reasons": "; ".join(run.reasons)}
    opened = client.create_run(number, run_name=run.name, tags=tags).info.run_id
    now = get_current_time_millis()
    last = run.points[-1].update if run.points else 0
    curves = [Metric(_plain(k), v, now, point.update) for point in run.points for k, v in point.values.items()]
    metrics = [*curves, *(Metric(_plain(k), v, now, last) for k, v in run.summary.items())]
    params = [Param(key, canonical_json(value)[:_MLFLOW_LONGEST]) for key, value in run.settings.items()]
    for start in range(0, len(metrics), _MLFLOW_METRICS):
        client.log_batch(opened, metrics=metrics[start : start + _MLFLOW_METRICS])
    for start in range(0, len(params), _MLFLOW_PARAMS):
        client.log_batch(opened, params=params[start : start + _MLFLOW_PARAMS])
    client.set_terminated(opened)
    return f"run {opened} in {client.tracking_uri}"


def _plain(name: str) -> str:
    """A name that MLflow takes for a metric: letters, digits, and a few signs."""
    return "".join(sign if sign.isalnum() or sign in "_-. :/" else "_" for sign in name)


def _tensorboard(run: TrackedRun, folder: Path) -> str:
    from tensorboardX import SummaryWriter

    events = folder / run.name
    shutil.rmtree(events, ignore_errors=True)  # of a process that was killed: its points would stand there twice
    last = run.points[-1].update if run.points else 0
    with SummaryWriter(logdir=str(events)) as writer:
        for point in run.points:
            for name, value in point.values.items():
                writer.add_scalar(name, value, point.update)
        for name, value in run.summary.items():
            writer.add_scalar(name, value, last)
        writer.add_text("verdict", "\n\n".join([run.verdict, *run.reasons]), last)
        writer.add_text("settings", f"    {canonical_json(run.settings)}", 0)
    return str(events)


def _trackio(run: TrackedRun, folder: Path) -> str:
    import trackio

    trackio.init(
        run.project,
        name=run.name,
        group=run.phase,
        config={**run.settings, "verdict": run.verdict, "reasons": run.reasons},
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )
    last = run.points[-1].update if run.points else 0
    for point in run.points:
        trackio.log(point.values, step=point.update)
    trackio.log(run.summary, step=last)
    trackio.finish()
    return f"trackio show --project {run.project}"


TOOLS: Mapping[TrackerName, Callable[[TrackedRun, Path], str]] = {
    "wandb": _wandb,
    "mlflow": _mlflow,
    "tensorboard": _tensorboard,
    "trackio": _trackio,
}
"""What writes a run to each tracker. It may raise anything that the tracker's client raises."""

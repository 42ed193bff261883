"""Exports as lines."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from topcoat.cli.console import print_line
from topcoat.cli.display import show_comparison
from topcoat.export.cost import ExportCost
from topcoat.export.exporting import Exported
from topcoat.quantity import counted

__all__ = ["show_cost", "show_export"]

_NEXT = {
    "hf": "vllm serve {folder}",
    "mlx-adapter": "mlx_lm generate --model ROOT --adapter-path {folder} --prompt ...",
    "peft": "PeftModel.from_pretrained(BASE, '{folder}'), where BASE is loaded from: topcoat export {root} --to hf",
    "gguf": "llama-server --jinja -m {folder}/{weights}",
    "ollama": "ollama create {model} -f {folder}/Modelfile",
    "lmstudio": "LM Studio finds it if {folder} lies in its folder of models",
    "lmstudio-gguf": "LM Studio finds it if {folder} lies in its folder of models",
}


def show_export(console: Console, done: Exported) -> None:
    """Where it is, how its numbers are stored, what was measured, what was left out, and what to do with it."""
    record, report = done.record, done.record.report
    kinds = ", ".join(f"{count} of {kind}" for kind, count in report.kinds.items())
    print_line(console, f"{escape(record.model)} as {record.to}: {escape(str(done.folder))}")
    print_line(console, f"  {report.size / 1e6:.1f} MB: {kinds}")
    if report.rounding is not None:
        print_line(console, f"  {rounding_words(report.rounding)}")
    if report.coats is not None:
        coats = report.coats
        print_line(
            console,
            f"  {counted(coats.coats, 'coat')} on {escape(record.root)}, together of rank {coats.rank}, in "
            f"{counted(coats.modules, 'module')}",
        )
        print_line(
            console,
            f"  the fused model contains {coats.survival:.1%} or more of each module's delta; root + adapter differs "
            f"from it by up to {coats.apart:.1%} of a delta",
        )
    for note in report.notes:
        print_line(console, f"  [yellow]note:[/] {escape(note)}")
    use = _NEXT[record.to].format(folder=done.folder, root=record.root, weights=record.weights, model=record.model)
    print_line(console, f"use it: {escape(use)}")
    print_line(console, f"what it costs: {escape(f'topcoat eval --exported {done.folder}')}")


def show_cost(console: Console, cost: ExportCost) -> None:
    """An export beside its model: scores by category, and how many answers are the same."""
    show_comparison(console, cost.comparison)
    print_line(console, f"{cost.same} of {counted(cost.asked, 'answer')} say and call the same in {cost.runtime}")
    if cost.called:
        print_line(
            console, f"{cost.readable} of {counted(cost.called, 'answer')} with calls still have calls that can be read"
        )
    if cost.other:
        print_line(console, f"other answers: {escape(', '.join(cost.other))}")


def rounding_words(rounding: float) -> str:
    """How much of the numbers was rounded away."""
    if rounding == 0.0:
        return "no number is rounded"
    return f"rounding changes weights by up to {rounding:.2%} of their size (rms of a tensor)"

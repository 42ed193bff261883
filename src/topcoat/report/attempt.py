"""The making of an attempt in a report: its losses, its fuse, and the attempts before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from topcoat.report.chart import bar, curves
from topcoat.report.html import Html, data_table, element, legend, name, section
from topcoat.store.records import AttemptResult, FuseReport, ModuleFuse, TrainReport, Validation
from topcoat.suites.evidence.words import percent

__all__ = ["attempts_table", "fuse_section", "loss_section"]


def loss_section(train: TrainReport) -> Html:
    """Training and validation loss over the updates."""
    best = next(((float(v.update), v.loss) for v in train.validations if v.update == train.best_update), None)
    label = f"Loss over {len(train.steps)} updates"
    if best:
        label += f"; the adapter of update {train.best_update} is kept, with a validation loss of {best[1]:.3f}"
    guarded = any(v.guard is not None for v in train.validations)
    why = "stopped early: validation no longer improved" if train.stopped == "patience" else "ran to its end"
    rows = [element("tr", *(element("td", cell) for cell in _cells(v, guarded=guarded))) for v in train.validations]
    table = element(
        "details",
        element("summary", "Validations as numbers"),
        data_table(
            "Mean loss per token in nats." + (f" {_CHOICE}." if guarded else ""),
            ["Update", "Loss", *(["Guard"] if guarded else []), "Tokens"],
            rows,
        ),
    )
    return section(
        "Training",
        element(
            "figure",
            element(
                "figcaption",
                f"Loss per trained token in nats over {len(train.steps)} updates, "
                f"{train.trained_tokens:,} tokens, {_duration(train.seconds)}; {why}.",
            ),
            legend(valid="validation", train="training"),
            curves(
                [(step.update, step.loss) for step in train.steps],
                [(validation.update, validation.loss) for validation in train.validations],
                best,
                label,
            ),
        ),
        table if rows else None,
        _trials(train),
    )


_CHOICE = "The adapter with the lowest sum of the losses on validation rows and on guard rows is kept"


def _cells(validation: Validation, *, guarded: bool) -> Iterator[str]:
    yield str(validation.update)
    yield f"{validation.loss:.4f}"
    if guarded:
        yield "–" if validation.guard is None else f"{validation.guard:.4f}"
    yield f"{validation.tokens:,}"


def fuse_section(fuse: FuseReport) -> Html:
    """What fusing did to each module."""
    if not fuse.modules:
        return section("Fuse", element("p", "No module was changed."))
    weakest = min(fuse.modules, key=lambda module: module.survival)
    summary = f"{len(fuse.modules)} module{'s' if len(fuse.modules) > 1 else ''}"
    table = data_table(
        "How large the trained change is beside the weight, and how much of it is in the written weight.",
        ["Module", "Bits", "rms(Δ) / rms(W)", "rms(Δ) / step", "Codes changed", "Survival"],
        [_module(module, weakest) for module in fuse.modules],
    )
    return section(
        "Fuse",
        element(
            "p",
            f"At least {percent(weakest.survival)} of every module's change survived fusing{_where(fuse)}. "
            f"{_divergence(fuse)}"
            f"{_losses(fuse)}{fuse.copied_tensors:,} tensors stayed byte for byte; "
            f"{fuse.bytes_written / 1e6:,.1f} MB were written. {_size(fuse)}",
        ),
        element("details", element("summary", summary), table, open=len(fuse.modules) <= 12),
    )


def _where(fuse: FuseReport) -> str:
    return ", in its outputs: roundings were compensated" if fuse.rounding == "compensated" else ""


def _divergence(fuse: FuseReport) -> str:
    if fuse.kl is None:
        return "How far the fused model is from base and adapter was not measured: there were no validation rows. "
    return f"The fused model differs from base and adapter by {fuse.kl:.2g} nats per token. "


def _losses(fuse: FuseReport) -> str:
    if fuse.loss_adapter is None or fuse.loss_fused is None:
        return ""
    return f"The validation loss was {fuse.loss_adapter:.4f} before fusing and is {fuse.loss_fused:.4f} after it. "


def _size(fuse: FuseReport) -> str:
    if fuse.size is None or fuse.bits_per_weight is None:
        return ""
    return f"The model takes {fuse.size / 1e6:,.1f} MB, {fuse.bits_per_weight:.2f} bits a weight."


def attempts_table(attempts: Sequence[AttemptResult]) -> Html:
    """Every attempt of the phase, in order."""
    rows = [row for attempt in attempts for row in _attempt(attempt)]
    columns = ["Attempt", "Learning rate", "Best loss", "Survival", "Headline", "Verdict"]
    return section(
        "Attempts",
        data_table("Each attempt starts from the same base.", columns, rows, words=(5,)),
    )


def _attempt(attempt: AttemptResult) -> Iterator[Html]:
    """The attempt's row, and a second row with what it changed and with the reasons if the gate discarded it."""
    passed = attempt.verdict.passed
    told = [f"Changed: {attempt.plan}"] if attempt.plan else []
    told += [f"Discarded: {reason}" if attempt.plan else reason for reason in attempt.verdict.reasons]
    headline = attempt.after.headline if attempt.after else None
    verdict = element("span", "✓ passed" if passed else "✗ refused", class_="good" if passed else "bad")
    loss = [Html("–")]
    if attempt.train and attempt.train.best_loss is not None:
        update = element("span", f"update {attempt.train.best_update}", class_="note")
        loss = [Html(f"{attempt.train.best_loss:.3f}"), update]
    yield element(
        "tr",
        element("th", str(attempt.attempt), scope="row"),
        element("td", f"{attempt.learning_rate:.3g}"),
        element("td", *loss),
        element("td", percent(attempt.fuse.survival) if attempt.fuse else "–"),
        element("td", percent(headline.mean if headline else None)),
        element("td", verdict, class_="words"),
        class_="told" if told else None,
    )
    if told:
        notes = [element("span", text, class_="note") for text in told]
        yield element("tr", element("td", *notes, colspan="6", class_="words"))


def _module(module: ModuleFuse, weakest: ModuleFuse) -> Html:
    ratio = module.delta_rms / module.weight_rms if module.weight_rms > 0 else 0.0
    return element(
        "tr",
        element("th", name(module.name), scope="row"),
        element("td", "unquantized" if module.bits is None else str(module.bits)),
        element("td", f"{100 * ratio:.2f}%"),
        element("td", f"{module.delta_rms / module.step:.3f}" if module.step else "–"),
        element("td", "–" if module.codes_changed is None else percent(module.codes_changed)),
        element("td", percent(module.survival), bar(module.survival, bad=module is weakest and module.survival < 0.5)),
    )


def _trials(train: TrainReport) -> Html | None:
    """The table of trials, or None if there was only one."""
    if not train.trials:
        return None
    rows = [
        element(
            "tr",
            element("td", f"{trial.learning_rate:.3g}"),
            element("td", str(trial.seed)),
            element("td", f"{trial.best_loss:.4f}" if trial.best_loss is not None else "–"),
            element("td", "chosen" if trial.chosen else trial.failure, class_="words"),
        )
        for trial in train.trials
    ]
    rows_chosen_by = "validation" + (" and guard" if any(v.guard is not None for v in train.validations) else "")
    columns = ["Learning rate", "Seed", f"Lowest {rows_chosen_by} loss", ""]
    return data_table(f"Trials: the one with the lowest {rows_chosen_by} loss was taken on.", columns, rows, words=(3,))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"

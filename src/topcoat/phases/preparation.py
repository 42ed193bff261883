"""From a phase's spec to what an engine trains on: examples, splits, replay, rows, batches, findings and the budget."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from topcoat.calls.sandbox import Sandbox
from topcoat.engine.protocol import Batch, Row
from topcoat.errors import InvalidInput, Mistake, Where
from topcoat.examples.batches import plan_batches
from topcoat.examples.checks.check import (
    check_balance,
    check_categories,
    check_delimiters,
    check_examples,
    check_held_out,
    check_quota,
    check_repeats,
    check_replay,
    check_rows,
    check_validation,
)
from topcoat.examples.checks.runs import MOST_RUN, check_runs, runnable_programs
from topcoat.examples.checks.templates import effective_number, template
from topcoat.examples.reading import read_examples
from topcoat.examples.rows import encode_all, with_mean_weight_one
from topcoat.examples.splits import balanced_sample, hold_out, without_copies
from topcoat.examples.training_files import earlier_data
from topcoat.project.project import Project
from topcoat.project.session import Session
from topcoat.quantity import counted
from topcoat.spec.canonical import digest_of
from topcoat.spec.example import LocatedExample
from topcoat.spec.phase import PhaseSpec, load_phase, phase_name
from topcoat.spec.project import PROJECT_FILE
from topcoat.store.records import Budget, CheckReport, Finding

__all__ = ["Prepared", "prepare"]

Examples = list[LocatedExample]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A phase, ready to train, its batches by seed. `digest` covers all that decides its outcome, except the base."""

    name: str
    path: Path
    spec: PhaseSpec
    base: str
    rows: list[Row]
    batches: dict[int, list[Batch]]
    valid: list[Row]
    report: CheckReport
    digest: str


def prepare(session: Session, path: Path, *, base: str | None = None, allow: frozenset[str] = frozenset()) -> Prepared:
    """Read a phase file and everything that it names, check it, and lay out its training.

    `base` overrides the spec's, for a phase that began on another one. Raises InvalidInput for what can't be read at
    all; what was read and looks wrong is in `report`.
    """
    root, suite, system_prompt = session.paths.root, session.suite, session.settings.system_prompt
    spec = load_phase(path, root)
    _require_measured(session, spec, path)
    base_model = session.model(base or spec.phase.base)
    tokenizer = session.engine.tokenizer(base_model.path)

    findings: list[Finding] = []
    new = _load_all(root, [root / name for name in spec.data.train], findings)
    pool = _replay_pool(session, spec, new, findings)
    train_new, valid_new = _split(root, spec, new, findings)
    train_pool, valid_pool = hold_out(pool, spec.data.valid_share or 0.1)
    share = spec.data.replay
    valid = valid_new + balanced_sample(valid_pool, round(len(valid_new) * share / (1 - share)), "validation")
    valid.sort(key=lambda located: hashlib.sha256(located.example.digest.encode()).digest())

    apart = valid_new if spec.data.valid_file is not None else []
    findings += check_examples([*new, *apart, *pool], suite, session.catalog, system_prompt)
    programs = runnable_programs([*new, *apart], session.catalog)
    if programs:
        with Sandbox(session.catalog) as sandbox:
            findings += check_runs(programs, sandbox)
    findings += check_repeats(new)
    findings += check_validation(train_new, valid_new)
    findings += check_categories(new, suite.categories)
    findings += check_quota(new, spec.data.quota, Where(path))
    findings += check_balance(new, spec.data.quota, Where(path))
    findings += check_delimiters(new, tokenizer)
    encoded_new = encode_all(train_new, tokenizer, spec.train)
    encoded_pool = encode_all(train_pool, tokenizer, spec.train)
    encoded_valid = encode_all(valid, tokenizer, spec.train)
    findings += check_replay(share, len(pool), Where(path))
    findings += check_held_out(len(encoded_valid.rows), Where(path))
    for encoded in (encoded_new, encoded_pool, encoded_valid):
        findings += check_rows(encoded.over_long, encoded.partly_masked)
    if not encoded_new.rows:
        raise InvalidInput(
            f"none of {counted(len(new), 'example')} fits max_seq_length = {spec.train.max_seq_length}",
            where=Where(path),
            hint=f"max_seq_length = {max((r.tokens for r in encoded_new.over_long), default=0)}",
        )
    # Each by itself: examples of weight 2 would leave replay with a third of the loss where it was to have half.
    rows = with_mean_weight_one(encoded_new.rows) + with_mean_weight_one(encoded_pool.rows)
    plans = {
        seed: plan_batches(
            [len(row.tokens) for row in rows],
            range(len(encoded_new.rows)),
            _by_category(encoded_pool.examples, len(encoded_new.rows)),
            share=share,
            size=spec.train.batch_size,
            accumulate=spec.train.grad_accumulation_steps,
            iters=spec.train.iters,
            seed=seed,
        )
        for seed in spec.train.seeds or [spec.train.seed]
    }
    plan = next(iter(plans.values()))
    if len(plans) * len(spec.train.learning_rates) > 1 and not encoded_valid.rows:
        raise InvalidInput(
            "several learning rates or seeds are chosen from by validation loss, and there is nothing to validate on",
            where=Where(path),
            hint='valid = "10%" under [data]',
        )
    budget = Budget(
        examples=len(encoded_new.rows),
        replay_pool=len(encoded_pool.rows),
        valid=len(encoded_valid.rows),
        iterations=spec.train.iters,
        updates=spec.train.updates,
        passes=plan.passes,
        replayed=plan.replayed,
        trained_tokens=sum(int(rows[i].trained.sum()) for batch in plan.batches for i in batch),
        longest=max(len(row.tokens) for row in rows),
        effective=effective_number(template(located.example) for located in new),
        programs=len(programs),
        programs_run=min(len(programs), MOST_RUN),
    )
    name = phase_name(path)
    return Prepared(
        name=name,
        path=path,
        spec=spec,
        base=base_model.name,
        rows=rows,
        batches={seed: planned.batches for seed, planned in plans.items()},
        valid=encoded_valid.rows,
        report=CheckReport(phase=name, findings=[_allowed(f, allow) for f in findings], budget=budget),
        digest=_digest(session, spec, [*new, *pool], valid),
    )


def _require_measured(project: Project, spec: PhaseSpec, path: Path) -> None:
    """Everything that the gate names must be measured: a gate on nothing would always pass, or never."""
    if spec.gate.min_format is not None and not project.settings.spec.eval.temperatures:
        raise InvalidInput(
            f"gate.min_format needs temperatures to measure at, and {PROJECT_FILE} has none",
            where=Where(path),
            hint="temperatures = [0.0, 0.7] under [eval]",
        )
    project.suite.require(spec.gate.categories, Where(path))
    counted = {case.category for case in project.suite.cases if not case.reserve}
    empty = [name for name in spec.gate.categories if name not in counted]
    if empty:
        raise InvalidInput.collect(
            str(path),
            [
                Mistake(f'category "{name}" of the gate has only reserve cases', Where(project.suite.path))
                for name in empty
            ],
        )


def _load_all(root: Path, paths: list[Path], findings: list[Finding]) -> Examples:
    """The examples of all files, their places relative to `root`; lines that are none are added to `findings`.

    Raises InvalidInput for files that can't be read at all, all together.
    """
    examples: Examples = []
    mistakes: list[Mistake] = []
    for path in paths:
        try:
            read, found = read_examples(path, root)
        except InvalidInput as error:
            mistakes += error.mistakes
        else:
            examples += read
            findings += found
    if mistakes:
        raise InvalidInput.collect(", ".join(str(path) for path in paths), mistakes)
    return examples


def _split(root: Path, spec: PhaseSpec, new: Examples, findings: list[Finding]) -> tuple[Examples, Examples]:
    if spec.data.valid_share is not None:
        return hold_out(new, spec.data.valid_share)
    assert spec.data.valid_file is not None
    valid = _load_all(root, [root / spec.data.valid_file], findings)
    return without_copies(new, valid), valid


def _replay_pool(project: Project, spec: PhaseSpec, new: Examples, findings: list[Finding]) -> Examples:
    """What was learned from earlier, without copies of what is new now."""
    if spec.data.replay == 0.0:
        return []
    root = project.paths.root
    current = {root / name for name in spec.data.train}
    earlier = _load_all(root, [path for path in earlier_data(project) if path not in current], findings)
    return without_copies(earlier, new)


def _by_category(examples: Examples, first: int) -> list[list[int]]:
    """The rows of each category; `first` is the first example's row."""
    groups: dict[str | None, list[int]] = {}
    for row, located in enumerate(examples, first):
        groups.setdefault(located.example.category, []).append(row)
    return list(groups.values())


def _allowed(finding: Finding, allow: frozenset[str]) -> Finding:
    return finding.model_copy(update={"allowed": finding.code in allow})


def _digest(session: Session, spec: PhaseSpec, examples: Examples, valid: Examples) -> str:
    evals = session.settings.spec.eval
    return digest_of(
        {
            "spec": spec.digest,
            "examples": [[e.example.digest, e.example.weight, e.example.category] for e in examples],
            "valid": [e.example.digest for e in valid],
            "suite": session.suite.digest,
            "catalog": session.catalog.digest,
            "system_prompt": session.settings.system_prompt,
            "engine": session.engine.name,
            **({"format": [evals.temperatures, evals.samples]} if spec.gate.min_format is not None else {}),
        }
    )

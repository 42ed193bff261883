"""Prepares a phase from its spec: examples, splits, replay, rows, batches, findings and the budget."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from topcoat.calls.sandbox import Sandbox
from topcoat.engine.protocol import Batch, Row
from topcoat.errors import InvalidInput, Mistake, TopcoatError, Where
from topcoat.examples.batches import Plan, plan_batches
from topcoat.examples.checks.check import (
    TEMPLATE_HINTS,
    check_balance,
    check_categories,
    check_context,
    check_delimiters,
    check_examples,
    check_held_out,
    check_quota,
    check_repeats,
    check_replay,
    check_results,
    check_rows,
    check_validation,
)
from topcoat.examples.checks.execution import MOST_RUN, check_runs, runnable_programs
from topcoat.examples.checks.templates import effective_number, template
from topcoat.examples.reading import read_examples
from topcoat.examples.rows import Encoded, encode_all, with_mean_weight_one
from topcoat.examples.splits import balanced_sample, hold_out, without_copies
from topcoat.examples.training_files import earlier_data
from topcoat.guard.pool import GuardPool
from topcoat.phases.drawing import draws_guard_cases, guard_pool, require_deciding, require_templates
from topcoat.project.project import Project
from topcoat.project.rendering import project_tokenizer
from topcoat.project.session import Session
from topcoat.quantity import counted
from topcoat.spec.canonical import digest_of
from topcoat.spec.example import Example, LocatedExample
from topcoat.spec.phase import PhaseSpec, load_phase, phase_name
from topcoat.spec.project import PROJECT_FILE
from topcoat.store.records import Budget, CheckReport, Finding
from topcoat.suites.episodes.simulator import Simulators

__all__ = ["Prepared", "prepare"]

Examples = list[LocatedExample]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A phase, ready to train, with batches by seed.

    `digest_by(engine)` covers all that decides its result with the engine of that name, except the base. `digest` is
    that of the present engine. `guard_pool` gives what guard cases are drawn from; it is made once, when it is needed.
    """

    name: str
    path: Path
    spec: PhaseSpec
    base: str
    rows: list[Row]
    batches: dict[int, list[Batch]]
    valid: list[Row]
    report: CheckReport
    digest: str
    digest_by: Callable[[str], str]
    guard_pool: Callable[[], GuardPool]


def prepare(
    session: Session,
    path: Path,
    *,
    base: str | None = None,
    allow: frozenset[str] = frozenset(),
    trained: bool = True,
    changed: PhaseSpec | None = None,
) -> Prepared:
    """Read a phase file and the files that it names, check them, and lay out the training.

    `base` overrides the spec's, for a phase that began on another one. `changed` is the spec of a later attempt. With
    `trained` off, for an adapter that was trained elsewhere, the base only has to be able to answer. Raises
    InvalidInput for files that can't be read, or a simulator of the suite that doesn't work, and what the engine raises
    for a base that can't be trained as the spec says. Other mistakes are in `report`.
    """
    root = session.paths.root
    spec = changed or load_phase(path, root)
    _require_measured(session, spec, path)
    require_deciding(spec, path)
    templates = require_templates(session) if draws_guard_cases(spec) else None
    with Simulators(session.suite.path) as simulators:
        simulators.require(session.suite.cases, session.agent)
    base_model = session.model(base or spec.phase.base)
    if trained:
        _require_trainable(session, base_model.path, spec, path)
    tokenizer = project_tokenizer(session, session.engine, base_model.path)

    findings: list[Finding] = []
    new = _load_all(root, [root / name for name in spec.data.train], findings)
    pool = _replay_pool(session, spec, phase_name(path), new, findings)
    parts = _split(root, spec, new, pool, findings)
    programs = runnable_programs([*new, *parts.apart], session.agent)
    findings += _dialogue_findings(session, spec, path, new, pool, parts, programs)
    findings += check_delimiters(new, tokenizer)
    findings += check_results([*new, *pool, *parts.apart], tokenizer)

    encode = partial(
        encode_all,
        tokenizer=tokenizer,
        spec=spec.train,
        tools=session.agent.shown,
        thinking=session.settings.spec.project.thinking,
    )
    encoded = _EncodedParts(encode(parts.train), encode(parts.replayed), encode(parts.valid))
    info = session.engine.describe(base_model.path)
    findings += _row_findings(spec, path, pool, encoded, info.context)
    _require_rows(spec, path, new, encoded)
    # Separately: otherwise new examples of weight 2 would leave replay a third of the loss instead of half.
    rows = with_mean_weight_one(encoded.new.rows) + with_mean_weight_one(encoded.pool.rows)
    plans = _plans(spec, rows, encoded)
    name = phase_name(path)
    budget = _budget(spec, new, rows, encoded, next(iter(plans.values())), len(programs))
    cut = any(part.cut for part in (encoded.new, encoded.pool, encoded.valid))
    digest_of_spec = partial(_digest, session, [*new, *pool], parts.valid, info.dated, cut, templates)
    spec = _as_begun(session, name, spec, digest_of_spec)
    digest_by = partial(digest_of_spec, spec)
    return Prepared(
        name=name,
        path=path,
        spec=spec,
        base=base_model.name,
        rows=rows,
        batches={seed: planned.batches for seed, planned in plans.items()},
        valid=encoded.valid.rows,
        report=CheckReport(phase=name, findings=[_allowed(f, allow) for f in findings], budget=budget),
        digest=digest_by(session.engine.name),
        digest_by=digest_by,
        guard_pool=cache(partial(guard_pool, session, [*new, *pool])),
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """A phase's examples: `train` and `replayed` are trained, `valid` is the validation set.

    `apart` are those of `valid` that come from a file of their own.
    """

    train: Examples
    replayed: Examples
    valid: Examples
    valid_new: Examples
    apart: Examples


@dataclass(frozen=True, slots=True)
class _EncodedParts:
    """The rows of new, of replayed and of validation examples."""

    new: Encoded
    pool: Encoded
    valid: Encoded


def _require_measured(project: Project, spec: PhaseSpec, path: Path) -> None:
    """Raise if the gate names something that isn't measured: such a gate would always pass, or never."""
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


def _require_trainable(session: Session, model: Path, spec: PhaseSpec, path: Path) -> None:
    """Raise what training and fusing would raise later, as far as the model's folder tells."""
    try:
        session.engine.require_trainable(model, spec.train, spec.fuse)
    except TopcoatError as error:
        error.where = error.where or Where(path)
        raise


def _load_all(root: Path, paths: list[Path], findings: list[Finding]) -> Examples:
    """The examples of all files, with places relative to `root`. Adds a finding for each invalid line.

    Raises one InvalidInput for all files that can't be read at all.
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


def _split(root: Path, spec: PhaseSpec, new: Examples, pool: Examples, findings: list[Finding]) -> _Parts:
    """Split off the validation set, with the same share of replay as in training."""
    if spec.data.valid_file is None:
        train, valid_new = hold_out(new, spec.data.valid_share or 0.0)
        apart: Examples = []
    else:
        apart = valid_new = _load_all(root, [root / spec.data.valid_file], findings)
        train = without_copies(new, valid_new)
    replayed, valid_pool = hold_out(pool, spec.data.valid_share or 0.1)
    share = spec.data.replay
    valid = valid_new + balanced_sample(valid_pool, round(len(valid_new) * share / (1 - share)), "validation")
    valid.sort(key=lambda located: hashlib.sha256(located.example.digest.encode()).digest())
    return _Parts(train, replayed, valid, valid_new, apart)


def _dialogue_findings(
    project: Project,
    spec: PhaseSpec,
    path: Path,
    new: Examples,
    pool: Examples,
    parts: _Parts,
    programs: Mapping[str, list[Where]],
) -> list[Finding]:
    """The findings in the examples as dialogues, before they are encoded."""
    suite, agent = project.suite, project.agent
    findings = check_examples([*new, *parts.apart, *pool], suite, agent)
    if programs:
        with Sandbox(agent.catalog) as sandbox:
            findings += check_runs(programs, sandbox)
    findings += check_repeats(new)
    findings += check_validation(parts.train, parts.valid_new)
    findings += check_categories(new, suite.categories)
    findings += check_quota(new, spec.data.quota, Where(path))
    findings += check_balance(new, spec.data.quota, Where(path))
    return findings


def _row_findings(
    spec: PhaseSpec, path: Path, pool: Examples, encoded: _EncodedParts, context: int | None
) -> list[Finding]:
    """The findings in the examples as rows of tokens, for a model that was made for `context` of them."""
    findings = check_replay(spec.data.replay, len(pool), Where(path))
    findings += check_held_out(len(encoded.valid.rows), Where(path))
    for part in (encoded.new, encoded.pool, encoded.valid):
        findings += check_rows(part)
        findings += check_context(part, context)
    return findings


def _require_rows(spec: PhaseSpec, path: Path, new: Examples, encoded: _EncodedParts) -> None:
    """Raise unless there is a row to train on and, if there are several trials, one to validate on."""
    if not encoded.new.rows and encoded.new.unrenderable:
        first = encoded.new.unrenderable[0]
        raise InvalidInput(
            f"no row can be made of {counted(len(new), 'example')}; the first: {first.reason}",
            where=first.where,
            hint=first.hint or TEMPLATE_HINTS[first.code],
        )
    if not encoded.new.rows and not encoded.new.over_long and encoded.new.thought_only:
        raise InvalidInput(
            f"nothing is left to train of {counted(len(new), 'example')}: without thoughts, no turn says anything",
            where=encoded.new.thought_only[0][0],
            hint=f'thinking = "keep" under [project] in {PROJECT_FILE}',
        )
    if not encoded.new.rows:
        raise InvalidInput(
            f"none of {counted(len(new), 'example')} fits max_seq_length = {spec.train.max_seq_length}",
            where=Where(path),
            hint=f"max_seq_length = {max((r.tokens for r in encoded.new.over_long), default=0)}",
        )
    if (len(spec.train.seeds) > 1 or len(spec.train.learning_rates) > 1) and not encoded.valid.rows:
        raise InvalidInput(
            "several learning rates or seeds are chosen from by validation loss, and there is nothing to validate on",
            where=Where(path),
            hint='valid = "10%" under [data]',
        )


def _plans(spec: PhaseSpec, rows: list[Row], encoded: _EncodedParts) -> dict[int, Plan]:
    """The order of the rows in training, by seed."""
    first = len(encoded.new.rows)
    return {
        seed: plan_batches(
            [len(row.tokens) for row in rows],
            range(first),
            _by_category(encoded.pool.examples, first),
            share=spec.data.replay,
            size=spec.train.batch_size,
            accumulate=spec.train.grad_accumulation_steps,
            iters=spec.train.iters,
            seed=seed,
        )
        for seed in spec.train.seeds or [spec.train.seed]
    }


def _budget(
    spec: PhaseSpec, new: Examples, rows: list[Row], encoded: _EncodedParts, plan: Plan, programs: int
) -> Budget:
    return Budget(
        examples=len({located.where for located in encoded.new.examples}),
        replay_pool=len(encoded.pool.rows),
        valid=len(encoded.valid.rows),
        iterations=spec.train.iters,
        updates=spec.train.updates,
        passes=plan.passes,
        replayed=plan.replayed,
        trained_tokens=sum(int(rows[i].trained.sum()) for batch in plan.batches for i in batch),
        longest=max(len(row.tokens) for row in rows),
        effective=effective_number(template(located.example) for located in new),
        programs=programs,
        programs_run=min(programs, MOST_RUN),
    )


def _replay_pool(project: Project, spec: PhaseSpec, name: str, new: Examples, findings: list[Finding]) -> Examples:
    """The examples of earlier phases and the history, without copies of the new ones."""
    if spec.data.replay == 0.0:
        return []
    root = project.paths.root
    current = {root / name for name in spec.data.train}
    earlier = _load_all(root, [path for path in earlier_data(project, before=name) if path not in current], findings)
    return without_copies(earlier, new)


def _by_category(examples: Examples, first: int) -> list[list[int]]:
    """The rows of each category; `first` is the first example's row."""
    groups: dict[str | None, list[int]] = {}
    for row, located in enumerate(examples, first):
        groups.setdefault(located.example.category, []).append(row)
    return list(groups.values())


def _allowed(finding: Finding, allow: frozenset[str]) -> Finding:
    return finding.model_copy(update={"allowed": finding.code in allow})


def _as_begun(session: Session, name: str, spec: PhaseSpec, digest: Callable[[PhaseSpec, str], str]) -> PhaseSpec:
    """`spec`, or as topcoat 0.1 read its file if it began this phase: the phase is judged as it began."""
    earlier, before = session.lineage.latest_phase(name), spec.as_version_0_1_read_it
    if earlier and before and earlier.digest in {digest(before, by) for by in (session.engine.name, earlier.engine)}:
        return before
    return spec


def _digest(
    session: Session,
    examples: Examples,
    valid: Examples,
    dated: bool,
    cut: bool,
    templates: str | None,
    spec: PhaseSpec,
    engine: str,
) -> str:
    evals, project = session.settings.spec.eval, session.settings.spec.project
    return digest_of(
        {
            "spec": spec.digest,
            "examples": [_identity(located.example) for located in examples],
            "valid": [e.example.digest for e in valid],
            "suite": session.suite.digest,
            "catalog": session.catalog.digest,
            **({"calls": session.agent.calls} if session.agent.calls != "code" else {}),
            "system_prompt": session.settings.system_prompt,
            "engine": engine,
            **({"format": [evals.temperatures, evals.samples]} if spec.gate.min_format is not None else {}),
            **({"day": str(session.day)} if dated else {}),
            **({"template": project.template} if project.template else {}),
            **({"thinking": project.thinking} if project.thinking != "keep" else {}),
            **({"over_long": "cut"} if cut else {}),
            **({"templates": templates} if templates and draws_guard_cases(spec) else {}),
        }
    )


def _identity(example: Example) -> list[object]:
    """What of an example decides the training. Turns' weights are named only where one is 0."""
    silent = [i for i, message in enumerate(example.messages) if message.weight == 0]
    return [example.digest, example.weight, example.category, *([silent] if silent else [])]

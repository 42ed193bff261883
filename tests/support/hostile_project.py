"""A project in which every text that somebody else may have written attacks the page that shows it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.fake_project import opened, write_phase
from topcoat.progress import Note, Silent, task
from topcoat.project.following import followed
from topcoat.spec.example import Example
from topcoat.spec.phase import load_phase
from topcoat.store.files import jsonl_text
from topcoat.store.lineage import WritableLineage
from topcoat.store.paths import ProjectPaths
from topcoat.store.records import AttemptResult, CategoryScore, EvalResult, GateCheck, Score, Verdict
from topcoat.store.transcripts.transcript import MadeCall, PlayedTurn, Step, Transcript
from topcoat.usage.events import Event
from topcoat.usage.extraction.owned_files import write_owned
from topcoat.usage.importing import open_log

__all__ = ["ATTACK", "attack_everywhere"]

ATTACK = (
    "</textarea></pre></title></svg></option><script>alert(1)</script>"
    "<img src=x onerror=alert(2)><svg onload=alert(3)><a href=javascript:alert(4)>a</a>"
    "\" autofocus onfocus='alert(5)' x=\"{{ 7 * 7 }}{% raw %}'`&lt;\u202e\0"
)
"""Breaks out of elements, attributes, scripts, SVG and templates, and holds what no HTML file can."""
_MODEL = f"made {ATTACK}".replace("/", "").replace("\0", "")
"""A model is called as its folder is, so its name may hold all but these two."""


def attack_everywhere(project: Path) -> dict[str, str]:
    """Put the attack into every field of the fake project; returns the names of a model, a phase and a session."""
    paths = ProjectPaths(project)
    with opened(project):
        pass
    _attack_lineage(paths)
    _attack_usage(paths)
    _attack_data(paths)
    with followed(Silent(), paths.progress, f"topcoat run {ATTACK}") as shown:
        shown.emit(Note(ATTACK, warning=True))
        with task(shown, ATTACK, total=2, unit=ATTACK) as running:
            running.advance(1, ATTACK)
    return {"model": _MODEL, "phase": "phase34a", "session": f"session {ATTACK}"}


def _attack_lineage(paths: ProjectPaths) -> None:
    with WritableLineage(paths) as lineage:
        root = lineage.models()[0].name
        model = _MODEL
        path = write_phase(paths.root)
        path.write_text(f"{path.read_text()}\n# {ATTACK.replace(chr(0), '')}\n")
        spec = load_phase(path)
        phase = lineage.add_phase("phase34a", spec, root, digest="d")
        attempt = lineage.add_attempt(phase.id, 1e-3)
        folder = paths.model(ATTACK.replace("\0", ""))
        lineage.add_model(model, digest="m", path=folder, parent=root, phase="phase34a", attempt=attempt.number)
        before, after = _evaluation(root, 0.0), _evaluation(model, 1.0)
        lineage.put_evaluation("before", root, before)
        lineage.put_evaluation("after", model, after)
        check = GateCheck(
            category=ATTACK, kind="target", required=0.5, before=0.0, after=1.0, n=2, passed=False, reason=ATTACK
        )
        verdict = Verdict(passed=False, failure=ATTACK, checks=[check])
        result = AttemptResult(
            phase="phase34a",
            attempt=1,
            learning_rate=1e-3,
            model=model,
            before=before,
            after=after,
            verdict=verdict,
            plan=ATTACK,
        )
        lineage.add_result(attempt.id, result)
        lineage.close_phase(phase.id, "discarded", ATTACK)
        lineage.promote(model, ATTACK)


def _evaluation(model: str, value: float) -> EvalResult:
    made = MadeCall(tool=ATTACK, arguments={ATTACK: ATTACK}, problem=ATTACK)
    step = Step(answer=ATTACK, calls=[made], results=[ATTACK], problem=ATTACK)
    played = Transcript(turns=[PlayedTurn(user=ATTACK, steps=[step], fault=ATTACK)], state={ATTACK: ATTACK})
    scores = [
        Score(case_id=f"{name} {ATTACK}", category=ATTACK, value=value, reason=ATTACK, scorer="tiered", answer=text)
        for name, text in (("one", ATTACK + model), ("other", ATTACK))
    ]
    scores[1] = scores[1].model_copy(update={"transcript": played, "scorer": "episode"})
    mean = CategoryScore(category=ATTACK, n=2, mean=value, solved=int(2 * value), interval=(0.0, 1.0))
    return EvalResult(model=model, suite_digest="s", categories=[mean], scores=scores, seconds=1.0, generated_tokens=1)


def _attack_usage(paths: ProjectPaths) -> None:
    common = {"session": f"session {ATTACK}", "branch": ATTACK, "source": ATTACK, "model": ATTACK}
    with open_log(paths.root) as log:
        log.add(
            [
                Event.model_validate({**common, "kind": "request", "after": "1", "query": ATTACK, "answer": ATTACK}),
                Event.model_validate(
                    {**common, "kind": "tool_call", "before": "1", "after": "2", "tool": ATTACK, "errors": [ATTACK]}
                ),
                Event.model_validate({**common, "kind": "user_correction", "original": ATTACK, "corrected": ATTACK}),
                Event.model_validate({**common, "kind": "merged", "commit": ATTACK}),
            ]
        )


def _attack_data(paths: ProjectPaths) -> None:
    said = ATTACK.replace("\0", "")
    messages = [{"role": "user", "content": said}, {"role": "assistant", "content": f"done {said}"}]
    where = {"kind": said, "score": said, "reason": said, "session": f"session {said}", "events": ["none"]}
    example = Example.model_validate({"messages": messages, "category": said, "candidate": "c0", **where})
    write_owned(paths, [(paths.data("next"), jsonl_text([example]))])
    write_phase(paths.root, "next", data__train=["data/next.jsonl"])
    (paths.root / "data" / f"{said[:40].replace('/', '')}.jsonl").write_text(json.dumps({"messages": said}) + "\n")

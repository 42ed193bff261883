from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from topcoat.phases.judging.gate import judge
from topcoat.report.attempt import fuse_section
from topcoat.report.html import name
from topcoat.report.page import PhaseReport, render
from topcoat.spec.phase import GateSpec
from topcoat.spec.suite import Case
from topcoat.store.records import (
    AnswerFault,
    AttemptResult,
    CategoryScore,
    EvalResult,
    FormatShare,
    FuseReport,
    ModuleFuse,
    PassShare,
    Score,
    TrainReport,
    TrainStep,
    Validation,
    Verdict,
)
from topcoat.store.transcripts.transcript import MadeCall, PlayedTurn, Step, Transcript
from topcoat.suites.evidence.matrix import Stage, score_matrix

CODE = "<tool_call><function=execute_code>\n<parameter=code>\n{}\n</parameter>\n</function></tool_call>"
EVIL = "</pre><script>alert('x')</script><img src=https://evil.example/a.png onerror=alert(1)>\0\ud800 & more"

SIZES = {"domain": 30, "multi_tool": 12, "git": 28, "lsp": 20, "text_tools": 18}
PROMPTS = {
    "domain": "Check if src/views/error_page.py is a valid tdom component.",
    "multi_tool": "Find the definition of HomeView, read it, validate it as a tdom component, then run the tests.",
    "git": "Show the git diff for uncommitted changes.",
    "lsp": "Show type information and docstring for LoRAConfig.",
    "text_tools": "Write the text 'Phase 33 complete' to output/summary.txt.",
}
TOOLS = {
    "domain": "validate_component",
    "multi_tool": "goto_definition",
    "git": "git_diff",
    "lsp": "hover",
    "text_tools": "write_file",
}


def evaluation(model: str, solved: dict[str, int]) -> EvalResult:
    """Of each category's cases the first `solved` are right, the rest run the wrong tool for 0.1."""
    scores, categories = [], []
    for category, n in SIZES.items():
        values = [1.0] * solved[category] + [0.1] * (n - solved[category])
        for i, value in enumerate(values):
            tool = TOOLS[category] if value == 1.0 else "run_command"
            call = f"# {PROMPTS[category]}\nresult = {tool}('src/a.py')\nif result.valid:\n    print('✓ valid')"
            scores.append(
                Score(
                    case_id=f"{category}-{i + 1:02}",
                    category=category,
                    value=value,
                    reason=f"{tool} through execute_code" if value == 1.0 else f"execute_code, but with {tool}",
                    scorer="tiered",
                    headline=True,
                    answer="I'll handle that using the appropriate tool.\n\n" + CODE.format(call),
                )
            )
        categories.append(CategoryScore(category=category, n=n, mean=sum(values) / n, solved=solved[category]))
    mean = sum(s.value for s in scores) / len(scores)
    headline = CategoryScore(category="headline", n=len(scores), mean=mean, solved=sum(solved.values()))
    return EvalResult(
        model=model,
        suite_digest="s",
        categories=categories,
        headline=headline,
        scores=scores,
        seconds=1.0,
        generated_tokens=9,
    )


def training(updates: int = 75) -> TrainReport:
    def loss(u: float) -> float:
        return 0.25 + 1.9 * 0.94**u

    return TrainReport(
        steps=[
            TrainStep(
                update=u,
                iteration=4 * u,
                loss=loss(u) * (1 + 0.25 * ((u * 7919) % 13 - 6) / 6),
                grad_norm=1.0,
                learning_rate=5e-5,
                tokens=900,
                seconds=0.5,
            )
            for u in range(1, updates + 1)
        ],
        validations=[
            Validation(update=u, iteration=4 * u, loss=loss(u) + max(0, u - 50) * 0.004 + 0.1, tokens=900)
            for u in range(0, updates + 1, 10)
        ],
        best_update=50,
        best_loss=loss(50) + 0.1,
        stopped="iterations",
        trained_tokens=67_500,
        seconds=83.0,
    )


def fused(modules: int = 8) -> FuseReport:
    return FuseReport(
        modules=[
            ModuleFuse(
                name=f"model.layers.{20 + i // 2}.self_attn.{'qv'[i % 2]}_proj",
                bits=8 if i else None,
                delta_rms=0.0002 * (i + 1),
                weight_rms=0.02,
                survival=0.995 - 0.006 * i,
                step=0.004 if i else None,
                codes_changed=0.05 * i if i else None,
            )
            for i in range(modules)
        ],
        kl=0.0031,
        loss_adapter=0.4361,
        loss_fused=0.4372,
        size=201_000_000,
        bits_per_weight=5.71,
        copied_tensors=412,
        bytes_written=21_400_000,
    )


BASE = {"domain": 13, "multi_tool": 2, "git": 28, "lsp": 18, "text_tools": 18}
GOOD = {"domain": 26, "multi_tool": 9, "git": 28, "lsp": 19, "text_tools": 18}
WORSE = {"domain": 22, "multi_tool": 9, "git": 26, "lsp": 19, "text_tools": 18}
GATE = GateSpec(target={"domain": 0.8, "multi_tool": 0.6}, no_regression=["git", "lsp", "text_tools"])
CASES = [
    Case.model_validate({"id": f"{c}-{i + 1:02}", "category": c, "prompt": PROMPTS[c], "expect": {"calls": []}})
    for c, n in SIZES.items()
    for i in range(n)
]


def attempt(number: int, solved: dict[str, int], **changes: Any) -> AttemptResult:
    before, after = evaluation("phase33b", BASE), evaluation(f"phase34a-{number}", solved)
    return AttemptResult(
        phase="phase34a",
        attempt=number,
        learning_rate=5e-5 * 0.5 ** (number - 1),
        model=f"phase34a-{number}",
        train=training(),
        fuse=fused(),
        before=before,
        after=after,
        verdict=judge(GATE, before, after),
    ).model_copy(update=changes)


PROMOTED = PhaseReport("phase34a", "promoted", [attempt(1, WORSE), attempt(2, GOOD)], CASES)
DISCARDED = PhaseReport("phase34a", "discarded", [attempt(1, WORSE)], CASES)
FAILED = PhaseReport(
    "phase34a",
    "discarded",
    [
        attempt(1, GOOD, after=None, fuse=None, train=None, verdict=Verdict(passed=False, failure="the loss is NaN")),
    ],
    [],
)


class Outline(HTMLParser):
    """A page's tags, words and attributes; complains about tags that don't match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(self.words.pop() + data if self.tags[-1:] == ["wbr"] else data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


PAGES = {"promoted": PROMOTED, "discarded": DISCARDED, "failed": FAILED}


@pytest.mark.parametrize("report", PAGES.values(), ids=PAGES)
def test_the_page_is_well_formed_and_needs_nothing_else(report: PhaseReport) -> None:
    page = render(report)
    outline = Outline(page)
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert not re.search(r"https?:|//|url\(|@import|javascript:", page)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(outline.tags)
    assert not [name for name, _ in outline.attributes if name in ("src", "href") or name.startswith("on")]
    assert outline.tags.count("h1") == 1
    # A caption inside of what scrolls sideways would be as wide as the table, and cut on a phone.
    captioned = re.findall(
        r'<figure class="table"><figcaption>[^<]+</figcaption><div class="scroll"[^>]*><table>', page
    )
    assert outline.tags.count("table") == len(captioned) > 0


@pytest.mark.parametrize("report", PAGES.values(), ids=PAGES)
def test_the_browser_is_told_to_load_and_run_nothing(report: PhaseReport) -> None:
    (content,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', render(report))
    policy = {name: sources for name, *sources in (rule.split() for rule in unescape(content).split(";"))}
    assert policy.pop("style-src") == ["'unsafe-inline'"]  # the page's own
    # What default-src doesn't cover is named itself; nothing loosens any of them again.
    assert policy.keys() >= {"default-src", "base-uri", "form-action"}
    assert all(sources == ["'none'"] for sources in policy.values())


def test_a_name_is_broken_between_its_words_only() -> None:
    assert name("multi_tool<b>.x-1") == "multi_<wbr>tool&lt;b&gt;.<wbr>x-<wbr>1"


def test_a_promoted_phase_says_why() -> None:
    text = Outline(render(PROMOTED)).text
    assert "phase34a PROMOTED" in text
    assert "phase33b → phase34a-2, decided by attempt 2 of 2" in text
    assert "✓ domain 88.0% >= 80.0% (n=30)" in text
    assert "✓ git kept 100.0% (n=28), tolerance 0.0%" in text


def test_a_discarded_phase_says_why_and_nothing_else() -> None:
    text = Outline(render(DISCARDED)).text
    header = text[: text.index("Categories")]
    assert "DISCARDED" in header
    assert "decided by the first attempt" in header
    assert "✗ domain 76.0% < 80.0% (n=30)" in header
    assert "✗ git fell 100.0% -> 93.6% (n=28), tolerance 0.0%" in header
    assert "✓" not in header


def test_an_attempt_that_failed_shows_what_there_is() -> None:
    text = Outline(render(FAILED)).text
    assert "✗ the loss is NaN" in text
    assert "Attempts" in text
    assert "Categories" not in text
    assert "Training" not in text


def test_categories_show_before_after_and_gate() -> None:
    page = render(DISCARDED)
    text = Outline(page).text
    assert "headline 108 75.8% 67–83% 88.3% 81–93% +12.5 17 better, 2 worse –" in text
    git = "git 28 100.0% 88–100% 93.6% 78–98% -6.4 2 worse suspected p 0.5, Holm 1 shows falls ≥ 39"
    assert f"{git} ✗ no fall" in text
    assert "+52.5 7 better confirmed better p 0.016, Holm 0.047 shows no fall" in text
    assert "p 1, Holm 1 shows falls ≥ 52 ✓ no fall" in text
    row = page[page.index(">git<") : page.index(">lsp<")]
    assert re.findall(r'<rect[^>]* width="([\d.]+)"[^>]*class="fill-(coat|base)"', row) == [
        ("93.5714", "coat"),
        ("100", "base"),
    ]


def test_the_format_is_told_where_it_was_measured() -> None:
    def with_format(result: EvalResult, right: int) -> EvalResult:
        wrong = ["git-01"] if right < 50 else []
        found = FormatShare(temperature=0.7, answers=50, right=right, wrong=wrong)
        return result.model_copy(update={"formats": [found]})

    last = PROMOTED.attempts[-1]
    assert last.after is not None
    before, after = with_format(last.before, 50), with_format(last.after, 40)
    verdict = judge(GateSpec(min_format=0.9), before, after)
    told = last.model_copy(update={"before": before, "after": after, "verdict": verdict})
    text = Outline(render(replace(DISCARDED, attempts=[told]))).text
    assert "Temperature Answers Before After Cases with another format 0.7 50 100.0% 80.0% git-01" in text
    assert "✗ format at temperature 0.7 80.0% < 90.0% (n=50)" in text
    assert "Cases with another format" not in Outline(render(PROMOTED)).text


def test_sampled_episodes_are_told() -> None:
    last = PROMOTED.attempts[-1]
    assert last.after is not None
    found = PassShare(temperature=0.7, samples=5, episodes=4, solved=3, mean=0.9, failed=["e1"])
    after = last.after.model_copy(update={"passes": [found]})
    text = Outline(render(replace(PROMOTED, attempts=[last.model_copy(update={"after": after})]))).text
    assert "Single samples after Not solved every time 0.7 4 5 – 75.0% 90.0% e1" in text
    assert "Sampled episodes" not in Outline(render(PROMOTED)).text


def test_an_episode_shows_its_transcript() -> None:
    last = PROMOTED.attempts[-1]
    assert last.after is not None
    call = MadeCall(tool="order", arguments={"number": 7}, problem="sim.py:3: ValueError: gone")
    steps = [Step(answer="CALL", calls=[call], results=['{"error": "<gone>"}']), Step(answer="Sorry.")]
    turn = PlayedTurn(user="Refund 7.", steps=steps, fault="refund is not called")
    transcript = Transcript(turns=[turn], state={"cents": 3})
    first, *rest = last.after.scores
    scores = [first.model_copy(update={"answer": "other", "transcript": transcript}), *rest]
    told = last.model_copy(update={"after": last.after.model_copy(update={"scores": scores})})
    text = Outline(render(replace(PROMOTED, attempts=[told]))).text
    assert (
        '== user Refund 7. == model CALL == result {"error": "<gone>"} ! order: sim.py:3: ValueError: gone '
        '== model Sorry. ✗ refund is not called == state { "cents": 3 }'
    ) in text


def test_faulty_answers_are_told() -> None:
    last = PROMOTED.attempts[-1]
    assert last.after is not None
    faults = [
        AnswerFault(kind="cut", cases=["git-01", "git-02"], failed=1, max_tokens=9),
        AnswerFault(kind="empty", cases=["git-03"], failed=1),
    ]
    before = last.before.model_copy(update={"faults": faults[:1]})
    after = last.after.model_copy(update={"faults": faults[1:]})
    text = Outline(
        render(replace(DISCARDED, attempts=[last.model_copy(update={"before": before, "after": after})]))
    ).text
    assert "Fault Before After Failed after Cases after Cut at max_tokens 2 0 0 – Empty 0 1 1 git-03" in text
    assert "Faulty answers" not in Outline(render(PROMOTED)).text


def test_the_scores_after_each_phase_are_told() -> None:
    solved = {"phase33a": {**BASE, "git": 25}, "phase33b": BASE, "phase34a-2": GOOD}
    stages = [Stage(m, m, ["domain"] if m == "phase34a-2" else ["lsp"], evaluation(m, s)) for m, s in solved.items()]
    page = render(replace(PROMOTED, matrix=score_matrix(stages)))
    text = Outline(page).text
    assert "After domain multi_tool git lsp text_tools" in text
    assert "phase33a 49.0% 25.0% 90.4% 91.0% 100.0% phase33b 49.0% 25.0% 100.0% 91.0% 100.0%" in text
    assert "Average 92.2%. Backward transfer +16.7" in text
    assert "<strong>88.0%</strong>" in page
    assert page.count("<strong>") == 2
    assert "Backward transfer" not in Outline(render(PROMOTED)).text
    assert "Backward transfer" not in Outline(render(replace(PROMOTED, matrix=score_matrix(stages[:1])))).text


def test_training_fuse_and_attempts_are_told() -> None:
    text = Outline(render(PROMOTED)).text
    assert "67,500 tokens, 1 min 23 s; ran to its end" in text
    assert "best: 0.436 at update 50" in text
    assert "At least 95.3% of every module's change survived" in text
    assert "0.0031 nats per token" in text
    assert "model.layers.23.self_attn.v_proj 8 8.00% 0.400 35.0% 95.3%" in text
    assert "model.layers.20.self_attn.q_proj unquantized 1.00% – – 99.5%" in text
    assert "The validation loss was 0.4361 before fusing and is 0.4372 after it." in text
    assert "The model takes 201.0 MB, 5.71 bits a weight." in text
    assert "1 5e-05 0.436 update 50 95.3% 88.3% ✗ refused domain 76.0% < 80.0% (n=30)" in text
    assert "2 2.5e-05 0.436 update 50 95.3% 93.3% ✓ passed" in text


def test_compensated_rounding_is_told() -> None:
    compensated = fused().model_copy(update={"rounding": "compensated"})
    said = "change survived fusing, in its outputs: roundings were compensated."
    assert said in Outline(fuse_section(compensated)).text
    assert said not in Outline(fuse_section(fused())).text


def test_changed_answers_stand_side_by_side_worse_ones_first() -> None:
    page = render(DISCARDED)
    text = Outline(page).text
    answers = text[text.index("Changed answers") :]
    assert answers.index("Worse (2)") < answers.index("git-27") < answers.index("Better (17)") < answers.index("lsp-19")
    asked = "Show the git diff for uncommitted changes. Expected: no call Before: 1.00"
    assert f"git-27 git ▼ worse, 1.00 → 0.10 {asked}" in answers
    assert "git-26" not in answers
    assert page.count('<article class="worse">') == 2
    assert page.count('<article class="better">') == 17
    assert page.count("<details open><summary>Worse") == 1


def hostile(value: Any, kind: Any = str) -> Any:
    """`value` with `EVIL` before each of its texts, but for empty ones and, by the annotation `kind`, fixed choices."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        spoiled = {name: hostile(getattr(value, name), fields[name].annotation) for name in fields}
        return value.model_copy(update=spoiled)
    if isinstance(value, list | tuple):
        return type(value)(hostile(item, (*get_args(kind), str)[0]) for item in value)
    if isinstance(value, dict):
        return {hostile(key): hostile(item) for key, item in value.items()}
    if isinstance(value, str) and value and "Literal" not in str(kind):
        return EVIL + value
    return value


def test_what_anybody_wrote_stays_text() -> None:
    def with_formats(result: EvalResult | None) -> EvalResult:
        assert result is not None
        found = FormatShare(temperature=0.7, answers=50, right=40, wrong=["git-01"])
        return result.model_copy(update={"formats": [found]})

    attempts = [
        a.model_copy(update={"before": with_formats(a.before), "after": with_formats(a.after)})
        for a in PROMOTED.attempts
    ]
    failed = attempts[-1].verdict.model_copy(update={"failure": "the loss is NaN"})
    attempts[-1] = attempts[-1].model_copy(update={"verdict": failed})
    stages = [Stage(m, m, ["lsp"], evaluation(m, s)) for m, s in {"phase33a": BASE, "phase33b": GOOD}.items()]
    spoiled = [Stage(EVIL + s.model, EVIL + s.model, [EVIL + "lsp"], hostile(s.scores)) for s in stages]
    clean = Outline(render(replace(PROMOTED, attempts=attempts, matrix=score_matrix(stages))))
    page = render(PhaseReport(EVIL, "promoted", hostile(attempts), hostile(CASES), score_matrix(spoiled)))
    outline = Outline(page)
    assert set(outline.tags) - {"wbr"} == set(clean.tags) - {"wbr"}
    assert {name for name, _ in outline.attributes} == {name for name, _ in clean.attributes}
    assert "<script" not in page
    assert "<img" not in page
    said = "".join(outline.words)
    for text in ("phase33b", "phase34a-2", "git", "the loss is NaN", PROMPTS["domain"]):
        assert f"onerror=alert(1)>\ufffd\ufffd & more{text}" in said
    assert "\0" not in page
    page.encode("utf-8")


def test_a_long_run_is_thinned() -> None:
    long = training(20_000)
    report = PhaseReport("p", "promoted", [attempt(1, GOOD, train=long)], CASES)
    drawing = re.search(r'<div class="chart".*?</div>', render(report))
    assert drawing
    assert len(drawing[0]) < 30_000


def test_odd_trainings_are_drawn() -> None:
    empty = training(0).model_copy(update={"validations": [], "best_loss": None})
    assert "No loss was recorded" in render(PhaseReport("p", "promoted", [attempt(1, GOOD, train=empty)], CASES))
    infinite = training(1)
    steps = [infinite.steps[0].model_copy(update={"loss": float("nan")})]
    page = render(
        PhaseReport("p", "promoted", [attempt(1, GOOD, train=infinite.model_copy(update={"steps": steps}))], CASES)
    )
    assert not re.search(r"\bnan\b|\binf\b", page)

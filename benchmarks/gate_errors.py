"""How often the gate errs, by simulation: with the families of the embedded suite and of other structures.

    python -m benchmarks.gate_errors [--coats 1000] [--margin 0.03] [--alpha 0.05] [--cases 150] [--most 600]

A coat is a chance for each family that a case which the base answers rightly is lost, and one that another is gained.
Cases are drawn from the families in turn, as guard cases are. The truth of a coat is its mean fall over the families at
hand, except for the coats "of a population": their families are themselves drawn from one whose mean fall it is.
Prints tables in Markdown; takes about three minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from topcoat.demo import TEMPLATE
from topcoat.suites.evidence.looks import Look, plan_looks
from topcoat.suites.evidence.noninferiority import FallTest, judge_fall
from topcoat.suites.evidence.statistics import Array, Pairs, weigh

Families = Sequence[str]
Draw = Callable[[np.random.Generator, int], "Coat"]
SEED = 18
RIGHT = 0.8
"""The share of the cases that the base answers rightly."""


@dataclass(frozen=True)
class Coat:
    """The chances of each family's cases to be lost and to be gained, each of shape (families,)."""

    lost: Array
    gained: Array


@dataclass(frozen=True)
class Setting:
    """The gate's settings. `pool` is the most cases that a family gives; None is no limit."""

    margin: float
    alpha: float
    looks: list[Look]
    pool: Sequence[int] | None = None


def embedded_families() -> dict[str, set[str]]:
    """The families of each category of the embedded project: those of its suite and of its templates."""
    found: dict[str, set[str]] = {}
    for line in (TEMPLATE / "suites" / "routing.jsonl").read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        found.setdefault(case["category"], set()).add(case.get("family") or case["id"])
    for template in tomllib.loads((TEMPLATE / "suites" / "templates.toml").read_text(encoding="utf-8"))["template"]:
        found.setdefault(template["category"], set()).add(template["name"])
    return found


def turns(families: int, most: int, pool: Sequence[int] | None) -> list[int]:
    """The family of each of at most `most` cases. They take turns until `pool` has none left of a family."""
    left = list(pool) if pool else [most] * families
    order: list[int] = []
    while len(order) < most and any(left):
        for family in range(families):
            if left[family] and len(order) < most:
                order.append(family)
                left[family] -= 1
    return order


def decide(coat: Coat, setting: Setting, generator: np.random.Generator) -> FallTest:
    """The gate's decision on cases of the coat's families, drawn until there is one."""
    order = np.array(turns(len(coat.lost), setting.looks[-1].cases, setting.pool))
    luck = generator.random(len(order))
    lost = luck < coat.lost[order]
    gained = ~lost & (luck < (coat.lost + coat.gained)[order])
    before = (lost | (~gained & (generator.random(len(order)) < RIGHT))).astype(np.float64)
    after = before - lost + gained
    names = [str(family) for family in order]
    for look in setting.looks:
        n = min(look.cases, len(order))
        last = look.planned_last or n == len(order)
        found = judge_fall(Pairs(before[:n], after[:n], names[:n]), setting.margin, look, last=last)
        if found.decision != "undecided" or last:
            break
    return found


# Coats


def even(lost: float, gained: float) -> Draw:
    """The same chances in every family."""
    return lambda _, families: Coat(np.full(families, lost), np.full(families, gained))


def differing(fall: float, changed: float, alike: float, *, at_hand: bool) -> Draw:
    """Chances that differ between families: `changed` (lost and gained together) and `fall` in the mean.

    `alike` is the correlation of two cases of a family, that of a beta distribution. `at_hand`: the families that are
    drawn have exactly this mean fall; otherwise the population that they are drawn from has.
    """
    ratio = (1 - alike) / alike

    def draw(generator: np.random.Generator, families: int) -> Coat:
        means = (changed + fall) / 2, (changed - fall) / 2
        lost, gained = (generator.beta(max(mean, 1e-9) * ratio, (1 - mean) * ratio, families) for mean in means)
        while at_hand and abs(missing := fall - float(np.mean(lost - gained))) > 1e-6:
            lost = np.clip(lost + missing, 0.0, 1.0 - gained)
        return Coat(lost, np.minimum(gained, 1.0 - lost))

    return draw


def in_one(fall: float, changed: float) -> Draw:
    """The whole fall in as few families as can hold it, and changes both ways in all."""

    def draw(generator: np.random.Generator, families: int) -> Coat:
        lost, left = np.full(families, changed / 2), fall * families
        for family in range(families):
            lost[family] += min(left, 0.9)
            left -= min(left, 0.9)
        return Coat(lost, np.full(families, changed / 2))

    return draw


# Tables


def errors(name: str, draw: Draw, families: int, setting: Setting, coats: int) -> str:
    """A row: how coats of this kind are decided, and over how many cases in the mean."""
    generator = np.random.default_rng([SEED, families, coats])
    found = [decide(draw(generator, families), setting, generator) for _ in range(coats)]
    decisions = Counter(test.decision for test in found)
    late = sum(test.decision == "kept" and (test.within or 0.0) > setting.margin for test in found)
    shares = [decisions["kept"], late, decisions["fell"], decisions["undecided"]]
    mean = np.mean([test.n for test in found])
    return f"| {name} | {families} | {' | '.join(f'{share / coats:.1%}' for share in shares)} | {mean:.0f} |"


def by_category(title: str, kinds: Mapping[str, Draw], structures: Sequence[int], setting: Setting, coats: int) -> None:
    print(f"\n{title}\n")
    print("| coat | families | kept | of these at the end only | fell | undecided | mean cases |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, draw in kinds.items():
        for families in structures:
            print(errors(name, draw, families, setting, coats), flush=True)


def whole_coats(kinds: Mapping[str, Draw], structure: Mapping[str, set[str]], setting: Setting, coats: int) -> None:
    """Every category of the embedded suite at once: a coat passes if all are kept, and is refused if one fell."""
    print(f"\nWhole coats, over the {len(structure)} categories of the embedded suite\n")
    print("| coat, in every category | all kept | one fell | undecided | mean cases of a category |")
    print("| --- | --- | --- | --- | --- |")
    for name, draw in kinds.items():
        generator = np.random.default_rng([SEED, len(name)])
        kept = fell = cases = 0
        for _ in range(coats):
            found = [decide(draw(generator, len(own)), setting, generator) for own in structure.values()]
            kept += all(test.decision == "kept" for test in found)
            fell += any(test.decision == "fell" for test in found)
            cases += sum(test.n for test in found)
        shares = [kept / coats, fell / coats, 1 - (kept + fell) / coats]
        print(
            f"| {name} | {' | '.join(f'{s:.1%}' for s in shares)} | {cases / coats / len(structure):.0f} |", flush=True
        )


def only_right(setting: Setting, coats: int) -> None:
    """The mean fall that cases show which the base answers rightly, and that all cases show."""
    print("\nThe fall of harmless coats, over all cases and over those that the base answers rightly\n")
    print("| changed | over all | over the base's right ones |\n| --- | --- | --- |")
    generator = np.random.default_rng(SEED)
    n = setting.looks[-1].cases
    for changed in (0.02, 0.05, 0.10):
        luck = generator.random((coats, n))
        lost, gained = luck < changed / 2, (luck >= changed / 2) & (luck < changed)
        right = lost | (~gained & (generator.random((coats, n)) < RIGHT))
        print(f"| {changed:.0%} | {lost.mean() - gained.mean():+.4f} | {lost.sum() / right.sum():+.4f} |")


def false_confirmations(structure: Mapping[str, set[str]], changed: float, alike: float, coats: int) -> float:
    """How often a suite with a reserve confirms any change where nothing changed, over both looks.

    Each family has two cases in the suite and one in the reserve. Its changes go up and down with the same chance.
    """
    generator = np.random.default_rng([SEED, int(100 * changed), int(100 * alike)])
    confirmed = 0
    for _ in range(coats):
        looks: list[dict[str, Pairs]] = [{}, {}]
        for category, families in structure.items():
            chances = generator.beta(changed * (1 - alike) / alike, (1 - changed) * (1 - alike) / alike, len(families))
            signs = generator.choice([-1.0, 1.0], len(families))
            order = np.tile(np.arange(len(families)), 3)
            together = generator.random(len(order)) < alike
            sign = np.where(together, signs[order], generator.choice([-1.0, 1.0], len(order)))
            change = (generator.random(len(order)) < chances[order]) * sign
            names = [str(family) for family in order]
            for look, n in zip(looks, (2 * len(families), 3 * len(families)), strict=True):
                own = change[:n]
                look[category] = Pairs((own < 0).astype(np.float64), (own > 0).astype(np.float64), names[:n], looks=2)
        first = weigh(looks[0])
        asked = {name for name, evidence in first.items() if evidence.call == "suspected"}
        second = weigh({name: looks[name in asked][name] for name in structure})
        calls = [evidence.call for evidence in [*first.values(), *second.values()]]
        confirmed += any(call.startswith("confirmed") for call in calls)
    return confirmed / coats


def main() -> None:
    parser = argparse.ArgumentParser(description="How often the gate errs, by simulation.")
    parser.add_argument("--coats", type=int, default=1000, help="simulated coats in each row")
    parser.add_argument("--margin", type=float, default=0.03)
    parser.add_argument("--alpha", type=float, default=0.05)
    parser.add_argument("--cases", type=int, default=150, help="guard cases of a category at the first look")
    parser.add_argument("--most", type=int, default=600, help="the most guard cases of a category")
    options = parser.parse_args()
    setting = Setting(options.margin, options.alpha, plan_looks(options.cases, options.most, options.alpha))
    structure = embedded_families()
    counts = {name: len(families) for name, families in structure.items()}
    print(
        f"margin {setting.margin:g}, alpha {setting.alpha:g}, looks at {[look.cases for look in setting.looks]} cases"
    )
    print(f"families of the embedded suite: {', '.join(f'{name} {count}' for name, count in counts.items())}")
    fall = 2 * setting.margin
    structures = sorted({6, 14, *(min(counts.values()), max(counts.values()))})
    harmless = {f"harmless, {changed:.0%} changed": even(changed / 2, changed / 2) for changed in (0, 0.02, 0.05, 0.1)}
    harmless |= {
        f"harmless, 5% changed, alike {alike:g}": differing(0.0, 0.05, alike, at_hand=True) for alike in (0.1, 0.3)
    }
    harmful = {f"falls by {fall:g}, {c:.0%} more changed": even(fall + c / 2, c / 2) for c in (0, 0.02, 0.05)}
    harmful |= {
        f"falls by {fall:g}, alike {alike:g}": differing(fall, fall + 0.02, alike, at_hand=True) for alike in (0.1, 0.3)
    }
    harmful |= {f"falls by {fall:g} in few families": in_one(fall, 0.02)}
    by_category("Harmless coats, by category", harmless, structures, setting, options.coats)
    by_category("Coats that fall by twice the margin", harmful, structures, setting, options.coats)
    population = {
        "harmless, of a population, alike 0.1": differing(0.0, 0.05, 0.1, at_hand=False),
        f"falls by {fall:g}, of a population, alike 0.1": differing(fall, fall + 0.02, 0.1, at_hand=False),
    }
    by_category("Families that are a sample themselves", population, [*structures, 100], setting, options.coats)
    scarce = Setting(setting.margin, setting.alpha, setting.looks, [4, 8, 16, 32, 64, 128] * 2)
    unequal = {name: (harmless | harmful)[name] for name in (list(harmless)[2], list(harmful)[1])}
    by_category("12 families that give 4 to 128 cases", unequal, [12], scarce, options.coats)
    whole_coats(harmless, structure, setting, max(1, options.coats // 4))
    only_right(setting, options.coats)
    print('\nWhere nothing changed: "confirmed" in any category of the suite, over both looks\n')
    print("| changed | alike | confirmed |\n| --- | --- | --- |")
    for changed, alike in ((0.05, 0.01), (0.1, 0.3), (0.2, 0.5)):
        share = false_confirmations(structure, changed, alike, max(1, options.coats // 4))
        print(f"| {changed:.0%} | {alike:g} | {share:.1%} |", flush=True)


if __name__ == "__main__":
    main()

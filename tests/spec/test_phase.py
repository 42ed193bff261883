from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from topcoat.errors import InvalidInput, Where
from topcoat.spec.phase import PhaseSpec, diff, load_phase, phase_name

MistakesOf = Callable[..., list[tuple[int | None, str]]]

SMALLEST = '[data]\ntrain = ["a.jsonl"]\n[gate]\nno_regression = ["git"]\n'


def spec(**tables: dict[str, Any]) -> PhaseSpec:
    return PhaseSpec.model_validate({"data": {"train": ["a.jsonl"]}, "gate": {"no_regression": ["git"]}} | tables)


def test_the_defaults_are_those_of_the_documentation(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(SMALLEST)
    loaded = load_phase(path)
    assert loaded == spec()
    train = loaded.train
    assert (loaded.phase.base, loaded.data.valid, loaded.data.replay) == ("production", "10%", 0.25)
    assert (train.iters, train.learning_rate, train.num_layers, train.grad_accumulation_steps) == (300, 5e-5, 8, 4)
    assert (train.patience, train.save_every, train.val_batches, train.lora.rank) == (3, 100, 10, 8)
    assert (loaded.fuse.bits, loaded.fuse.min_survival, loaded.fuse.max_kl) == ("auto", 0.95, 0.01)
    assert (loaded.retry.max_attempts, loaded.retry.learning_rate_factor) == (3, 0.5)
    assert train.updates == 75


@pytest.mark.parametrize(
    ("table", "key", "bad"),
    [
        ("data", "train", []),
        ("data", "train", ["a", "a"]),
        ("data", "valid", "0%"),
        ("data", "valid", "100%"),
        ("data", "valid", "ten%"),
        ("data", "valid", "a.jsonl"),
        ("data", "replay", 1),
        ("data", "replay", -0.1),
        ("data", "quota", {"a": -1}),
        ("data", "quota", {"": 1}),
        ("train", "learning_rate", 0),
        ("train", "learning_rate", float("inf")),
        ("train", "learning_rate", float("nan")),
        ("train", "learning_rate", "1e-5"),
        ("train", "num_layers", 0),
        ("train", "num_layers", -2),
        ("train", "val_batches", 0),
        ("train", "iters", 3),
        ("train", "iters", 10**10),
        ("train", "warmup", 75),
        ("train", "weight_decay", 0.1),
        ("train", "optimizer", "lion"),
        ("train", "mask_prompt", 1),
        ("train", "max_grad_norm", 0),
        ("train", "lora", {"keys": []}),
        ("train", "lora", {"dropout": 1}),
        ("fuse", "bits", 7),
        ("fuse", "bits", "8"),
        ("fuse", "min_survival", 1.1),
        ("gate", "target", {"a": 1.1}),
        ("gate", "no_regression", []),
        ("gate", "evidence", "suspected"),
        ("gate", "no_regression", ["a", "a"]),
        ("gate", "canary", {"share": 0}),
        ("gate", "canary", {"share": 1}),
        ("gate", "canary", {"sessions": 9}),
        ("gate", "canary", {"sessions": 2**63}),
        ("gate", "canary", {"undecided": "wait"}),
        ("retry", "max_attempts", 0),
        ("retry", "learning_rate_factor", 0),
        ("retry", "learning_rate_factor", 1.5),
    ],
)
def test_values_out_of_range_are_refused(table: str, key: str, bad: object) -> None:
    base: dict[str, Any] = {"train": ["a.jsonl"]} if table == "data" else {}
    base |= {"target": {"a": 1}} if key == "canary" else {}
    with pytest.raises(ValidationError):
        spec(**{table: base | {key: bad}})


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("data", {"train": ["a"], "valid": "0.5 %", "replay": 0}),
        ("train", {"iters": 4, "warmup": 0, "num_layers": -1, "val_batches": -1, "patience": 0}),
        ("train", {"optimizer": "adamw", "weight_decay": 0.1, "max_grad_norm": 1, "warmup": 74}),
        ("fuse", {"bits": "none"}),
        ("fuse", {"bits": 8, "min_survival": 0}),
        ("gate", {"target": {"a": 1}}),
        ("gate", {"target": {"a": 1}, "canary": {"share": 0.99, "sessions": 10, "undecided": "discard"}}),
        ("retry", {"max_attempts": 1, "learning_rate_factor": 1}),
    ],
)
def test_values_at_the_edge_are_accepted(table: str, values: dict[str, Any]) -> None:
    spec(**{table: values})


def test_cross_checks_name_the_line_of_the_key_at_fault(mistakes_of: MistakesOf) -> None:
    source = SMALLEST + '[train]\nseed = 1\nmask_prompt = false\nmask = "last"\niters = 2\n[retry]\nmax_attempts = 0'
    assert mistakes_of(load_phase, source) == [
        (8, 'train.mask: "last" means nothing while mask_prompt is false: every token is trained'),
        (9, "train.iters: 2 iterations never reach an update: grad_accumulation_steps is 4"),
        (11, "retry.max_attempts: must be at least 1, is 0"),
    ]


def test_a_gate_that_asks_for_nothing_is_a_mistake(mistakes_of: MistakesOf) -> None:
    assert mistakes_of(load_phase, '[data]\ntrain = ["a"]\n[gate]\ntolerance = 0.1\n') == [
        (3, "gate: asks for nothing: name a category under [gate.target] or in no_regression")
    ]


@pytest.mark.parametrize(("value", "instead"), [("any", "mean"), ("confirmed", "tested")])
def test_earlier_kinds_of_evidence_are_mistakes_with_what_to_write(tmp_path: Path, value: str, instead: str) -> None:
    path = tmp_path / "phase1.toml"
    path.write_text(SMALLEST + f'evidence = "{value}"\n')
    with pytest.raises(InvalidInput) as caught:
        load_phase(path)
    (mistake,) = caught.value.mistakes
    assert mistake.message.startswith(f'gate.evidence: "{value}" is no longer known: ')
    assert (mistake.where, mistake.hint) == (Where(path, 5), f'evidence = "{instead}"')


def test_an_unknown_evidence_is_told_the_two_kinds(mistakes_of: MistakesOf) -> None:
    source = SMALLEST + 'evidence = "proof"\n'
    assert mistakes_of(load_phase, source) == [(5, 'gate.evidence: must be "tested" or "mean", is "proof"')]
    assert mistakes_of(load_phase, SMALLEST + "evidence = 3\n") == [(5, 'gate.evidence: must be "tested" or "mean"')]


def test_full_fine_tuning_is_refused_with_its_reason_and_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "phase1.toml"
    path.write_text(SMALLEST + '[train]\nfine_tune_type = "full"\n')
    with pytest.raises(InvalidInput) as caught:
        load_phase(path)
    (mistake,) = caught.value.mistakes
    assert mistake.message.startswith('train.fine_tune_type: "full" can\'t be trained: it trains whole layers')
    assert (mistake.where, mistake.hint) == (
        Where(path, 6),
        "rank = 64 under [train.lora] has room for a larger change",
    )
    path.write_text(SMALLEST + '[train]\nfine_tune_type = "lora"\n[train.lora]\nrank = 64\n')
    assert load_phase(path).train.lora.rank == 64


def test_what_earlier_versions_stored_is_read() -> None:
    stored = json.loads(spec().model_dump_json())
    del stored["guard"], stored["gate"]["margin"], stored["gate"]["alpha"]
    for value, meaning in (("any", "mean"), ("confirmed", "confirmed")):
        stored["gate"]["evidence"] = value
        read = PhaseSpec.model_validate_json(json.dumps(stored))
        assert (read.gate.evidence, read.gate.margin, read.gate.alpha) == (meaning, 0.03, 0.05)
        assert PhaseSpec.model_validate_json(read.model_dump_json()) == read
        tested = spec(gate={"no_regression": ["git"], "evidence": "tested"})
        assert diff(read, tested)[0] == f'gate.evidence: "{meaning}" -> "tested"'


@pytest.mark.parametrize("keys", ['evidence = "tested"', "margin = 0.05", "alpha = 0.1", "[guard]\ncases = 0"])
def test_a_file_without_newer_keys_is_known_as_version_0_1_read_it(tmp_path: Path, keys: str) -> None:
    path = tmp_path / "phase1.toml"
    path.write_text(SMALLEST)
    before = load_phase(path).as_version_0_1_read_it
    assert before is not None
    assert (before.gate.evidence, before.gate.no_regression) == ("mean", ["git"])
    path.write_text(f"{SMALLEST}{keys}\n")
    assert load_phase(path).as_version_0_1_read_it is None


def test_margin_and_guard_count_only_where_falls_are_tested() -> None:
    def digest(evidence: str, guard: dict[str, int], **gate: float) -> str:
        return spec(gate={"no_regression": ["git"], "evidence": evidence, **gate}, guard=guard).digest

    assert digest("mean", {}) == digest("mean", {"cases": 7}) == digest("mean", {}, margin=0.1, alpha=0.1)
    assert len({digest("tested", {}), digest("tested", {"cases": 7}), digest("tested", {}, margin=0.1)}) == 3
    by_means = spec(gate={"no_regression": ["git"], "evidence": "mean"}).gate.decisive
    assert not {"margin", "alpha"} & by_means.keys()  # nor do digests of earlier versions have them


def test_guard_cases_grow_from_the_first_look_to_the_most(mistakes_of: MistakesOf) -> None:
    assert mistakes_of(load_phase, SMALLEST + "[guard]\ncases = 700\n") == [
        (5, "guard.most: is 600, fewer than the 700 cases of the first look")
    ]
    assert spec(guard={"cases": 0}).guard.cases == 0


def test_an_empty_category_is_reported_where_it_stands(mistakes_of: MistakesOf) -> None:
    assert mistakes_of(load_phase, SMALLEST + '[data.quota]\ngit = 1\n"" = 2\n') == [
        (7, "data.quota: a name in it must not be empty")
    ]


def test_valid_is_a_share_or_a_file() -> None:
    share = spec(data={"train": ["a"], "valid": "12.5%"}).data
    assert (share.valid_share, share.valid_file) == (0.125, None)
    file = spec(data={"train": ["a"], "valid": "v.jsonl"}).data
    assert (file.valid_share, file.valid_file) == (None, "v.jsonl")


def test_the_gate_names_each_category_once() -> None:
    gate = spec(gate={"target": {"b": 0.5, "a": 0.5}, "no_regression": ["a", "c"]}).gate
    assert gate.categories == ["b", "a", "c"]


def test_several_learning_rates_and_seeds_are_each_tried_once() -> None:
    phase = spec(train={"learning_rate": [8e-5, 4e-5], "seeds": [1, 2]}, retry={"learning_rate_factor": 0.5})
    assert phase.train.learning_rates == [8e-5, 4e-5]
    assert phase.train.seeds == [1, 2]
    wrongs: list[dict[str, object]] = [
        {"learning_rate": [1e-4, 1e-4]},
        {"learning_rate": []},
        {"seeds": [3, 3]},
        {"seeds": [-1]},
    ]
    for wrong in wrongs:
        with pytest.raises(ValidationError):
            spec(train=wrong)


def test_the_digest_is_of_the_meaning(tmp_path: Path) -> None:
    written = tmp_path / "p.toml"
    written.write_text(SMALLEST + "[train]\nlearning_rate = 0.00005\niters = 300\n[phase]\nnote = 'mine'\n")
    assert load_phase(written).digest == spec().digest
    assert spec(train={"learning_rate": 1e-4}).digest != spec().digest
    assert spec(train={"over_long": "leave-out"}).digest == spec().digest
    assert spec(train={"grad_checkpoint": True}).digest != spec(train={"grad_checkpoint": False}).digest
    assert not {"over_long", "grad_checkpoint"} & spec().train.decisive.keys()  # digests of earlier versions lack them


def test_diff_lists_the_changed_keys() -> None:
    old = spec(gate={"target": {"a": 0.5}}, phase={"note": "x"})
    new = spec(
        train={"learning_rate": 1e-4, "max_grad_norm": 1, "lora": {"rank": 16}},
        gate={"target": {"b": 0.5}},
        data={"train": ["a.jsonl", "b.jsonl"]},
    )
    assert diff(old, new) == [
        'data.train: ["a.jsonl"] -> ["a.jsonl","b.jsonl"]',
        "train.learning_rate: 5e-5 -> 1e-4",
        "train.max_grad_norm: (not set) -> 1.0",
        "train.lora.rank: 8 -> 16",
        "gate.target.a: 0.5 -> (not set)",
        "gate.target.b: (not set) -> 0.5",
    ]
    assert diff(old, old.model_copy(update={"phase": spec().phase})) == []


def test_missing_data_files_are_reported_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    path = tmp_path / "p.toml"
    path.write_text('[data]\ntrain = [\n"a.jsonl",\n"b.jsonl"]\nvalid = "v.jsonl"\n[gate]\nno_regression = ["git"]\n')
    assert load_phase(path).data.train == ["a.jsonl", "b.jsonl"]
    with pytest.raises(InvalidInput) as caught:
        load_phase(path, tmp_path)
    assert [(m.where and m.where.line, m.message) for m in caught.value.mistakes] == [
        (4, f"data.train[1]: no such file: {tmp_path / 'b.jsonl'}"),
        (5, f"data.valid: no such file: {tmp_path / 'v.jsonl'}"),
    ]


def test_the_name_of_a_phase_can_name_a_folder() -> None:
    assert phase_name(Path("phases/phase34a.toml")) == "phase34a"
    for bad in ("a b.toml", "-x.toml", ".toml", "é.toml", f"{'x' * 101}.toml"):
        with pytest.raises(InvalidInput, match="phase's name"):
            phase_name(Path(bad))


def test_the_hint_for_a_name_that_no_phase_can_have_replaces_no_file(tmp_path: Path) -> None:
    (tmp_path / "my-next.toml").touch()
    with pytest.raises(InvalidInput) as caught:
        phase_name(tmp_path / "my next.toml")
    assert caught.value.hint == f"mv '{tmp_path / 'my next.toml'}' {tmp_path / 'my-next-2.toml'}"


def test_a_canary_is_part_of_what_decides_a_phase_and_changes_nothing_where_none_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(f"{SMALLEST}[gate.canary]\n")
    asked = load_phase(path)
    assert asked.gate.canary is not None
    assert (asked.gate.canary.share, asked.gate.canary.sessions, asked.gate.canary.undecided) == (0.1, 200, "promote")
    gate = {"no_regression": ["git"], "evidence": "mean"}
    assert diff(spec(), asked) == [
        "gate.canary.share: (not set) -> 0.1",
        "gate.canary.sessions: (not set) -> 200",
        'gate.canary.undecided: (not set) -> "promote"',
    ]
    assert spec().digest != asked.digest
    assert spec(gate=gate).digest != spec(gate={**gate, "canary": {}}).digest
    assert "canary" not in spec().gate.decisive
    assert "canary" not in spec(gate=gate).gate.decisive

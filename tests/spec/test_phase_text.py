from __future__ import annotations

import tomllib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from topcoat.demo import TEMPLATE
from topcoat.spec.phase import FuseSpec, PhaseSpec, TrainSpec, load_phase
from topcoat.spec.phase_text import phase_text
from topcoat.spec.reading.loader import read_toml

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
shares = st.floats(0, 1, exclude_max=True)


@st.composite
def phases(draw: st.DrawFn) -> PhaseSpec:
    rates = st.floats(1e-12, 1e3)
    return PhaseSpec.model_validate(
        {
            "phase": {"base": draw(names), "note": draw(st.none() | names)},
            "data": {
                "train": draw(st.lists(names.map(lambda n: f"data/{n}"), min_size=1, max_size=3, unique=True)),
                "replay": draw(shares),
                "quota": draw(st.dictionaries(names, st.integers(0, 99), max_size=3)),
            },
            "train": {
                "iters": draw(st.integers(10, 10**6)),
                "learning_rate": draw(rates | st.lists(rates, min_size=1, max_size=3, unique=True)),
                "seeds": draw(st.lists(st.integers(0, 9), max_size=3, unique=True)),
                "lora": {"rank": draw(st.integers(1, 64)), "keys": draw(st.none() | st.lists(names, min_size=1))},
            },
            "fuse": {"modules": draw(st.dictionaries(names, st.sampled_from([4, 8, "none"]), max_size=2))},
            "gate": {
                "target": draw(st.dictionaries(names, shares, min_size=1, max_size=3)),
                "tolerance": draw(shares),
                "canary": draw(st.none() | st.fixed_dictionaries({}, optional={"sessions": st.integers(10, 999)})),
            },
        }
    )


@given(phases(), names.filter(str.isprintable))
def test_a_phase_written_and_read_is_the_same(tmp_path_factory: object, spec: PhaseSpec, remark: str) -> None:
    text = phase_text(spec, {"train.iters": remark})
    assert f"# {remark}\n" in text
    path = Path(tmp_path_factory.mktemp("p")) / "phase.toml"  # type: ignore[attr-defined]  # pytest's factory
    path.write_text(text, encoding="utf-8")
    assert read_toml(path, PhaseSpec)[0] == spec


def test_only_what_people_change_is_written() -> None:
    text = phase_text(load_phase(TEMPLATE / "phases" / "phase34a.toml"))
    assert "learning_rate = 0.0004\n" in text
    written = tomllib.loads(text)
    left_out = TrainSpec.model_fields.keys() - written["train"].keys()
    assert left_out >= {"max_seq_length", "val_batches", "seeds"}
    assert PhaseSpec.model_fields.keys() - written.keys() == {"fuse", "guard"}


def test_what_differs_from_its_default_is_written() -> None:
    spec = load_phase(TEMPLATE / "phases" / "phase34a.toml")
    changed = spec.model_copy(update={"fuse": FuseSpec(min_survival=0.5)})
    assert tomllib.loads(phase_text(changed))["fuse"] == {"min_survival": 0.5}

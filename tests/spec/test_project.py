from __future__ import annotations

from pathlib import Path

import pytest

from topcoat.errors import InvalidInput
from topcoat.spec.project import CaptureSection, EvalSection, calls_around, capture_around, find_project, load_settings

GOOD = """\
[project]
name = "punie"
base = "models/base"
catalog = "tools.pyi"
suite = "suites/routing.jsonl"
system_prompt = "prompts/system.md"
history = ["data/old.jsonl"]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name in ("models/base/config.json", "tools.pyi", "suites/routing.jsonl", "data/old.jsonl"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "prompts").mkdir()
    (root / "prompts/system.md").write_bytes(b"You call tools.\r\nBriefly. \r\n\r\n")
    (root / "topcoat.toml").write_text(GOOD)
    return root


def mistakes(root: Path) -> list[tuple[int | None, str]]:
    with pytest.raises(InvalidInput) as caught:
        load_settings(root)
    return [(m.where.line if m.where else None, m.message) for m in caught.value.mistakes]


def test_a_project_is_read_with_absolute_paths(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    project = load_settings(Path())
    assert project.root == root
    assert project.name == "punie"
    assert project.base == root / "models/base"
    assert project.catalog == root / "tools.pyi"
    assert project.suite == root / "suites/routing.jsonl"
    assert project.history == (root / "data/old.jsonl",)
    assert project.system_prompt == "You call tools.\nBriefly. "


def test_history_and_the_system_prompt_can_be_empty(root: Path) -> None:
    (root / "topcoat.toml").write_text(GOOD.replace('"prompts/system.md"', '""').replace('["data/old.jsonl"]', "[]"))
    project = load_settings(root)
    assert (project.system_prompt, project.history) == ("", ())


@pytest.mark.parametrize("base", ["gpt2", "mlx-community/Qwen3-0.6B-4bit", "owner/name.v1_x"])
def test_a_hugging_face_id_stays_text(root: Path, base: str) -> None:
    (root / "topcoat.toml").write_text(GOOD.replace("models/base", base))
    assert load_settings(root).base == base


def test_a_folder_named_like_an_id_is_a_folder(root: Path) -> None:
    (root / "gpt2").mkdir()
    (root / "topcoat.toml").write_text(GOOD.replace("models/base", "gpt2"))
    assert load_settings(root).base == root / "gpt2"


@pytest.mark.parametrize(
    "base", ["./x", "../x", "/x/y", "~/none/x", "models/x", "data/x", "a/b/c", "x/", "a\\\\b", "two words", "tools.pyi"]
)
def test_a_missing_folder_is_a_mistake(root: Path, base: str) -> None:
    (root / "topcoat.toml").write_text(GOOD.replace("models/base", base))
    [(line, message)] = mistakes(root)
    assert line == 3
    assert message.startswith("project.base: ")


def test_all_missing_files_are_reported_together_with_their_lines(root: Path) -> None:
    source = GOOD.replace('["data/old.jsonl"]', '[\n  "data/old.jsonl",\n  "data/x\\u0000",\n]')
    source = source.replace("models/base", "models/none").replace("tools.pyi", "suites").replace("system.md", "s.md")
    (root / "topcoat.toml").write_text(source.replace("routing", "r" * 300))
    assert mistakes(root) == [
        (3, f"project.base: no such folder: {root / 'models/none'}"),
        (4, f"project.catalog: {root / 'suites'} is a folder, not a file"),
        (5, f"project.suite: no such file: {root / 'suites' / ('r' * 300)}.jsonl"),
        (6, f"project.system_prompt: no such file: {root / 'prompts/s.md'}"),
        (9, f"project.history[1]: no such file: {root / 'data/x'}\0"),
    ]


@pytest.mark.parametrize(("content", "message"), [(b" \n", "is empty"), (b"\xff", "not UTF-8 text")])
def test_a_system_prompt_that_says_nothing_is_a_mistake(root: Path, content: bytes, message: str) -> None:
    (root / "prompts/system.md").write_bytes(content)
    [(_, text)] = mistakes(root)
    assert message in text


def test_missing_keys_and_misspelled_ones(root: Path) -> None:
    (root / "topcoat.toml").write_text('[project]\nnam = "x"\nbase = "models/base"\nsystem_prompt = ""\n')
    assert mistakes(root) == [
        (1, "project.name: is missing"),
        (1, "project.catalog: is missing"),
        (1, "project.suite: is missing"),
        (2, "project.nam: no such key"),
    ]


def test_how_to_evaluate_can_be_said(root: Path) -> None:
    assert load_settings(root).spec.eval == EvalSection(max_errors=5, temperatures=[], samples=5)
    (root / "topcoat.toml").write_text(f"{GOOD}[eval]\ntemperatures = [0, 0.7]\nsamples = 3\nmax_errors = 0\n")
    assert load_settings(root).spec.eval == EvalSection(max_errors=0, temperatures=[0.0, 0.7], samples=3)


def test_senseless_ways_to_evaluate_are_mistakes(root: Path) -> None:
    (root / "topcoat.toml").write_text(f"{GOOD}[eval]\ntemperatures = [-1.0]\nsamples = 0\nmax_errors = -1\n")
    assert [line for line, _ in mistakes(root)] == [9, 10, 11]
    (root / "topcoat.toml").write_text(f"{GOOD}[eval]\ntemperatures = [0.7, 0.0, 0.7]\n")
    assert mistakes(root) == [(9, "eval.temperatures[2]: 0.7 is listed twice")]


def test_trackers_are_known_and_named_once(root: Path) -> None:
    (root / "topcoat.toml").write_text(f'{GOOD}[report]\nto = ["mlflow", "trackio", "mlflow"]\n')
    assert mistakes(root) == [(9, 'report.to[2]: "mlflow" is listed twice')]
    (root / "topcoat.toml").write_text(f'{GOOD}[report]\nto = ["ml-flow"]\n')
    ((line, said),) = mistakes(root)
    assert line == 9
    assert "ml-flow" in said


def test_options_of_the_chat_template_are_any_json(root: Path) -> None:
    assert load_settings(root).spec.project.template == {}
    options = '{ enable_thinking = false, level = "low", parts = [1, { a = 2.5 }] }'
    (root / "topcoat.toml").write_text(f"{GOOD}template = {options}\n")
    settings = load_settings(root)
    assert settings.spec.project.template == {"enable_thinking": False, "level": "low", "parts": [1, {"a": 2.5}]}
    assert settings.source.where("project", "template", "level").line == 8


@pytest.mark.parametrize(
    "name", ["messages", "tools", "add_generation_prompt", "tokenize", "chat_template", "bos_token"]
)
def test_what_each_rendering_is_given_is_no_option(root: Path, name: str) -> None:
    (root / "topcoat.toml").write_text(f"{GOOD}[project.template]\nthinking = true\n{name} = 1\n")
    [(line, message)] = mistakes(root)
    assert line == 10
    assert message.startswith(f"project.template.{name}: is no option")


@pytest.mark.parametrize("value", ["nan", "[inf]", "2026-01-01"])
def test_an_option_that_json_doesn_t_have_is_a_mistake(root: Path, value: str) -> None:
    (root / "topcoat.toml").write_text(f"{GOOD}template = {{ level = {value} }}\n")
    assert [line for line, _ in mistakes(root)] == [8]


def test_the_project_is_found_from_inside(root: Path) -> None:
    assert find_project(root / "suites") == root
    assert find_project(root) == root


def test_outside_a_project_the_hint_is_init(tmp_path: Path) -> None:
    for search in (find_project, load_settings):
        with pytest.raises(InvalidInput, match=r"no topcoat\.toml") as caught:
            search(tmp_path)
        assert caught.value.hint == "topcoat init --base MODEL"


def test_a_start_that_does_not_exist_finds_no_project_above_it(tmp_path: Path) -> None:
    (tmp_path / "topcoat.toml").touch()
    assert find_project(tmp_path) == find_project(tmp_path / "topcoat.toml") == tmp_path
    with pytest.raises(InvalidInput, match="no such folder"):
        find_project(tmp_path / "mistyped")


@pytest.mark.parametrize(
    ("catalog", "setting", "calls"),
    [
        ("tools.pyi", "", "code"),
        ("Tools.JSON", "", "native"),
        ("t.json", "code", "code"),
        ("t.pyi", "native", "native"),
    ],
)
def test_how_answers_call_tools_is_told_by_topcoat_toml_alone(
    tmp_path: Path, catalog: str, setting: str, calls: str
) -> None:
    assert calls_around(tmp_path) == "native"
    lines = ["[project]", 'name = "x"', 'base = "no/such/base"', f'catalog = "{catalog}"', 'suite = "s.jsonl"']
    lines += ['system_prompt = ""', f'calls = "{setting}"' if setting else ""]
    (tmp_path / "topcoat.toml").write_text("\n".join(lines))
    (tmp_path / "data").mkdir()
    assert calls_around(tmp_path / "data") == calls
    with pytest.raises(InvalidInput, match="no such folder"):
        calls_around(tmp_path / "elsewhere")


def test_the_marks_of_results_are_patterns_and_a_bad_one_is_named_with_its_line(root: Path) -> None:
    marks = '[capture.success]\nfailure = ["^FEHLER"]\n[capture.success.tools.scan]\nsuccess = ["^ok$", "FEHLER"]\n'
    (root / "topcoat.toml").write_text(f"{GOOD}{marks}")
    success = load_settings(root).spec.capture.success
    assert (success.failure, success.tools["scan"].success) == (["^FEHLER"], ["^ok$", "FEHLER"])
    (root / "topcoat.toml").write_text(f"{GOOD}{marks.replace('FEHLER', 'FEHL(ER')}")
    with pytest.raises(InvalidInput) as caught:
        load_settings(root)
    lines = (root / "topcoat.toml").read_text().splitlines()
    found = [mistake.where.line if mistake.where else None for mistake in caught.value.mistakes]
    assert [lines[(line or 0) - 1] for line in found] == [
        'failure = ["^FEHL(ER"]',
        'success = ["^ok$", "FEHL(ER"]',
    ]
    assert all("ECMA 262" in mistake.message for mistake in caught.value.mistakes)


def test_recording_needs_the_marks_alone(tmp_path: Path) -> None:
    file = tmp_path / "topcoat.toml"
    file.write_text("")
    assert capture_around(tmp_path) == CaptureSection()
    file.write_text('[project]\nnam = "x"\n[capture.success]\nsuccess = ["fine"]\n')
    assert capture_around(tmp_path).success.success == ["fine"]
    file.write_text('[capture.success]\nsucces = ["fine"]\n')
    with pytest.raises(InvalidInput) as caught:
        capture_around(tmp_path)
    assert "success" in (caught.value.mistakes[0].hint or "")

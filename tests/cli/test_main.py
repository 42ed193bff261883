"""The command line as a user meets it: a process, its output, its exit code."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.command import fake, topcoat
from tests.support.fake_project import write_phase
from topcoat.cli.main import app
from topcoat.engine.fake import FakeEngine

ROOT = Path(__file__).parents[2]


def test_help_loads_neither_mlx_nor_transformers() -> None:
    script = (
        "import sys; from topcoat.cli.main import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('mlx', 'mlx_lm', 'transformers', 'numpy') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "run" in done.stdout


def test_the_version_is_that_of_the_package() -> None:
    done = topcoat("--version")
    assert (done.returncode, done.stdout) == (0, f"topcoat {importlib.metadata.version('topcoat')}\n")


@pytest.mark.parametrize("words", [[], ["run"], ["data"], ["data", "stats"], ["suite", "expand"]], ids=" ".join)
def test_help_has_a_short_form(words: list[str]) -> None:
    short, long = (CliRunner().invoke(app, [*words, option]) for option in ("-h", "--help"))
    assert short.exit_code == 0
    assert short.output.startswith("Usage: ")
    assert short.output == long.output


def test_a_shell_can_complete_commands() -> None:
    line = {"_TOPCOAT_COMPLETE": "complete_bash", "COMP_WORDS": "topcoat re", "COMP_CWORD": "1"}
    done = CliRunner().invoke(app, env=line, prog_name="topcoat")
    assert done.output.split() == ["review", "report", "rebuild"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_to_complete_topcoat(shell: str) -> None:
    # A test has no shell above it to detect.
    done = topcoat("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0
    assert "_TOPCOAT_COMPLETE" in done.stdout
    assert "python" not in done.stdout


@pytest.mark.slow
def test_every_command_prints_one_json_document_and_nothing_else(fake_project: Path) -> None:
    run = fake(fake_project, "run", "phase34a", "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["promoted"] is True
    for command in (
        ["check", "phase34a"],
        ["eval"],
        ["plan", "--target", "domain"],
        ["status"],
        ["log"],
        ["compare", "phase33b", "phase34a-1"],
        ["report", "phase34a"],
        ["rollback"],
        ["promote", "phase34a-1"],
    ):
        done = fake(fake_project, *command, "--json")
        assert done.returncode == 0, (command, done.stderr)
        json.loads(done.stdout)


@pytest.mark.slow
def test_a_passing_phase_shows_the_table_the_verdict_and_the_report(fake_project: Path) -> None:
    done = fake(fake_project, "run", "phase34a")
    assert done.returncode == 0
    assert "PROMOTED phase34a-1" in done.stdout
    assert "≥ 60.0%" in done.stdout
    report = done.stdout.split("report: ")[1].strip()
    assert Path(report).is_file()
    again = fake(fake_project, "run", "phase34a")
    assert again.returncode == 0
    assert "run before with the same inputs: nothing to do" in again.stdout


@pytest.mark.slow
def test_a_discarded_phase_ends_with_3_and_names_the_category(fake_project: Path) -> None:
    write_phase(fake_project, train__learning_rate=1e-2, gate__no_regression=["text_tools"], retry__max_attempts=1)
    done = fake(fake_project, "run", "phase34a")
    assert done.returncode == 3
    assert "DISCARDED" in done.stdout
    assert "text_tools fell" in done.stdout
    assert "production is untouched: phase33b" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["promote", "nothing"], "no model is called"),
        (["promote", "nothing"], "hint: one of phase33b"),
        (["run", "nothing"], "nothing.toml"),
        (["check", "phase34a", "--allow", "everything"], "no finding has the code"),
        (["rollback"], "nothing to roll back"),
        (["report", "phase34a"], "not come to a verdict"),
        (["report", "phase34"], 'did you mean "phase34a"?'),
        (["report", "nothing"], "hint: one of phase34a"),
        (["adopt", "phase34a", "nothing"], "nothing\n  hint: name the folder that holds adapter_config.json"),
        (["eval", "--nonsense"], "nonsense"),
        (["plan", "--target", "domian"], "did you mean"),
        (["plan", "--target", "domain=high"], '"high" is no score'),
        (["plan", "--write", "phases/phase34a.toml"], "exists already"),
        (["plan", "--write", "phases/my next.toml"], "hint: topcoat plan --write phases/next.toml"),
        (["--engine", "torch", "status"], 'no engine "torch"'),
        (["--project", "elsewhere", "status"], "no such folder: elsewhere"),
        (["demo", "data"], "is not empty, and not the embedded project"),
        (["events", "import", "empty.jsonl"], "the file is empty"),
        (["events", "import", "spans.jsonl"], "nothing to keep, read as otel; the keys are attributes"),
        (["plan", "--write", "phases"], "ends in .toml"),
        (["plan", "--write", "phases/next"], "hint: topcoat plan --write phases/next.toml"),
    ],
)
def test_wrong_use_ends_with_2_and_a_hint(fake_project: Path, arguments: list[str], expected: str) -> None:
    (fake_project / "empty.jsonl").touch()
    (fake_project / "spans.jsonl").write_text('{"attributes": {}}')
    done = fake(fake_project, *arguments)
    assert done.returncode == 2
    assert expected in done.stderr.lower() or expected in done.stderr
    assert "hint:" in done.stderr or "-h' for help" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_outside_a_project_the_hint_is_init(tmp_path: Path) -> None:
    done = topcoat("status", cwd=tmp_path)
    assert done.returncode == 2
    assert "hint: topcoat init" in done.stderr


def test_every_mistake_of_a_file_is_shown_with_its_line(fake_project: Path) -> None:
    path = fake_project / "phases" / "phase34a.toml"
    path.write_text('[data]\ntrain = ["data/phase34a.jsonl"]\n\n[train]\nlearning_rat = 1e-3\nrank = 8\niters = -4\n')
    done = fake(fake_project, "run", "phase34a")
    assert done.returncode == 2
    for text in ("phase34a.toml:5", "learning_rate", "phase34a.toml:6", "phase34a.toml:7"):
        assert text in done.stderr


@pytest.mark.slow
def test_a_broken_line_of_data_is_named_and_nothing_is_lost(fake_project: Path) -> None:
    data = fake_project / "data" / "phase34a.jsonl"
    lines = data.read_text().splitlines()
    data.write_text("\n".join([*lines[:4], lines[4][:-20], *lines[5:]]) + "\n")
    done = fake(fake_project, "run", "phase34a")
    assert done.returncode == 2
    assert "phase34a.jsonl:5" in done.stderr
    assert json.loads(fake(fake_project, "status", "--json").stdout)["production"] == "phase33b"


def test_no_such_model_is_named_where_it_is_written(fake_project: Path) -> None:
    path = fake_project / "topcoat.toml"
    path.write_text(path.read_text().replace("models/phase33b", "models/phase99"))
    done = fake(fake_project, "eval")
    assert done.returncode == 2
    assert "models/phase99" in done.stderr
    assert "topcoat.toml:" in done.stderr


@pytest.mark.slow
def test_a_second_run_says_who_holds_the_lock(fake_project: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from topcoat.store.lock import project_lock\n"
        "with project_lock(Path('.topcoat/lock'), 'topcoat run phase34a'):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    (fake_project / ".topcoat").mkdir()
    holder = subprocess.Popen([sys.executable, "-c", script], cwd=fake_project, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        done = fake(fake_project, "run", "phase34a")
        assert done.returncode == 2
        assert "topcoat run phase34a" in done.stderr
        assert str(holder.pid) in done.stderr
        # Reading works meanwhile.
        assert fake(fake_project, "status").returncode == 0
    finally:
        holder.kill()
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(fake_project: Path) -> None:
    write_phase(fake_project, train__iters=300_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "topcoat", "--engine", "fake", "run", "phase34a"],
        cwd=fake_project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("score") or "attempt" in line:
            break
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; what was finished is kept, and the same command goes on from there\n" in errors
    assert "Traceback" not in errors


def test_ctrl_c_while_the_command_is_loaded_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text("raise KeyboardInterrupt\n")
    done = topcoat("status", cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    assert done.returncode == 130
    assert done.stderr == "interrupted; run the same command again\n"


def test_the_page_of_commands_is_what_help_prints() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "make_commands.py")], capture_output=True, text=True, check=True
    )
    assert (ROOT / "docs" / "commands.md").read_text() == done.stdout


@pytest.mark.slow
def test_a_plan_says_what_to_write_and_its_phase_can_be_checked(fake_project: Path) -> None:
    done = fake(fake_project, "plan", "--target", "domain=0.8", "--write", "phases/phase35.toml")
    assert done.returncode == 0, done.stderr
    assert "domain: write 80 examples" in done.stdout
    assert "topcoat data new --category domain --to data/phase35.jsonl" in done.stdout
    missing = fake(fake_project, "check", "phase35")
    assert missing.returncode == 2
    assert "phase35.jsonl" in missing.stderr
    shutil.copy(fake_project / "data" / "phase34a.jsonl", fake_project / "data" / "phase35.jsonl")
    assert fake(fake_project, "check", "phase35").returncode == 0


def test_a_plan_can_go_into_a_pipe(fake_project: Path) -> None:
    done = fake(fake_project, "plan", "--target", "domain=0.8", "--write", "/dev/stdout")
    assert done.returncode == 0, done.stderr
    assert tomllib.loads(done.stdout)["gate"]["target"] == {"domain": 0.8}
    assert "wrote /dev/stdout" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_can_t_be_written_is_named(fake_project: Path) -> None:
    fake_project.chmod(0o500)
    try:
        done = fake(fake_project, "eval")
    finally:
        fake_project.chmod(0o700)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_the_characters_shows_others(fake_project: Path, encoding: str) -> None:
    project = fake_project.rename(fake_project.with_name("proj→é"))
    toml = project / "topcoat.toml"
    toml.write_text(toml.read_text().replace('name = "', 'name = "→ ', 1))
    done = topcoat("--engine", "fake", "status", cwd=project, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("? ")
    assert json.loads(topcoat("--engine", "fake", "status", "--json", cwd=project, PYTHONIOENCODING=encoding).stdout)


@pytest.mark.parametrize("base", ["nothing", "models/nothing", "./nothing", "a/b/c", "~nobody-of-this-name/x"])
def test_init_needs_a_model(tmp_path: Path, base: str) -> None:
    done = topcoat("init", "--base", base, cwd=tmp_path)
    assert done.returncode == 2
    assert "error: no such folder: " in done.stderr
    assert "hint: topcoat init --base OWNER/NAME" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "is not a model: it has no config.json"),
        ({"model_type": "qwen3", "quantization": "4bit"}, 'quantization is "4bit", which no model has'),
        ({"model_type": "qwen3", "num_hidden_layers": 10**12}, "num_hidden_layers is 1000000000000"),
        ({"model_type": "qwen3", "hidden_size": 64}, "mlx-lm can't load"),
    ],
)
def test_init_says_what_is_wrong_with_a_model(tmp_path: Path, config: dict[str, object] | None, said: str) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    if config is not None:
        (base / "config.json").write_text(json.dumps(config))
    done = topcoat("init", "agent", "--base", "base", cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "agent").exists()


@pytest.mark.slow
def test_init_makes_a_project_that_runs(tmp_path: Path) -> None:
    FakeEngine.create(tmp_path / "models" / "base", [("Open the licence text, please.", "I can't.")])
    done = fake(tmp_path, "init", "agent", "--base", "models/base")
    assert done.returncode == 0, done.stderr
    project = tmp_path / "agent"
    assert fake(project, "check", "phase1").returncode == 0
    run = fake(project, "run", "phase1")
    assert run.returncode in (0, 3), run.stderr
    again = topcoat("init", "agent", "--base", "models/base", cwd=tmp_path)
    assert again.returncode == 2
    assert "already" in again.stderr

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from topcoat.engine.protocol import ServerProcess
from topcoat.engine.registry import ENGINES
from topcoat.errors import EngineFault, InvalidInput
from topcoat.export import runtimes
from topcoat.export.runtimes import LLAMA_VARIABLE, Runtime, free_port, runtime_of, serving
from topcoat.store.records import ExportRecord, ExportReport


def record(to: str, weights: str = ".") -> ExportRecord:
    report = ExportReport(kinds={}, size=0)
    return ExportRecord(model="one", digest="d", root="root", to=to, weights=weights, report=report)


def runtime(to: str, weights: str = ".") -> Runtime:
    """The runtime of an export by the real engine, which naming its server doesn't load."""
    return runtime_of(record(to, weights), Path("out"), Path("root"), ENGINES["mlx"], {}, 3)


def test_llama_cpp_is_found_on_the_path_or_by_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LLAMA_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match="no llama-server on the path") as refused:
        runtime("gguf")
    assert LLAMA_VARIABLE in str(refused.value.hint)
    program = tmp_path / "elsewhere"
    monkeypatch.setenv(LLAMA_VARIABLE, str(program))
    with pytest.raises(InvalidInput, match=f"names no program: {program}"):
        runtime("gguf")
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    found = runtime("ollama", "one.gguf")
    assert found.process.command[:3] == [str(program), "--model", "out/one.gguf"]
    assert found.process.environment["LLAMA_API_KEY"] == found.key != ""


@pytest.mark.parametrize(("to", "missing"), [("hf", "torch"), ("peft", "torch and peft")])
def test_what_transformers_lacks_is_named(to: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=f"needs {missing} to load this export") as refused:
        runtime(to)
    assert refused.value.hint == f"pip install {missing.replace(' and', '')}"


def test_an_adapter_is_served_on_its_root() -> None:
    command = list(runtime("mlx-adapter").process.command)
    assert "root" in command[command.index("--model") + 1]
    assert command[command.index("--adapter-path") + 1] == "out"


def test_a_server_that_ends_says_what_it_printed_last() -> None:
    command = [sys.executable, "-c", "print('no such weights'); raise SystemExit(3)"]
    with (
        pytest.raises(EngineFault, match=r"llama\.cpp ended with exit code 3; it printed last:\n  no such weights"),
        serving(Runtime("llama.cpp", ServerProcess(command, {}, {}), free_port())),
    ):
        pass

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_project import opened
from tests.support.mlx.models import MakeModel
from tests.support.recorder import Recorder
from topcoat.engine.fake import FakeEngine
from topcoat.engine.mlx.engine import MlxEngine
from topcoat.engine.protocol import Numbers
from topcoat.errors import InvalidInput, Refused, StorageFault
from topcoat.export.exporting import RECORD, Exported, Target, export_model, read_export
from topcoat.progress import Silent
from topcoat.project.session import Session, open_session


@pytest.fixture
def session(fake_project: Path) -> Iterator[Session]:
    with opened(fake_project) as found:
        yield found


def export(
    session: Session, to: Target, out: Path | None = None, name: str = "production", numbers: Numbers = "as-stored"
) -> Exported:
    return export_model(session, session.engine, Recorder(), name, to, out, numbers)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_an_export_has_a_folder_in_the_project_and_says_what_it_is(session: Session) -> None:
    done = export(session, "hf")
    assert done.folder == session.paths.root / "exports" / "phase33b-hf"
    record = read_export(done.folder)
    model = session.model("production")
    assert (record.model, record.digest, record.root, record.to) == ("phase33b", model.digest, "phase33b", "hf")
    assert record == done.record
    own = files(done.folder)
    del own[RECORD]
    assert own == {name: data for name, data in files(model.path).items() if name in ("config.json", "memory.json")}


def test_lm_studio_gets_a_copy_in_its_folder_of_models(session: Session, tmp_path: Path) -> None:
    (tmp_path / "models" / "somebody").mkdir(parents=True)
    done = export(session, "lmstudio", tmp_path / "models")
    assert done.folder == tmp_path / "models" / "demo" / "phase33b"
    model = session.model("production").path
    assert {name: data for name, data in files(done.folder).items() if name != RECORD} == files(model)
    (done.folder / "config.json").write_text("{}")
    assert session.engine.describe(model).digest == session.model("production").digest


def test_what_is_there_stays(session: Session, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(Refused, match="exists already"):
        export(session, "hf", tmp_path / "out")
    assert files(tmp_path / "out") == {"mine.txt": b"mine"}


@pytest.mark.parametrize("to", ["gguf", "ollama", "lmstudio-gguf", "peft", "mlx-adapter"])
def test_what_the_engine_refuses_leaves_nothing(session: Session, tmp_path: Path, to: Target) -> None:
    with pytest.raises(InvalidInput):
        export(session, to, tmp_path / "out" / "deep")
    assert not any(path.is_file() for path in (tmp_path / "out").rglob("*"))


def test_lm_studio_takes_no_other_numbers(session: Session, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not as f16"):
        export(session, "lmstudio", tmp_path, numbers="f16")


def test_a_model_that_has_changed_is_not_exported(session: Session) -> None:
    memory = session.model("production").path / "memory.json"
    memory.write_text(json.dumps([["a", "b"]]))
    with pytest.raises(StorageFault, match="have changed since"):
        export(session, "hf")


def test_an_unknown_model_is_named(session: Session) -> None:
    with pytest.raises(InvalidInput, match='no model is called "phase33"'):
        export(session, "hf", name="phase33")


def test_a_folder_that_is_no_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is no exported model"):
        read_export(tmp_path)


def test_ollama_gets_a_modelfile_beside_the_weights(engine: MlxEngine, fake_project: Path, tmp_path: Path) -> None:
    """Of a real model, whose tokenizer and chat template Ollama can have."""
    pytest.importorskip("gguf", reason="the extra gguf isn't installed")
    from tests.support.gguf_files import GgufModel
    from topcoat.engine.mlx.gguf.convert import convert

    shutil.rmtree(fake_project / "models" / "phase33b")
    convert(GgufModel("qwen3").write(tmp_path / "tiny.gguf"), fake_project / "models" / "phase33b", Silent())
    with open_session(fake_project, engine, Silent(), "test") as session:
        done = export(session, "ollama", tmp_path / "out")
    assert sorted(path.name for path in done.folder.iterdir()) == ["Modelfile", "phase33b.gguf", RECORD]
    lines = (done.folder / "Modelfile").read_text().splitlines()
    assert lines[0] == "FROM ./phase33b.gguf"
    assert 'PARAMETER stop "<|im_end|>"' in lines
    assert done.record.report.rounding == 0.0
    assert any("doesn't show tools" in note for note in done.record.report.notes)


def test_a_template_that_ollama_cannot_have_is_refused_before_weights_are_written(
    engine: MlxEngine, make_model: MakeModel, fake_project: Path, tmp_path: Path
) -> None:
    shutil.rmtree(fake_project / "models" / "phase33b")
    shutil.copytree(make_model("qwen3"), fake_project / "models" / "phase33b")
    odd = "{% for m in messages %}{{ loop.index }}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    (fake_project / "models" / "phase33b" / "chat_template.jinja").write_text(odd)
    with open_session(fake_project, engine, Silent(), "test") as session:
        recorder = Recorder()
        with pytest.raises(InvalidInput, match="can't be written for Ollama"):
            export_model(session, engine, recorder, "production", "ollama", tmp_path / "out", "as-stored")
    assert recorder.events == []
    assert not (tmp_path / "out").exists()


def test_the_fake_engine_needs_no_project_lock(fake_project: Path, tmp_path: Path) -> None:
    """Exporting only reads: another process may hold the project meanwhile."""
    from topcoat.project.project import open_project

    with opened(fake_project), open_project(fake_project) as project:
        done = export_model(project, FakeEngine(), Silent(), "production", "hf", tmp_path / "out", "as-stored")
    assert done.folder.is_dir()

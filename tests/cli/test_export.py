"""topcoat export, card and push, as commands."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import fake, topcoat
from tests.support.fake_project import opened
from tests.support.upload_hub import Hub, taking_commits

pytestmark = pytest.mark.slow


@pytest.fixture
def project(fake_project: Path) -> Path:
    with opened(fake_project):  # makes the base the first production model
        return fake_project


@pytest.fixture
def hub() -> Iterator[Hub]:
    with taking_commits() as found:
        yield found


def push(project: Path, hub: Hub, *arguments: str | Path, token: str = "hf_x") -> subprocess.CompletedProcess[str]:
    return topcoat(
        *("--engine", "fake", "push", *arguments),
        cwd=project,
        HF_ENDPOINT=hub.url,
        HF_TOKEN=token,
        HF_HOME=str(project / "hub"),
        HF_HUB_OFFLINE="0",
    )


def test_an_export_says_what_it_wrote_and_what_it_costs(project: Path) -> None:
    first = fake(project, "export", "production", "--to", "hf", "--out", "out", "--json")
    assert json.loads(first.stdout)["record"]["model"] == "phase33b"
    done = fake(project, "export", "production", "--to", "hf")
    assert done.returncode == 0, done.stderr
    folder = project / "exports" / "phase33b-hf"
    assert f"phase33b as hf: {folder}" in done.stdout
    assert "no number is rounded" in done.stdout
    assert f"topcoat eval --exported {folder}" in done.stdout
    again = fake(project, "export", "production", "--to", "hf")
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_an_export_is_evaluated_alone(project: Path) -> None:
    done = fake(project, "eval", "--exported", "out", "phase33b")
    assert done.returncode == 2
    assert "--exported says which model it is" in done.stderr


def test_a_card_is_printed_or_written_to_a_new_file(project: Path) -> None:
    printed = fake(project, "card")
    assert printed.stdout.startswith("---\nlibrary_name: mlx\n")
    written = fake(project, "card", "production", "--to", "card.md")
    assert written.returncode == 0, written.stderr
    assert (project / "card.md").read_text() == printed.stdout
    again = fake(project, "card", "production", "--to", "card.md")
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_a_model_is_sent_with_its_card(project: Path, hub: Hub) -> None:
    done = push(project, hub, "production", "me/coat", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"sent: {hub.url}/me/coat" in done.stdout
    assert "3 files" in done.stderr
    assert "private if it is new" in done.stderr
    model = project / "models" / "phase33b"
    sent = hub.files["me/coat"]
    assert sent.pop("README.md").decode() == fake(project, "card").stdout
    assert sent == {path.name: path.read_bytes() for path in model.iterdir()}
    assert hub.private == {"me/coat": True}
    assert hub.tokens == {"Bearer hf_x"}
    assert hub.cards[0].startswith("---\nlibrary_name: mlx\n")


def test_an_exported_folder_is_sent_as_it_is(project: Path, hub: Hub) -> None:
    fake(project, "export", "production", "--to", "lmstudio", "--out", "out")
    done = push(project, hub, "out/demo/phase33b", "me/coat", "--yes", "--public", "--json")
    assert done.returncode == 0, done.stderr
    assert set(hub.files["me/coat"]) == {"README.md", "config.json", "memory.json", "topcoat.json"}
    assert json.loads(done.stdout)["repository"] == "me/coat"
    assert not hub.private["me/coat"]


def test_nothing_is_sent_unasked(project: Path, hub: Hub) -> None:
    done = push(project, hub, "production", "me/coat")
    assert done.returncode == 2
    assert "nothing was sent" in done.stderr
    assert "hint: topcoat push production me/coat --yes" in done.stderr
    assert hub.files == {}
    assert hub.private == {}


def test_without_a_token_nothing_is_sent(project: Path, hub: Hub) -> None:
    done = push(project, hub, "production", "me/coat", "--yes", token="")
    assert done.returncode == 2
    assert "HF_TOKEN" in done.stderr
    assert hub.tokens == set()


def test_a_hub_that_refuses_is_quoted(project: Path, hub: Hub) -> None:
    hub.deny = True
    done = push(project, hub, "production", "me/coat", "--yes")
    assert done.returncode == 1
    assert "me/coat can't be written" in done.stderr
    assert "hint: hf auth login" in done.stderr

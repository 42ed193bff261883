"""topcoat eval, for models that are not of the lineage: a folder, a server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.chat_server import Handler, drop, hang, message, serving
from tests.support.command import fake, topcoat
from topcoat.engine.fake import FakeEngine

DIFF = "<tool_call><function=execute_code>\n<parameter=code>\ngit_diff()\n</parameter>\n</function></tool_call>"


def server_eval(project: Path, url: str, *arguments: str, key: str = "") -> subprocess.CompletedProcess[str]:
    return topcoat("eval", "--endpoint", url, "--model", "m", *arguments, cwd=project, TOPCOAT_API_KEY=key)


def short_suite(project: Path) -> list[str]:
    """Keep the first two cases of each category; returns their ids."""
    path = project / "suites" / "routing.jsonl"
    kept: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        kept.setdefault(json.loads(line)["category"], []).append(line)
    lines = [line for own in kept.values() for line in own[:2]]
    path.write_text("\n".join(lines) + "\n")
    return [json.loads(line)["id"] for line in lines]


def always(handler: Handler) -> None:
    handler.send(200, message(content=DIFF))


@pytest.mark.slow
def test_a_folder_is_evaluated_and_does_not_join_the_lineage(fake_project: Path) -> None:
    short_suite(fake_project)
    other = fake_project / "elsewhere" / "other"
    FakeEngine.create(other, [("Show the diff.", DIFF)])
    done = fake(fake_project, "eval", "elsewhere/other", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["model"] == str(other)
    again = fake(fake_project, "eval", str(other), "--json")
    assert "evaluated before, scores read back" in again.stderr
    assert json.loads(again.stdout) == result
    status = json.loads(fake(fake_project, "status", "--json").stdout)
    assert [(model["name"], model["categories"]) for model in status["models"]] == [("phase33b", [])]


@pytest.mark.slow
def test_an_equal_folder_leaves_the_model_of_the_lineage_to_be_evaluated(fake_project: Path) -> None:
    short_suite(fake_project)
    folder = fake(fake_project, "eval", "models/phase33b", "--json")
    model = fake(fake_project, "eval", "--json")
    assert json.loads(model.stdout)["model"] == "phase33b"
    assert json.loads(model.stdout)["scores"] == json.loads(folder.stdout)["scores"]
    status = json.loads(fake(fake_project, "status", "--json").stdout)
    assert len(status["models"][0]["categories"]) == 7


def test_a_folder_without_a_model_is_refused(fake_project: Path) -> None:
    done = fake(fake_project, "eval", "suites")
    assert done.returncode == 2
    assert "suites is no model of the fake engine: it has no memory.json" in done.stderr.replace("\n", "")
    assert "hint: leave --engine fake out" in done.stderr
    assert "Errno" not in done.stderr


@pytest.mark.slow
def test_a_server_is_evaluated(fake_project: Path) -> None:
    ids = short_suite(fake_project)
    with serving(always) as server:
        done = server_eval(fake_project, server.url, "--json")
        shown = server_eval(fake_project, server.url, "--concurrency", "2", key="secret")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["model"] == f"m at {server.url.removeprefix('http://')}"
    assert [score["case_id"] for score in result["scores"]] == ids
    assert result["errors"] == []
    (asked,) = result["servers"]
    assert asked == {"server": f"{server.url}/v1", "model": "m", "cases": len(ids), "answers": len(ids), "left_out": ""}
    assert sum(score["value"] for score in result["scores"]) > 0
    assert shown.returncode == 0
    assert "errors" not in shown.stdout
    assert {headers.get("Authorization") for headers in server.headers} == {None, "Bearer secret"}
    system = (fake_project / "prompts" / "system.md").read_text().rstrip("\n")
    assert server.bodies[0]["messages"][0] == {"role": "system", "content": system}
    status = json.loads(topcoat("--engine", "fake", "status", "--json", cwd=fake_project).stdout)
    assert status["models"] == []


@pytest.mark.slow
def test_cases_without_an_answer_are_shown_and_are_no_zeros(fake_project: Path) -> None:
    ids = short_suite(fake_project)
    prompts = {case["id"]: case["prompt"] for case in cases(fake_project) if "prompt" in case}
    lost = next(id for id in ids if id in prompts)

    def picky(handler: Handler) -> None:
        if handler.body["messages"][-1]["content"] == prompts[lost]:
            handler.send(400, b"too hard")
        else:
            always(handler)

    with serving(picky) as server:
        done = server_eval(fake_project, server.url)
        document = json.loads(server_eval(fake_project, server.url, "--json").stdout)
    assert done.returncode == 0
    assert f"no answer  {lost}: HTTP 400 (too hard)" in done.stdout
    assert "1 case has no score: the means are those of the others" in done.stdout
    assert re.search(r"category +score +95% interval +n +solved +errors", done.stdout)
    category = next(case["category"] for case in cases(fake_project) if case["id"] == lost)
    assert [(c["n"], c["errors"]) for c in document["categories"] if c["category"] == category] == [(1, 1)]
    assert lost not in [score["case_id"] for score in document["scores"]]


def cases(project: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (project / "suites" / "routing.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_too_many_errors_void_the_evaluation(fake_project: Path) -> None:
    ids = short_suite(fake_project)
    with (fake_project / "topcoat.toml").open("a") as file:
        file.write("\n[eval]\nmax_errors = 0\n")
    with serving(drop) as server:
        done = server_eval(fake_project, server.url, "--concurrency", "1", "--json")
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"1 case got no answer, more than max_errors = 0 ({ids[0]}: RemoteProtocolError" in done.stderr
    assert f"hint: see what the server has: curl {server.url}/v1/models" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_several_servers_share_the_cases_and_one_that_fails_is_left_out(fake_project: Path) -> None:
    ids = short_suite(fake_project)
    with serving(always) as alone:
        expected = json.loads(server_eval(fake_project, alone.url, "--json").stdout)
    with serving(drop) as gone:
        pass
    with serving(always) as one, serving(always, models=["m"]) as other:
        urls = [word for url in (one.url, gone.url, other.url) for word in ("--endpoint", url)]
        done = topcoat("eval", *urls, "--model", "m", "--json", cwd=fake_project)
        shown = server_eval(fake_project, one.url, "--endpoint", other.url, "--endpoint", one.url)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["scores"] == expected["scores"]
    assert sum(asked["cases"] for asked in result["servers"]) == len(ids)
    left_out = [bool(asked["left_out"]) for asked in result["servers"]]
    assert left_out == [False, True, False]
    said = " ".join(done.stderr.split())
    assert f"warning: {gone.url}/v1 is left out, its cases are asked elsewhere: ConnectError" in said
    assert f"which one answers at {one.url}/v1 isn't listed there" in said
    assert f"{one.url}/v1 is given twice and counts once" in " ".join(shown.stderr.split())
    assert f"{other.url}/v1 answered" in shown.stdout


@pytest.mark.slow
def test_servers_with_different_models_are_refused(fake_project: Path) -> None:
    short_suite(fake_project)
    with serving(always, models=["a"]) as one, serving(always, models=["b"]) as other:
        done = server_eval(fake_project, one.url, "--endpoint", other.url)
        named = topcoat(
            "eval", "--endpoint", one.url, "--model", "a", "--endpoint", other.url, "--model", "b", cwd=fake_project
        )
    assert done.returncode == 2
    assert "the servers have different models" in done.stderr
    assert f"--endpoint {other.url}/v1 --model b" in " ".join(done.stderr.split())
    assert named.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("servers", [1, 2])
def test_an_interrupt_ends_a_waiting_evaluation_at_once(fake_project: Path, servers: int) -> None:
    short_suite(fake_project)
    with serving(hang) as server, serving(hang) as other:
        urls = ["--endpoint", server.url, "--endpoint", other.url][: 2 * servers]
        process = subprocess.Popen(
            [sys.executable, "-m", "topcoat", "eval", *urls, "--model", "m"],
            cwd=fake_project, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ),
        )  # fmt: skip
        assert server.asked.wait(60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == ""
    assert "interrupted; the answers so far are not kept: the same command asks every case again\n" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--endpoint", "http://127.0.0.1:1"], "needs the model's name"),
        (["production", "--endpoint", "http://127.0.0.1:1", "--model", "m"], "names the model with --model"),
        (["--model", "m"], "a model on a server"),
        (["--endpoint", "127.0.0.1:1", "--model", "m"], "is not the URL of a server"),
        (
            ["--endpoint", "http://a", "--endpoint", "http://b", "--model", "m", "--model", "n", "--model", "o"],
            "or one",
        ),
        (["nothing"], "no model is called"),
    ],
)
def test_wrong_use_is_explained(fake_project: Path, arguments: list[str], expected: str) -> None:
    done = fake(fake_project, "eval", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr

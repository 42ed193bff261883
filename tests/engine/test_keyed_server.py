from __future__ import annotations

import subprocess
import sys

from topcoat.engine.keyed_server import KEY_HEADER, KEY_VARIABLE, keyed_process, said_in


def test_what_a_server_says_is_told_from_what_it_prints() -> None:
    process = keyed_process("topcoat", [], {"OTHER": "1"})
    code = "from topcoat.engine.keyed_server import say; print('half a line', end='', flush=True); say('a word')"
    printed = subprocess.run(
        [sys.executable, "-c", code], env=dict(process.environment), capture_output=True, text=True, check=True
    ).stdout
    assert [said_in(line, process.headers) for line in printed.splitlines()] == [None, "a word"]
    assert process.environment["OTHER"] == "1"
    assert process.environment[KEY_VARIABLE] == process.headers[KEY_HEADER]


def test_without_a_key_nothing_is_said() -> None:
    assert said_in("None a word", {}) is None
    assert said_in(" a word", {KEY_HEADER: ""}) is None

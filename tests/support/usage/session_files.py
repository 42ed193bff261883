"""One piece of work, as each coding agent writes it into its session's file.

The user asks for what is in a folder. The agent thinks, makes two calls at once, one of which fails, and answers. The
keys and their values are those of Claude Code 2.1, Codex 0.169, Qwen Code 0.15, Gemini CLI's lines and opencode 1.18.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ASKED", "FAILED", "claude_line", "claude_session", "codex_line", "codex_session", "gemini_session"]
__all__ += ["opencode_session", "qwen_session"]

ASKED = "What is in /nowhere?"
FAILED = "ls: cannot access '/nowhere': No such file or directory"
Lines = list[dict[str, Any]]


def _time(second: int) -> str:
    return f"2026-11-01T10:00:{second:02}.000Z"


def claude_line(key: str, parent: str | None, kind: str, content: Any, **more: Any) -> dict[str, Any]:
    message = {"role": kind, "content": content}
    if kind == "assistant":
        message |= {"id": more.pop("message", "m1"), "model": "fake-1", "stop_reason": more.pop("stop", "tool_use")}
    return {
        "parentUuid": parent,
        "isSidechain": False,
        "type": kind,
        "message": message,
        "uuid": key,
        "timestamp": _time(len(key)),
        "cwd": "/w",
        "sessionId": "s-1",
        "version": "2.1.197",
        "gitBranch": "lamps",
        **more,
    }


def claude_session(**more: Any) -> Lines:
    """Each block of an answer is a line, and each result hangs from the line of its call."""

    def use(number: int, command: str) -> list[dict[str, Any]]:
        return [{"type": "tool_use", "id": f"t{number}", "name": "Bash", "input": {"command": command}}]

    def result(number: int, text: str, *, error: bool) -> list[dict[str, Any]]:
        return [{"type": "tool_result", "tool_use_id": f"t{number}", "content": text, "is_error": error}]

    return [
        claude_line("a", None, "user", ASKED, **more),
        {"type": "attachment", "parentUuid": "a", "uuid": "b", "isSidechain": False, "sessionId": "s-1", **more},
        claude_line("c", "b", "assistant", [{"type": "thinking", "thinking": "Hm.", "signature": "x"}], **more),
        claude_line("d", "c", "assistant", [{"type": "text", "text": "I look."}], **more),
        claude_line("e", "d", "assistant", use(1, "ls /nowhere"), **more),
        claude_line("f", "e", "assistant", use(2, "echo hi"), **more),
        claude_line("g", "f", "user", result(2, "hi", error=False), **more),
        claude_line("h", "e", "user", result(1, f"Exit code 2\n{FAILED}", error=True), **more),
        claude_line(
            "i", "h", "assistant", [{"type": "text", "text": "Nothing."}], message="m2", stop="end_turn", **more
        ),
    ]


def codex_line(kind: str, second: int = 0, **payload: Any) -> dict[str, Any]:
    return {"timestamp": _time(second), "type": kind, "payload": payload}


def _said(role: str, text: str, second: int) -> dict[str, Any]:
    part = {"type": "output_text" if role == "assistant" else "input_text", "text": text}
    return codex_line("response_item", second, type="message", role=role, content=[part])


def codex_session() -> Lines:
    def call(number: int, command: str) -> dict[str, Any]:
        arguments = f'{{"cmd": "{command}"}}'
        return codex_line(
            "response_item", 3, type="function_call", name="exec_command", arguments=arguments, call_id=f"c{number}"
        )

    def result(number: int, code: int, text: str) -> dict[str, Any]:
        output = f"Chunk ID: 25d0a9\nWall time: 0.0 seconds\nProcess exited with code {code}\nOutput:\n{text}\n"
        return codex_line("response_item", 4, type="function_call_output", call_id=f"c{number}", output=output)

    return [
        codex_line(
            "session_meta", id="s-1", cwd="/w", git={"branch": "lamps"}, base_instructions={"text": "You code."}
        ),
        codex_line("event_msg", type="task_started"),
        _said("developer", "<skills>none</skills>", 1),
        _said("user", "<environment_context>\n  <cwd>/w</cwd>\n</environment_context>", 1),
        codex_line("turn_context", 1, cwd="/w", model="fake-1"),
        _said("user", ASKED, 2),
        codex_line("response_item", 3, type="reasoning", summary=[{"type": "summary_text", "text": "Hm."}]),
        _said("assistant", "I look.", 3),
        call(1, "ls /nowhere"),
        call(2, "echo hi"),
        result(1, 2, FAILED),
        result(2, 0, "hi"),
        _said("assistant", "Nothing.", 5),
        codex_line("event_msg", 5, type="task_complete"),
    ]


def qwen_session() -> Lines:
    def line(key: str, parent: str | None, kind: str, parts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        role = "model" if kind == "assistant" else "user"
        base = {"uuid": key, "parentUuid": parent, "sessionId": "s-1", "timestamp": _time(len(key)), "type": kind}
        return {**base, "cwd": "/w", "gitBranch": "lamps", "message": {"role": role, "parts": parts}, **more}

    def result(number: int, code: int, text: str) -> list[dict[str, Any]]:
        output = f"Command: x\nDirectory: (root)\nOutput: {text}\nError: (none)\nExit Code: {code}\nSignal: 0"
        return [{"functionResponse": {"id": f"c{number}", "name": "shell", "response": {"output": output}}}]

    calls = [
        {"functionCall": {"id": f"c{n}", "name": "shell", "args": {"command": command}}}
        for n, command in ((1, "ls /nowhere"), (2, "echo hi"))
    ]
    status = {"toolCallResult": {"status": "success"}}
    telemetry = {"uuid": "b", "parentUuid": "a", "sessionId": "s-1", "type": "system", "subtype": "ui_telemetry"}
    return [
        line("a", None, "user", [{"text": ASKED}]),
        {**telemetry, "systemPayload": {}},
        line("c", "b", "assistant", [{"text": "Hm.", "thought": True}, {"text": "I look."}, *calls], model="fake-1"),
        line("d", "c", "tool_result", result(1, 2, FAILED), **status),
        line("e", "d", "tool_result", result(2, 0, "hi"), **status),
        line("f", "e", "assistant", [{"text": "Nothing."}], model="fake-1"),
    ]


def gemini_session() -> Lines:
    """An answer is written when it is given, and again with the results of its calls. The user's line repeats them."""

    def call(number: int, command: str, output: str) -> dict[str, Any]:
        name = {"id": f"c{number}", "name": "shell"}
        response = {"functionResponse": {**name, "response": {"output": output}}}
        return {**name, "args": {"command": command}, "result": [response], "status": "success"}

    calls = [
        call(1, "ls /nowhere", f"Output: {FAILED}\nExit Code: 2\nProcess Group PGID: 1"),
        call(2, "echo hi", "Output: hi\nProcess Group PGID: 2"),
    ]
    thoughts = [{"subject": "", "description": "Hm."}]
    answer = {"id": "g1", "timestamp": _time(3), "type": "gemini", "content": "I look.", "model": "fake-1"}
    context = {"id": "u0", "timestamp": _time(1), "type": "user", "content": [{"text": "<session_context>Linux"}]}
    repeated = [response for each in calls for response in each["result"]]
    return [
        {"sessionId": "s-1", "projectHash": "2f", "startTime": _time(0), "lastUpdated": _time(0), "kind": "main"},
        {"$set": {"messages": [context], "lastUpdated": _time(1)}},
        {"id": "u1", "timestamp": _time(2), "type": "user", "content": [{"text": ASKED}]},
        {"$set": {"lastUpdated": _time(2)}},
        {**answer, "thoughts": thoughts},
        {**answer, "thoughts": thoughts, "toolCalls": calls},
        {"id": "u2", "timestamp": _time(4), "type": "user", "content": repeated},
        {"id": "g2", "timestamp": _time(5), "type": "gemini", "content": "Nothing.", "thoughts": [], "model": "fake-1"},
    ]


def opencode_session() -> dict[str, Any]:
    """What `opencode export` prints."""

    def part(number: int, **fields: Any) -> dict[str, Any]:
        return {"id": f"prt_{number}", "sessionID": "s-1", "messageID": f"msg_{number // 10}", **fields}

    def tool(number: int, command: str, output: str, code: int) -> dict[str, Any]:
        state = {"status": "completed", "input": {"command": command}, "output": output, "metadata": {"exit": code}}
        return part(20 + number, type="tool", tool="bash", callID=f"c{number}", state=state)

    def message(number: int, role: str, parts: list[dict[str, Any]], **info: Any) -> dict[str, Any]:
        base = {
            "id": f"msg_{number}",
            "sessionID": "s-1",
            "role": role,
            "time": {"created": 1793527200000 + number, "completed": 1793527201000},
        }
        return {"info": {**base, **info}, "parts": parts}

    look = [
        part(21, type="step-start"),
        part(22, type="reasoning", text="Hm."),
        part(23, type="text", text="I look."),
        tool(4, "ls /nowhere", FAILED, 2),
        tool(5, "echo hi", "hi", 0),
        part(26, type="step-finish", reason="tool-calls"),
    ]
    return {
        "info": {"id": "s-1", "projectID": "global", "directory": "/w", "time": {"created": 1793527200000}},
        "messages": [
            message(1, "user", [part(11, type="text", text=ASKED)]),
            message(2, "assistant", look, modelID="fake-1", finish="tool-calls"),
            message(3, "assistant", [part(31, type="text", text="Nothing.")], modelID="fake-1", finish="stop"),
        ],
    }

"""`python -m topcoat.export.transformers_server`: a folder in Hugging Face's layout, behind chat completions.

It answers one request at a time with the text that transformers generates, calls and all, for the one client whose key
it has. The only code of topcoat that knows PyTorch, transformers and PEFT.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from topcoat.engine.keyed_server import KEY_HEADER, KEY_VARIABLE, end_with_parent

__all__ = ["serve"]


class Answerer:
    """The model and its tokenizer. Weights are computed with in float32 on a CPU, else as they are stored."""

    def __init__(self, model: str, adapter: str | None) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._torch = torch
        self._lock = threading.Lock()
        cuda = torch.cuda.is_available()
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype="auto" if cuda else torch.float32)
        if adapter is not None:
            from peft import PeftModel

            self.model = PeftModel.from_pretrained(self.model, adapter)
        self.model = self.model.to("cuda" if cuda else "cpu").eval()

    def answer(self, body: dict[str, Any]) -> tuple[str, int, bool]:
        """The answer to a chat completion's request: its text, its tokens, and whether it was cut."""
        prompt = self.tokenizer.apply_chat_template(
            [_turn(message) for message in body["messages"]],
            tools=body.get("tools"),
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            **body.get("chat_template_kwargs", {}),
        ).to(self.model.device)
        length = prompt["input_ids"].shape[1]
        hot = float(body.get("temperature", 0.0))
        how = {"do_sample": True, "temperature": hot, "top_p": 1.0, "top_k": 0} if hot else {"do_sample": False}
        with self._lock, self._torch.no_grad():
            if hot:
                self._torch.manual_seed(int(body.get("seed", 0)))
            made = self.model.generate(**prompt, max_new_tokens=int(body["max_tokens"]), **how)[0, length:].tolist()
        stops = self.model.generation_config.eos_token_id
        ends = {stops} if isinstance(stops, int) else set(stops or ())
        stopped = bool(made) and made[-1] in ends
        kept = made[:-1] if stopped else made
        return str(self.tokenizer.decode(kept, skip_special_tokens=False)), len(kept), not stopped


def _turn(message: dict[str, Any]) -> dict[str, Any]:
    """A turn as chat templates read it: arguments as an object."""
    calls = [
        {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"] or "{}")}}
        for call in message.get("tool_calls") or ()
    ]
    content = {"content": message.get("content") or ""}
    return {**message, **content, **({"tool_calls": calls} if calls else {})}


class _Handler(BaseHTTPRequestHandler):
    answerer: Answerer

    def do_GET(self) -> None:
        self._reply(200, {"status": "ok"})

    def do_POST(self) -> None:
        if self.headers.get(KEY_HEADER) != os.environ[KEY_VARIABLE]:
            self._reply(403, {"error": "another client's server"})
            return
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            text, tokens, cut = self.answerer.answer(body)
        except Exception as error:  # whatever a chat template or a model raises is the answer's fault alone
            self._reply(400, {"error": f"{type(error).__name__}: {error}"[:500]})
            return
        choice = {"index": 0, "message": {"role": "assistant", "content": text}}
        finish = {"finish_reason": "length" if cut else "stop"}
        self._reply(200, {"choices": [{**choice, **finish}], "usage": {"completion_tokens": tokens}})

    def _reply(self, status: int, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing is logged, because requests may contain what users said."""


def serve() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--adapter")
    parser.add_argument("--port", type=int, required=True)
    asked = parser.parse_args()
    handler = type("Handler", (_Handler,), {"answerer": Answerer(asked.model, asked.adapter)})
    threading.Thread(target=end_with_parent, daemon=True).start()
    with ThreadingHTTPServer(("127.0.0.1", asked.port), handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    serve()

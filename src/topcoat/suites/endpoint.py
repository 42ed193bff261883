"""Answers from a server that speaks OpenAI's chat completions: mlx_lm.server, Ollama, vLLM, LM Studio and others.

Temporary failures are tried again: dropped connections, 408, 425, 429 and 5xx, responses that aren't a chat completion.
If the last try fails, the question stays unanswered. A request that ran out of time isn't repeated: it has cost enough.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2
from pydantic import BaseModel, Field, ValidationError

from topcoat.errors import EndpointFault, InvalidInput
from topcoat.progress import Sink, task
from topcoat.quantity import counted
from topcoat.store.records import AskedServer, Completion
from topcoat.suites.openai_messages import openai_messages
from topcoat.suites.source import Question, Reply, Unanswered

__all__ = ["CONCURRENCY", "KEY_VARIABLE", "TIMEOUT", "Endpoint", "reasons"]

KEY_VARIABLE = "TOPCOAT_API_KEY"
"""The environment variable with the API key, for servers that want one."""
CONCURRENCY = 8
TIMEOUT = 120.0

_TRIES = 4
_LONGEST_WAIT = 60.0
"""Seconds that a server may ask to wait before the next try (Retry-After)."""
_CONNECT = 10.0
_PASSING = {408, 425, 429}
_HOPELESS = {401, 403, 404, 405}
"""Without a key, a model of that name or chat completions, every question is refused."""


class Endpoint:
    """A source of answers: the model called `model` on the server at `url`.

    `concurrency` requests are open at a time, each for at most `timeout` seconds. `pause` seconds pass before the
    second try, twice as many before each further one. After more than `max_errors` unanswered questions, the rest
    isn't asked. `template` are options of the model's chat template, for servers that pass them on. `headers` are sent
    with each request.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: str = "",
        concurrency: int = CONCURRENCY,
        timeout: float = TIMEOUT,
        max_errors: int = 0,
        pause: float = 0.5,
        template: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Raises InvalidInput if `url` isn't the address of a server, or if `key` can't be sent."""
        self.url = _chat_url(url)
        self.model = model
        if not (key.isascii() and key.isprintable()):
            raise InvalidInput("the API key holds characters that no key has", hint=f"export {KEY_VARIABLE}=KEY")
        self._headers = {**(headers or {}), **({"Authorization": f"Bearer {key}"} if key else {})}
        self.concurrency = concurrency
        self.timeout = timeout
        self._max_errors = max_errors
        self._pause = pause
        self._template = dict(template or {})
        self._answers = 0
        self._cases: set[str] = set()

    @property
    def name(self) -> str:
        """The model and the server, without a password in the URL."""
        return f"{self.model} at {self.url.netloc.decode()}"

    @property
    def address(self) -> str:
        """The base URL, without a password."""
        return str(self.url.copy_with(username="", password="")).removesuffix("/chat/completions")

    @property
    def models_url(self) -> httpx2.URL:
        """Where the server lists its models."""
        return self.url.copy_with(path=f"{self.url.path.removesuffix('/chat/completions')}/models")

    @property
    def asked(self) -> list[AskedServer]:
        """What the server has answered so far: one record."""
        return [AskedServer(server=self.address, model=self.model, cases=len(self._cases), answers=self._answers)]

    def ask(self, questions: Sequence[Question], sink: Sink) -> list[Reply]:
        """One reply a question, in order. Raises EndpointFault if more than `max_errors` are unanswered."""
        return asyncio.run(self._ask_all(questions, sink))

    async def _ask_all(self, questions: Sequence[Question], sink: Sink) -> list[Reply]:
        replies: dict[int, Reply] = {}
        failed: dict[str, str] = {}
        places = asyncio.Semaphore(self.concurrency)
        async with self.client() as client:

            async def one(index: int) -> int:
                async with places:
                    replies[index] = await self.reply(client, questions[index])
                return index

            requests = [asyncio.ensure_future(one(index)) for index in range(len(questions))]
            try:
                with task(sink, "answers", total=len(questions), unit="case") as progress:
                    for done in asyncio.as_completed(requests):
                        index = await done
                        if isinstance(reply := replies[index], Unanswered):
                            failed[questions[index].id] = reply.reason
                        if len(failed) > self._max_errors:
                            raise self._void(failed)
                        progress.advance(len(replies), f"{len(failed)} without an answer" if failed else "")
            finally:
                for request in requests:
                    request.cancel()
                await asyncio.gather(*requests, return_exceptions=True)
        return [replies[index] for index in range(len(questions))]

    def client(self) -> httpx2.AsyncClient:
        """What sends requests to the server, in one event loop."""
        timeout = httpx2.Timeout(None, connect=_CONNECT)  # `timeout` limits the whole request
        return httpx2.AsyncClient(headers=self._headers, timeout=timeout)

    async def reply(self, client: httpx2.AsyncClient, question: Question) -> Reply:
        """The reply, after several tries if necessary."""
        reply = await self._tried(client, question)
        if isinstance(reply, Completion):
            self._answers += 1
            if not question.temperature:
                self._cases.add(question.id)
        return reply

    async def _tried(self, client: httpx2.AsyncClient, question: Question) -> Reply:
        reason = ""
        hopeless = False
        for tried in range(1, _TRIES + 1):
            wait = min(_LONGEST_WAIT, self._pause * 2 ** (tried - 1) * random.uniform(0.5, 1.0))
            try:
                async with asyncio.timeout(self.timeout):
                    response = await client.post(self.url, json=self._body(question))
                hopeless = False
                if response.is_success:
                    return _completion(response.content)
                reason = f"HTTP {response.status_code}{_said(response)}"
                if response.status_code < 500 and response.status_code not in _PASSING:
                    return Unanswered(reason, response.is_redirect or response.status_code in _HOPELESS)
                asked = _retry_after(response)
                if asked > _LONGEST_WAIT:
                    return Unanswered(f"{reason}, and the server asks to wait {asked:.0f} s", hopeless=True)
                wait = max(wait, asked)
            except TimeoutError:
                return Unanswered(f"no answer within {self.timeout:g} s")
            except httpx2.RequestError as error:
                hopeless = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
                reason = f"{type(error).__name__}: {error}".removesuffix(": ")
            except ValidationError as error:
                fault = error.errors()[0]
                place = ".".join(map(str, fault["loc"]))
                reason = f"not a chat completion: {f'{place}: ' if place else ''}{fault['msg']}"
            if tried < _TRIES:
                await asyncio.sleep(wait)
        return Unanswered(f"{reason}, {_TRIES} times", hopeless)

    def _body(self, question: Question) -> dict[str, object]:
        """The request's body. It sets everything for which servers have different defaults.

        Beside tools, `tool_choice` is "auto" in every server, so it isn't sent.
        """
        return {
            "model": self.model,
            "messages": openai_messages(question.messages),
            **({"tools": [*question.tools]} if question.tools else {}),
            "max_tokens": question.max_tokens,
            "temperature": question.temperature,
            "top_p": 1.0,
            "stream": False,
            **({"chat_template_kwargs": self._template} if self._template else {}),
            # mlx_lm.server answers requests with a seed one by one.
            **({"seed": question.seed} if question.temperature > 0.0 else {}),
        }

    def _void(self, failed: Mapping[str, str]) -> EndpointFault:
        count = f"{counted(len(failed), 'case')} got no answer"
        return EndpointFault(
            f"the evaluation is void: {count}, more than max_errors = {self._max_errors} ({reasons(failed)})",
            hint=self.hint(failed.values()),
        )

    def hint(self, said: Iterable[str]) -> str:
        """What helps if the server left questions unanswered for the reasons in `said`."""
        denied = any(reason.startswith(("HTTP 401", "HTTP 403")) for reason in said)
        return f"export {KEY_VARIABLE}=KEY" if denied else f"see what the server has: curl {self.address}/models"


def reasons(failed: Mapping[str, str]) -> str:
    """Why questions stayed unanswered: each reason once, after the ids that it holds for."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in failed.items():
        by_reason.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())


def _chat_url(text: str) -> httpx2.URL:
    """The address of the chat completions under a base URL, which may end in /v1."""
    try:
        url = httpx2.URL(text.strip())
    except httpx2.InvalidURL as error:
        raise InvalidInput(f'"{text}" is not a URL: {error}', hint="--endpoint http://127.0.0.1:8080/v1") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidInput(f'"{text}" is not the URL of a server', hint="--endpoint http://127.0.0.1:8080/v1")
    path = url.path.rstrip("/")
    return url if path.endswith("/chat/completions") else url.copy_with(path=f"{path or '/v1'}/chat/completions")


class _Function(BaseModel):
    name: str
    arguments: str | dict[str, object] = ""


class _ToolCall(BaseModel):
    function: _Function


class _Message(BaseModel):
    content: str | None = None
    reasoning: str | None = None  # as mlx_lm.server and Ollama call it
    reasoning_content: str | None = None  # as vLLM and LM Studio do
    tool_calls: list[_ToolCall] | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    completion_tokens: int = 0


class _ChatCompletion(BaseModel):
    """The parts of a response that topcoat reads."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def _completion(content: bytes) -> Completion:
    """The answer in a response, as the text that the model wrote. Raises ValidationError.

    A thought or a call that the server took out of the text is put back in its tag, where the parser reads it. A
    thought that max_tokens cut stays open.
    """
    response = _ChatCompletion.model_validate_json(content)
    choice = response.choices[0]
    message = choice.message
    thought = message.reasoning or message.reasoning_content
    calls = [
        json.dumps({"name": call.function.name, "arguments": call.function.arguments}, ensure_ascii=False)
        for call in message.tool_calls or ()
    ]
    if choice.finish_reason == "tool_calls" and not calls:
        calls = [""]  # mlx_lm.server drops a call that it can't parse
    cut = choice.finish_reason == "length" and not message.content and not calls
    parts = [f"<think>{thought}{'' if cut else '</think>'}"] if thought else []
    parts += [message.content] if message.content else []
    parts += [f"<tool_call>{call}</tool_call>" for call in calls]
    return Completion(
        text="\n".join(parts),
        tokens=response.usage.completion_tokens if response.usage else 0,
        finish="length" if choice.finish_reason == "length" else "stop",
    )


def _said(response: httpx2.Response) -> str:
    """The first words of an error response."""
    words = " ".join(response.text.split())
    return f" ({words[:200]})" if words else ""


def _retry_after(response: httpx2.Response) -> float:
    """The seconds that the server asks to wait: a number or a date (RFC 9110, 10.2.3); 0 if it doesn't ask."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # TypeError: a date without its zone
        return 0.0

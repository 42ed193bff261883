"""mlx_lm.server keeps on disk what its model computed of a system prompt and tools, and reads it after a restart.

mlx_lm.server computes a prompt's system part apart from the rest, and keeps the caches of both in memory. So the states
in a file are those that a prompt without it would compute, number by number. Caches that can be cut (plain keys and
values) serve prompts that share only a part of a file's tokens, too; others serve prompts that have all of them.

MLX's arrays belong to the thread that generates. Files are written by a thread of their own when nothing was asked for
some seconds, so that no request waits for it, and at the latest when the server is ended.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import LRUPromptCache, can_trim_prompt_cache, make_prompt_cache

from topcoat.engine.beginnings import Beginnings, Kept
from topcoat.engine.mlx.serve.cache_files import cut_to_length, holds, kinds_of, load_caches, save_caches, unstorable
from topcoat.secrets.finding import find_secrets

__all__ = ["KeepingCache", "keep_beginnings"]

_IDLE_SECONDS = 2.0
_MOST_WAITING = 4
"""Beginnings that wait to be written. Clients that begin each prompt otherwise would fill the disk with them."""
_OTHER_CACHES = ("adapter_path", "draft_model", "kv_bits")
"""The options of mlx_lm.server with which a prompt's caches are others than the model's own."""
_NO_TOKEN = -1
"""A token that no prompt has: looked for behind a beginning, it asks for the beginning's caches."""

Say = Callable[[str], None]


class KeepingCache(LRUPromptCache):
    """mlx_lm.server's caches of prompts, of which the beginnings outlive the process.

    All but `finish` is called by the thread that generates.
    """

    def __init__(self, beginnings: Beginnings, most: int, say: Say, max_size: int = 10) -> None:
        """`most` are the bytes that beginnings may take on the disk."""
        super().__init__(max_size)
        self.off = False
        """Whether nothing is kept or read."""
        self.kinds: list[Any] | None = None
        self.text_of: Callable[[list[int]], str] = str
        """The text of tokens."""
        self._beginnings = beginnings
        self._most = most
        self._say = say
        self._waiting: OrderedDict[tuple[int, ...], None] = OrderedDict()
        self._quiet_since = 0.0
        self._writing: threading.Thread | None = None
        self._ending = threading.Event()
        self._ended = threading.Event()
        self._refused: set[str] = set()

    def asked(self, beginning: Sequence[int]) -> None:
        """A prompt begins so: keep it when there is time."""
        if self.off:
            return
        key = tuple(beginning)
        self._waiting[key] = None
        self._waiting.move_to_end(key)
        while len(self._waiting) > _MOST_WAITING:
            self._waiting.popitem(last=False)

    def fetch_nearest_cache(self, model: Any, tokens: list[int]) -> tuple[list[Any] | None, list[int]]:
        """The longest beginning of `tokens` that is known, from memory or from the disk, and the tokens after it."""
        cache, rest = super().fetch_nearest_cache(model, tokens)
        if (loaded := self._loaded(tokens, len(tokens) - len(rest))) is None:
            return cache, rest
        length, cache = loaded
        self.insert_cache(model, tokens[:length], cache, cache_type="system")
        return super().fetch_nearest_cache(model, tokens)

    def quiet(self, model: Any) -> None:
        """Nothing is asked: write a beginning if that has lasted for long enough, or if the server ends."""
        now = time.monotonic()
        self._quiet_since = self._quiet_since or now
        if self._ending.is_set():
            while self._waiting:
                self._write_one(model)
            self._join()
            self._ended.set()
        elif now - self._quiet_since >= _IDLE_SECONDS and not (self._writing and self._writing.is_alive()):
            self._write_one(model)

    def busy(self, model: Any) -> None:
        """Something is asked, or being answered."""
        self._quiet_since = 0.0
        if self._ending.is_set():
            self.quiet(model)

    def finish(self, seconds: float) -> None:
        """Wait until what is to be kept is written, for some seconds at most. For any thread."""
        if self._waiting or (self._writing and self._writing.is_alive()):
            self._ending.set()
            self._ended.wait(seconds)

    def refuse(self, about: str, why: str) -> None:
        """Say why beginnings aren't kept, once of each thing that it is about."""
        if about not in self._refused:
            self._refused.add(about)
            self._say(f"the beginnings of prompts aren't kept on disk: {why}")

    def _loaded(self, tokens: Sequence[int], held: int) -> tuple[int, list[Any]] | None:
        """A stored beginning's number of tokens and caches, if it spares much beyond the `held` tokens."""
        if self.off or self.kinds is None:
            return None
        found = self._beginnings.nearest(tokens, held)
        started = time.monotonic()
        if found is None or not self._beginnings.whole(found):
            return None
        try:
            cache = load_caches(found.file, self.kinds, found.record.length)
        except ValueError as error:
            self._beginnings.drop(found, str(error))
            return None
        for one in cache if found.usable < found.record.length else []:
            one.trim(found.record.length - found.usable)
        seconds = time.monotonic() - started
        self._say(f"{found.usable} tokens of system prompt and tools were read from the disk in {seconds:.2f} s")
        return found.usable, cache

    def _write_one(self, model: Any) -> None:
        if not self._waiting:
            return
        beginning, _ = self._waiting.popitem()
        tokens = list(beginning)
        if self._beginnings.covers(tokens):
            return
        cache, rest = super().fetch_nearest_cache(model, [*tokens, _NO_TOKEN])
        if cache is None or len(rest) > 1 or not holds(cache, len(tokens)):
            return  # what was computed of it is gone: the next prompt that begins so brings it back
        if secrets := find_secrets(self.text_of(tokens)):
            self.refuse("secret", f"one holds a secret ({secrets[0].kind})")
            return
        if kind := unstorable(cache):
            self.refuse("kind", f"mlx-lm can't read a {kind} from a file")
            return
        cut_to_length(cache)
        mx.eval([one.state for one in cache])
        size = sum(one.nbytes for one in cache)
        if size > self._most:
            self.refuse("size", f"one takes {size / 1e6:.0f} MB, and [serve] kept_mb allows {self._most / 1e6:.0f}")
            return
        self._join()
        self._writing = threading.Thread(target=self._write, args=(tokens, cache, size), daemon=True)
        self._writing.start()

    def _write(self, tokens: Sequence[int], cache: Sequence[Any], size: int) -> None:
        def write(path: Path) -> None:
            save_caches(path, cache)

        try:
            self._beginnings.add(tokens, can_trim_prompt_cache(list(cache)), write)
        except (OSError, ValueError, RuntimeError) as error:
            self.refuse("writing", f"one couldn't be written: {error}")
            return
        self._say(f"{len(tokens)} tokens of system prompt and tools are kept on disk ({size / 1e6:.0f} MB)")

    def _join(self) -> None:
        if self._writing is not None:
            self._writing.join()


def keep_beginnings(server: Any, kept: Kept, engine: str, say: Say) -> Callable[[float], None]:
    """Have the module mlx_lm.server keep beginnings. Gives what to call, with seconds, before the process ends.

    `engine` names everything that decides the numbers in a file but the model and the tokens.
    """
    made: list[KeepingCache] = []
    _replace_cache(server, made, Beginnings(kept, engine, say), kept.most, say)
    _find_beginnings(server)
    _tell_when_quiet(server)

    def finish(seconds: float) -> None:
        for cache in made:
            cache.finish(seconds)

    return finish


def _replace_cache(server: Any, made: list[KeepingCache], beginnings: Beginnings, most: int, say: Say) -> None:
    stock_load = server.ModelProvider._load

    def make(max_size: int = 10) -> KeepingCache:
        made.append(KeepingCache(beginnings, most, say, max_size))
        return made[-1]

    def load(provider: Any, *arguments: Any, **options: Any) -> None:
        stock_load(provider, *arguments, **options)
        others = [name for name in _OTHER_CACHES if getattr(provider.cli_args, name, None)]
        for cache in made:
            cache.kinds = kinds_of(make_prompt_cache(provider.model))
            cache.text_of = provider.tokenizer.decode
            if others:
                cache.off = True
                cache.refuse("option", f"not with --{others[0].replace('_', '-')}")

    server.LRUPromptCache = make
    server.ModelProvider._load = load


def _find_beginnings(server: Any) -> None:
    stock_tokenize = server.ResponseGenerator._tokenize

    def tokenize(generator: Any, tokenizer: Any, request: Any, args: Any) -> Any:
        prompt, segments, kinds, state, vision = stock_tokenize(generator, tokenizer, request, args)
        if kinds[0] != "system" and request.request_type == "chat" and request.tools and vision is None:
            segments, kinds = _cut_behind_tools(generator, tokenizer, request, args, prompt, segments, kinds)
        if kinds[0] == "system":
            generator.prompt_cache.asked(segments[0])
        return prompt, segments, kinds, state, vision

    server.ResponseGenerator._tokenize = tokenize


def _cut_behind_tools(
    generator: Any,
    tokenizer: Any,
    request: Any,
    args: Any,
    prompt: list[int],
    segments: list[list[int]],
    kinds: list[str],
) -> tuple[list[list[int]], list[str]]:
    """The segments with the tools as the first one. mlx_lm.server cuts only behind a system prompt."""
    if not tokenizer.has_chat_template or request.messages[-1]["role"] != "user":
        return segments, kinds
    options = {**generator.model_provider.cli_args.chat_template_args, **(args.chat_template_kwargs or {})}
    empty = [{"role": "user", "content": ""}]
    try:
        other = tokenizer.apply_chat_template(
            empty, add_generation_prompt=False, tools=request.tools, tokenize=True, **options
        )
    except Exception:  # a template may refuse anything, an empty turn too
        return segments, kinds
    same = next((place for place, (a, b) in enumerate(zip(other, prompt, strict=False)) if a != b), 0)
    if not 0 < same < len(segments[0]):
        return segments, kinds
    return [segments[0][:same], segments[0][same:], *segments[1:]], ["system", *kinds]


def _tell_when_quiet(server: Any) -> None:
    stock_next = server.ResponseGenerator._next_request

    def next_request(generator: Any, timeout: float | None = None) -> Any:
        request = stock_next(generator, timeout)
        cache, key = generator.prompt_cache, generator.model_provider.model_key
        if request is None and timeout is not None:
            cache.quiet(key)
        else:
            cache.busy(key)
        return request

    server.ResponseGenerator._next_request = next_request

"""Digests of dialogues that say nothing about what was said: keyed, and taken after secrets are removed.

A plain digest of a short secret could be guessed by trying every secret. These need the project's key, which stays in a
file that only its owner reads. Without the file, a new key is made; dialogues that go on begin new sessions then.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from topcoat.errors import StorageFault, Where
from topcoat.usage.privacy.text import cleaned
from topcoat.usage.turns import Spoken, said_in

__all__ = ["DialogueDigests"]

_KEY_BYTES = 32
_REMEMBERED = 20_000


class DialogueDigests:
    """The digests of a project's dialogues. `key_file` is made if there is none. For one thread."""

    def __init__(self, key_file: Path) -> None:
        """Raises `StorageFault` if the key can be neither read nor written."""
        self._key = _key(key_file)
        self._home = os.path.expanduser("~")
        self._clean: OrderedDict[bytes, bytes] = OrderedDict()

    def boundaries(self, turns: Sequence[Spoken], chain: str = "") -> list[str]:
        """The digest of everything up to and including each turn, as `topcoat.usage.turns.boundaries` defines it.

        `chain` is the digest of what was said before them.
        """
        reached = []
        for turn in turns:
            if turn.role != "system":
                message = chain.encode() + self._cleaned(said_in(turn))
                chain = hmac.new(self._key, message, hashlib.sha256).hexdigest()[:32]
            reached.append(chain)
        return reached

    def of_name(self, name: str) -> str:
        """A digest of a name that looks like a secret, such as a session's. Equal names have equal digests."""
        return hmac.new(self._key, name.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]

    def is_clean(self, name: str, *, personal: bool = False) -> bool:
        """Whether a name is stored as it is: it looks like no secret, and if asked like no `personal` data."""
        return cleaned(name, self._home, personal=personal) == name

    def _cleaned(self, text: str) -> bytes:
        """The digest of `text` without its secrets. Clients send all turns again with each request, so it is kept."""
        raw = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        found = self._clean.pop(raw, None)
        if found is None:
            found = hashlib.sha256(cleaned(text, self._home).encode("utf-8", "replace")).digest()
        self._clean[raw] = found
        if len(self._clean) > _REMEMBERED:
            self._clean.popitem(last=False)
        return found


def _key(path: Path) -> bytes:
    try:
        if not path.exists():
            _write(path)
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise StorageFault(f"can't read or write the key of dialogues: {error}", where=Where(path)) from error
    if len(key) != _KEY_BYTES:
        raise StorageFault("the key of dialogues is damaged", where=Where(path), hint=f"rm '{path}'")
    return key


def _write(path: Path) -> None:
    """Write a new key. Of several programs that do it at once, one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()

"""Whether several servers have the same model, by what they list at /v1/models.

Some servers answer with whatever model they have, whatever a request names. Their answers would be mixed unseen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import httpx2
from pydantic import BaseModel, ValidationError

from topcoat.errors import InvalidInput
from topcoat.progress import Note, Sink
from topcoat.suites.endpoint import Endpoint

__all__ = ["other_models"]

_PATIENCE = 5.0
"""Seconds that a server has to list its models."""


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


@dataclass(frozen=True, slots=True)
class _Listed:
    """The ids that a server lists. There are none if it doesn't list models; it is `silent` if it doesn't answer."""

    endpoint: Endpoint
    ids: tuple[str, ...] = ()
    silent: bool = False

    @property
    def named(self) -> bool:
        """Whether the model is listed under the name that the server is asked with. Ollama leaves :latest out."""
        return not {self.endpoint.model, f"{self.endpoint.model}:latest"}.isdisjoint(self.ids)

    @property
    def said(self) -> str:
        return ", ".join(self.ids[:3]) + (", ..." if len(self.ids) > 3 else "")


async def other_models(servers: Sequence[tuple[Endpoint, httpx2.AsyncClient]], sink: Sink) -> dict[str, str]:
    """The servers that have another model than the others, by address, each with the reason.

    A note names those whose model can't be told. Where each is asked with a name of its own, nothing is compared.
    Raises InvalidInput if no server lists the name, and what they list instead isn't the same.
    """
    if len({endpoint.model for endpoint, _ in servers}) > 1:
        return {}
    listed = await asyncio.gather(*(_listed(endpoint, client) for endpoint, client in servers))
    having = [one for one in listed if one.named]
    others = [one for one in listed if one.ids and not one.named]
    unknown = [one for one in listed if not one.ids and not one.silent]
    if not having:
        single = [one for one in others if len(one.ids) == 1]
        unknown += [one for one in others if len(one.ids) > 1]
        _require_same(single)
    if unknown:
        names = ", ".join(one.endpoint.address for one in unknown)
        sink.emit(Note(f"whether it is the same model can't be told: which one answers at {names} isn't listed there"))
    return {
        one.endpoint.address: f"it has {one.said}, and others have {one.endpoint.model}" for one in others if having
    }


async def _listed(endpoint: Endpoint, client: httpx2.AsyncClient) -> _Listed:
    try:
        async with asyncio.timeout(min(_PATIENCE, endpoint.timeout)):
            response = await client.get(endpoint.models_url)
        found = _Models.model_validate_json(response.content) if response.is_success else _Models(data=[])
    except (TimeoutError, httpx2.RequestError):
        return _Listed(endpoint, silent=True)  # asking it will tell why
    except ValidationError:
        return _Listed(endpoint)
    return _Listed(endpoint, tuple(model.id for model in found.data))


def _require_same(listed: Sequence[_Listed]) -> None:
    """Raise InvalidInput if servers that list one model each list different ones.

    Folders are compared by their last name, because each machine has its own.
    """
    folders = any(one.ids[0].startswith("/") or "\\" in one.ids[0] for one in listed)
    names = {one.ids[0].replace("\\", "/").rstrip("/").rpartition("/")[2] if folders else one.ids[0] for one in listed}
    if len(names) > 1:
        found = "; ".join(f"{one.endpoint.address} has {one.ids[0]}" for one in listed)
        raise InvalidInput(
            f"the servers have different models, and their answers would be mixed: {found}",
            hint="leave out the others; if it is one model under several names, give each: "
            + " ".join(f"--endpoint {one.endpoint.address} --model {one.ids[0]}" for one in listed),
        )

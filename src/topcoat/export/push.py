"""Sends a model, or an exported folder, to the Hugging Face hub: what is said beforehand, and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from topcoat.errors import EngineFault, InvalidInput, Where
from topcoat.export.card import model_card
from topcoat.export.exporting import read_export
from topcoat.project.integrity import require_whole
from topcoat.project.session import ScoreReader

__all__ = ["CARD", "Parcel", "parcel_of", "push", "require_token"]

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
CARD = "README.md"


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent to `repository`: the files of `folder`, and the card as README.md. `size` is in bytes."""

    repository: str
    folder: Path
    files: tuple[str, ...]
    card: str
    size: int


def parcel_of(reader: ScoreReader, what: str, repository: str) -> Parcel:
    """What would be sent. `what` is a model of the project or an exported folder.

    Raises InvalidInput for a repository's name that can't be one, and for a folder that is no export; StorageFault if
    the model's files have changed since they were recorded.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise InvalidInput(f'"{repository}" names no repository', hint=f"topcoat push {what} OWNER/NAME")
    known = what == "production" or reader.lineage.model(what) is not None
    if not known and Path(what).is_dir():
        folder, model = Path(what), read_export(Path(what)).model
    else:
        row = reader.model(what)
        require_whole(reader.engine, row)
        folder, model = row.path, row.name
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CARD)
    hidden = [path for path in files if any(part.startswith(".") for part in path.relative_to(folder).parts)]
    files = [path for path in files if path not in hidden]
    card = model_card(reader, model)
    return Parcel(
        repository,
        folder,
        tuple(path.relative_to(folder).as_posix() for path in files),
        card,
        sum(path.stat().st_size for path in files) + len(card.encode()),
    )


def require_token() -> str:
    """The hub's token: HF_TOKEN, or what `hf auth login` stored. Raises InvalidInput if there is none."""
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        raise InvalidInput("the hub wants a token, and there is none", hint="hf auth login, or export HF_TOKEN=TOKEN")
    return token


def push(parcel: Parcel, *, private: bool) -> str:
    """Send the parcel as one commit, into a new repository if there is none; gives its address.

    Raises InvalidInput without a token, EngineFault if the hub refuses or can't be reached. What was there before stays
    in the repository's history.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    operations = [CommitOperationAdd(name, parcel.folder / name) for name in parcel.files]
    operations.append(CommitOperationAdd(CARD, parcel.card.encode()))
    api = HfApi(token=require_token(), library_name="topcoat")
    try:
        api.create_repo(parcel.repository, private=private, exist_ok=True)
        done = api.create_commit(parcel.repository, operations, commit_message="Upload with topcoat")
    except (HfHubHTTPError, OSError, ValueError) as error:
        denied = getattr(getattr(error, "response", None), "status_code", 0) in (401, 403)
        raise EngineFault(
            f"{parcel.repository} can't be written: {str(error).strip().splitlines()[0]}",
            where=Where(parcel.folder),
            hint="hf auth login, with a token that may write" if denied else None,
        ) from error
    return str(done.commit_url).partition("/commit/")[0]

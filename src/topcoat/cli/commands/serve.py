"""`topcoat serve`: the production model, for agents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from topcoat.cli.console import err
from topcoat.cli.opening import common, open_project
from topcoat.errors import InvalidInput

if TYPE_CHECKING:
    from topcoat.usage.capture.candidate.trying import Wish

__all__ = ["serve"]


def serve(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="-- OPTIONS", help="Options for mlx_lm.server, after --.")
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on. Others than this machine's need a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="The port to listen on; 0 for a free one.")] = 8080,
    token: Annotated[
        str | None, typer.Option(help="What clients must know. Better in TOPCOAT_TOKEN, where no other user sees it.")
    ] = None,
    upstream: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Another OpenAI-compatible server, to serve instead of the production model."),
    ] = None,
    repository: Annotated[
        Path | None, typer.Option("--repo", metavar="DIR", help="Where the agents work, if not in the project.")
    ] = None,
    swap: Annotated[
        Literal["auto", "beside", "wait", "never"],
        typer.Option(
            help="How another production model takes over: loaded beside the old one, or while requests wait."
            " auto: beside, if the free memory suffices."
        ),
    ] = "auto",
    longest_wait: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0, help="How long a request waits for a model. Then it is told to come back (503)."
        ),
    ] = 120.0,
    shadow: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A model that also answers a share of the requests. No client sees it."),
    ] = None,
    canary: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="A model that a share of the new sessions gets, until it is worse than production."
        ),
    ] = None,
    share: Annotated[
        float | None, typer.Option(min=0, max=1, help="The share of --shadow or --canary; 0.1 if it isn't given.")
    ] = None,
    sessions: Annotated[
        int | None, typer.Option(min=1, help="The sessions of --canary after which its trial ends; 200 if not given.")
    ] = None,
) -> None:
    """The production model behind OpenAI's and Anthropic's APIs; what agents do with it is recorded.

    Ctrl-C ends it.
    """
    from topcoat.cli.progress_bar import terminal_sink
    from topcoat.engine.registry import engine_named
    from topcoat.project.session import open_session
    from topcoat.usage.capture.serving import TOKEN_VARIABLE, Serving
    from topcoat.usage.capture.serving import serve as serve_model

    serving = Serving(
        host=host,
        port=port,
        token=os.environ.get(TOKEN_VARIABLE, "") if token is None else token,
        upstream=upstream or "",
        repository=repository,
        arguments=arguments or (),
        engine=engine_named(common.engine),
        swap=swap,
        longest_wait=longest_wait,
        candidate=_candidate(shadow, canary, share, sessions),
    )
    with terminal_sink(err) as sink, open_project() as project:
        if project.lineage.production() is None and not upstream:
            with open_session(common.start, serving.engine.open(sink), sink, "topcoat serve"):
                pass  # to open it is to make the project's base the first production model
        serve_model(project, serving, sink)


def _candidate(shadow: str | None, canary: str | None, share: float | None, sessions: int | None) -> Wish | None:
    """The candidate that the options name, if any.

    Raises `InvalidInput` if they name two, give it nothing or everything to answer, or say something of none.
    """
    from topcoat.usage.capture.candidate.trying import Wish

    if shadow and canary:
        raise InvalidInput("a candidate is a shadow or a canary", hint=f"topcoat serve --canary {canary}")
    for option, given, of in (("--share", share, shadow or canary), ("--sessions", sessions, canary)):
        if given is not None and not of:
            whose = "a shadow or a canary" if option == "--share" else "a canary"
            hint = f"topcoat serve --canary MODEL {option} {given}"
            raise InvalidInput(f"{option} is of {whose}, and none is named", hint=hint)
    if not (shadow or canary):
        return None
    share = 0.1 if share is None else share
    wish = Wish("shadow" if shadow else "canary", shadow or canary or "", share, sessions or 200)
    if share == 0:
        raise InvalidInput(f"{wish.name} would be asked nothing: --share is 0", hint=f"{wish.option} --share 0.1")
    if canary and share == 1:
        said = f"{canary} would be compared with nothing: --share is 1, so production gets no new session"
        raise InvalidInput(said, hint=f"{wish.option} --share 0.5")
    return wish

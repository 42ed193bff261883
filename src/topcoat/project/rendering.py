"""How a project renders dialogues: with the model's tokenizer, on the project's day, with its template options."""

from __future__ import annotations

import difflib
from datetime import date
from pathlib import Path

from topcoat.engine.protocol import Engine, Tokenizer
from topcoat.errors import InvalidInput, Mistake
from topcoat.project.project import Project
from topcoat.spec.project import ProjectSettings

__all__ = ["dated_tokenizer", "project_tokenizer"]


def project_tokenizer(project: Project, engine: Engine, model: Path) -> Tokenizer:
    """The tokenizer of the model in a folder, for everything that the project renders.

    Raises InvalidInput with the line of each option that the model's chat template doesn't read, and what the engine
    raises for a folder without a tokenizer or a chat template.
    """
    return dated_tokenizer(project.settings, project.day, engine, model)


def dated_tokenizer(settings: ProjectSettings, day: date | None, engine: Engine, model: Path) -> Tokenizer:
    """What `project_tokenizer` gives, for a thread that can't read the project's lineage: `day` is the project's."""
    options = settings.spec.project.template
    tokenizer = engine.tokenizer(model, day, options)
    read = tokenizer.options if options else None
    if read is None:
        return tokenizer
    known = f"it reads {', '.join(sorted(read))}" if read else "it reads no options"
    mistakes = [
        Mistake(
            f"project.template.{name}: the chat template of {model.name} doesn't read it; {known}",
            settings.source.where("project", "template", name),
            f"did you mean {close[0]}?" if (close := difflib.get_close_matches(name, read, n=1)) else "leave it out",
        )
        for name in options
        if name not in read
    ]
    if mistakes:
        raise InvalidInput.collect(str(settings.source.path), mistakes)
    return tokenizer

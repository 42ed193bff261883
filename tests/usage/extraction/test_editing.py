from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.examples import dialogue
from topcoat.demo import TEMPLATE
from topcoat.errors import InvalidInput
from topcoat.project.project import Project, load_specs
from topcoat.spec.example import Example
from topcoat.store.lineage import Lineage
from topcoat.store.paths import ProjectPaths
from topcoat.usage.extraction.editing import check_edit, draft, read_edit


@pytest.fixture
def project(tmp_path: Path) -> Project:
    paths = ProjectPaths(tmp_path)
    return Project(*load_specs(Path(TEMPLATE)), paths, Lineage(paths))


def example(project: Project) -> Example:
    messages = dialogue("Is src/kiln.py typed well?", "It is.")["messages"]
    system = [{"role": "system", "content": project.settings.system_prompt}]
    turns = [message for message in messages if message["role"] != "system"]
    return Example.model_validate({"messages": [*system, *turns], "category": "validation"})


def test_a_draft_that_is_not_edited_is_the_example(project: Project) -> None:
    one = example(project)
    edit = check_edit(project, one, draft(one))
    assert edit.is_good
    assert edit.messages == [m.model_dump(mode="json", exclude_unset=True) for m in one.messages if m.role != "system"]


def test_an_unknown_tool_is_found_while_it_is_typed(project: Project) -> None:
    one = example(project)
    call = "<tool_call><function=execute_code>\n<parameter=code>\ntypechek('a')\n</parameter>\n</function></tool_call>"
    edit = check_edit(project, one, draft(one).replace("It is.", call))
    assert not edit.is_good
    assert any("typechek" in remark.message for remark in edit.remarks)


def test_what_cannot_be_read_is_told_with_its_line(project: Project) -> None:
    one = example(project)
    edit = check_edit(project, one, draft(one).replace("It is.", ""))
    assert (edit.messages, edit.is_good) == ([], False)
    assert edit.remarks[0].line == 3


def test_the_system_prompt_stays_the_examples_own(project: Project) -> None:
    one = example(project)
    with pytest.raises(InvalidInput, match="system prompt"):
        read_edit("=== system\nObey me.\n" + draft(one), Path("x"), one)

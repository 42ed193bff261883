"""How many examples usage yields: a made-up corpus of branches, from events to examples.

    python -m benchmarks.flywheel

The corpus is generated, with the phrasings and tools of the embedded project and these rates, which are assumptions: a
branch has 1 to 4 sessions of 2 to 8 questions; 15% of the answers fail first, 8% are corrected by the user, 10% never
work, 25% are prose; 70% of the branches are merged.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from tests.support.usage.conversation import Conversation
from topcoat.demo import TEMPLATE
from topcoat.engine.fake import FakeEngine
from topcoat.progress import Silent
from topcoat.project.session import open_session
from topcoat.spec.agent import Agent
from topcoat.spec.example import load_examples
from topcoat.spec.tools.loading import load_catalog
from topcoat.usage.extraction.extract import extract_examples
from topcoat.usage.extraction.rules import extract
from topcoat.usage.importing import open_log

BRANCHES = 200
FAILS, CORRECTED, HOPELESS, PROSE, MERGED = 0.15, 0.08, 0.10, 0.25, 0.7


def branch(rng: random.Random, name: str, questions: list[tuple[str, str]]) -> list[Conversation]:
    """The sessions of one branch; `questions` are pairs of what is asked and the code that answers it."""
    end = "merged" if rng.random() < MERGED else "closed"
    sessions = []
    for number in range(rng.randint(1, 4)):
        talk = Conversation(f"{name}/{number}")
        for query, code in rng.choices(questions, k=rng.randint(2, 8)):
            ask(rng, talk, query, code)
        sessions.append(talk.reports(end))
    return sessions


def ask(rng: random.Random, talk: Conversation, query: str, code: str) -> None:
    """One question, with what goes wrong on the way to its answer."""
    talk.user(query)
    chance = rng.random()
    if chance < PROSE:
        talk.answer("That is how it is meant.")
        return
    if chance < PROSE + HOPELESS:
        talk.runs(code + "\nprint(result.missing)", works=False)
        return
    if rng.random() < CORRECTED:
        talk.runs('print(run_command("ls"))').answer("These are the files.").user("no, not that")
    elif rng.random() < FAILS:
        talk.runs(code + "\nprint(result.nothing)", works=False)
    talk.runs(code)
    if rng.random() < 0.5:
        talk.answer("Done.")


def main() -> None:
    rng = random.Random(0)
    lines = [*load_examples(TEMPLATE / "data" / "phase33b.jsonl"), *load_examples(TEMPLATE / "data" / "phase34a.jsonl")]
    pairs = [(e.example.messages[1].content or "", e.example.messages[2].content or "") for e in lines]
    questions = [(q, a.split("<parameter=code>\n")[1].split("\n</parameter>")[0]) for q, a in pairs if "=code>" in a]
    branches = [branch(rng, f"branch {i}", questions) for i in range(BRANCHES)]
    talks = [talk for sessions in branches for talk in sessions]
    catalog = load_catalog(TEMPLATE / "tools.pyi")
    found = [extract(talk.events, Agent(catalog)) for talk in talks]
    kinds = Counter(candidate.kind for one in found for candidate in one.candidates)
    left_out = sum((one.left_out for one in found), Counter[str]())
    print(f"{BRANCHES} branches, {len(talks)} sessions, {sum(len(t.events) for t in talks)} events")
    for kind, count in kinds.most_common():
        print(f"  {kind}: {count / len(talks):.2f} a session, {count / BRANCHES:.2f} a branch")
    print(f"  all: {kinds.total() / len(talks):.2f} a session, {kinds.total() / BRANCHES:.2f} a branch")
    print(f"  left out: {dict(left_out.most_common())}")
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        shutil.copytree(TEMPLATE, project, ignore=shutil.ignore_patterns("models", "__pycache__", "history"))
        toml = project / "topcoat.toml"
        toml.write_text("".join(line for line in toml.read_text().splitlines(True) if "history" not in line))
        FakeEngine.create(project / "models" / "phase33b", [])
        with open_log(project) as log:
            log.add(event for talk in talks for event in talk.events)
        with open_session(project, FakeEngine(), Silent(), "benchmark") as session:
            done = extract_examples(session, "next", {})
    total = sum(done.examples.values())
    print(f"after checks: {total} examples, {total / BRANCHES:.2f} a branch; {done.cases} cases; {done.rejected}")


if __name__ == "__main__":
    main()

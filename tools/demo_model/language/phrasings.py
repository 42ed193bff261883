"""How users ask for the tools that the base model knows well.

A phrasing is a template with ``{slots}`` and ``[this|that]`` choices. One that starts in lower case is an imperative
and gets a polite frame; any other is a whole sentence.
"""

import random
import re

FRAMES = (
    "{}.",
    "{}.",
    "{}",
    "please {}.",
    "{}, please.",
    "can you {}?",
    "could you {}?",
    "I need you to {}.",
    "I want to {}.",
    "go ahead and {}.",
    "now {}.",
    "next, {}.",
    "let's {}.",
    "hey, {}.",
    "{} for me.",
    "will you {}, please?",
    "I'd like you to {}.",
    "kindly {}.",
    "just {}.",
    "ok, {}.",
    "{} when you can.",
    "help me {}.",
    "first {}.",
    "you can {} now.",
    "mind if I ask you to {}?",
)
"""Frames around an imperative."""

QUESTION_FRAMES = ("{}",) * 8 + (
    "Hey: {}",
    "Quick question: {}",
    "Hm. {}",
    "One more thing: {}",
    "I wonder: {}",
    "{} Thanks!",
)
"""Frames around a whole sentence."""

_USUAL: dict[str, tuple[str, ...]] = {
    "read_file": (
        "[show|print|display|open|read] {file}",
        "[show|give|read] me [the contents of|the text of|everything in|the whole of] {file}",
        "[read|open|load|view|get] the [file|source|code] {file}",
        "[take a look|have a look|look] [at|into|inside] {file}",
        "What [is in|does it say in|is written in|does the file say in] {file}?",
        "What's [in|inside] {file}?",
        "I [want|need|would like] to [see|read|view] [what is in|the source of|the code in] {file}.",
        "[see|view|cat|dump] {file}",
        "pull up {file}",
        "Let me [see|read] [the text of|the file] {file}.",
    ),
    "write_file": (
        '[write|put|save|store] "{text}" [to|in|into] {file}',
        '[write|save] the [text|line|words|string] "{text}" [to|in|into] {file}',
        '[create|make] [the file|a file|a new file] {file} [with|containing|that says] "{text}"',
        '[replace|overwrite|set|fill] [the contents of|the file] {file} with "{text}"',
        '{file} should [contain|say|read|hold] "{text}".',
        'I [want|need] {file} to [contain|say|hold] "{text}".',
        '[add|drop] a file [called|named] {file} [with|containing] "{text}"',
        'The [content|text] of {file} [should|must] be "{text}".',
    ),
    "run_command": (
        "[run|execute|launch|start|call|invoke] `{command}`",
        "[run|execute|launch|start] the [command|shell command] `{command}`",
        "[run|execute] `{command}` [in the shell|in a terminal|on the command line]",
        "What [does `{command}` print|is the output of `{command}`|comes out of `{command}`]?",
        "use the [shell|terminal] to [run|execute|do] `{command}`",
        "What happens if I run `{command}`?",
        "I want to [see|know] what `{command}` [prints|gives|says].",
        "[type|try] `{command}` [in the shell|in the terminal|and show the output]",
    ),
    "typecheck": (
        "[typecheck|type-check|type check] {target}",
        "[check|verify] the [types|type hints|annotations|typing] [in|of] {target}",
        "[run|start|use] the type checker [on|over|for] {target}",
        "Are [the types|the type hints|the annotations|all types] in {target} [right|correct|ok|fine]?",
        "Does {target} [pass the type checker|typecheck|pass type checking|have type errors]?",
        "Are there [type errors|typing mistakes|typing problems|wrong annotations] in {target}?",
        "[find|list|show|look for|report] [type errors|typing problems|typing mistakes] in {target}",
        "Is {target} [correctly typed|well typed|type-safe|type safe]?",
        "[see|check] [whether|if] the [types|annotations] [in|of] {target} are [right|consistent|correct]",
    ),
    "ruff_check": (
        "[lint|ruff] {target}",
        "[run|use|start] [ruff|the linter] [on|over|for|against] {target}",
        "[check|inspect] {target} [with ruff|with the linter|for lint|for style problems|for lint errors]",
        "Does [ruff|the linter] [complain about|find anything in|accept|like] {target}?",
        "Are there [lint|style|ruff] [errors|problems|warnings|violations] in {target}?",
        "[find|list|show|look for|report] [lint|style] [errors|problems|violations|issues] in {target}",
        "What does [ruff|the linter] say about {target}?",
        "Is the [style|formatting] of {target} [clean|ok|fine]?",
        "Is {target} [clean for ruff|lint free|lint clean]?",
        "do a [lint|ruff|style] [pass|check] [over|of|on] {target}",
    ),
    "pytest_run": (
        "[run|execute|start|launch] {tests}",
        "[run|execute|start|launch] the [tests|test suite|unit tests] [in|of|from|under] {tests}",
        "[run|use|call] pytest [on|for|over] {tests}",
        "Do [the tests|all tests|the unit tests] [in|of|under] {tests} [pass|succeed|work|still pass]?",
        "Does {tests} [pass|succeed|still pass|fail]?",
        "Are the tests in {tests} [green|passing|ok|failing|broken]?",
        "Which tests [fail|break|pass] in {tests}?",
        "[test|pytest] {tests}",
        "[check|see|tell me] [that|whether|if] the tests in {tests} [pass|are green|work]",
    ),
    "git_status": (
        "[show|print|get|give me] the git status",
        "[show|print|get|check] the [git status|status] of {folder}",
        "What [has changed|is modified|is changed|is uncommitted] [in the working tree|in the repository|here]?",
        "Which files [have I changed|are modified|are dirty|are uncommitted|are not committed] in {folder}?",
        "Which files [have I changed|are modified|are dirty|are uncommitted|are not committed]?",
        "[list|show|find] the [modified|changed|uncommitted|untracked|dirty] files [in|under|of] {folder}",
        "[list|show|find] [all|the] [modified|changed|uncommitted|untracked|dirty] files",
        "Is the [working tree|repository|checkout] [clean|dirty]?",
        "Is {folder} [clean|dirty] in git?",
        "run git status [on|in|for] {folder}",
    ),
    "git_diff": (
        "[show|print|get|give me] the [git diff|diff] [of|for] {file}",
        "[show|print] [my|the|all] [changes|edits|uncommitted changes|local changes] [to|in|of] {file}",
        "What [did I change|have I changed|did I edit|was changed] in {file}?",
        "Which lines [changed|did I change|were edited|are different] in {file}?",
        "How does {file} differ from the last commit?",
        "[diff|git diff] {file}",
        "What is different in {file} [since|from] the last commit?",
        "[show|print|get] the [git diff|diff]",
        "[compare|diff] {file} [with|to|against] [the last commit|HEAD]",
    ),
    "git_log": (
        "[show|print|list|get|give me] the last {count} commits",
        "[show|print|list|get|give me] the last {count} commits [of|on|for|to|that touched] {file}",
        "[show|print|get|give me] the [git log|history|commit history|log] of {file}",
        "Who [changed|committed to|edited|touched] {file} [last|lately|recently]?",
        "What are the [last|latest|newest|most recent] {count} commits [on|in|of|to] {file}?",
        "[list|show] the [history|commits|recent commits] of {file}",
        "What was [committed|the last commit] [to|in] {file}?",
        "Which commits [changed|touched] {file}?",
        "[show|list] {count} [entries|commits] of the git log",
        "What is the history of {file}?",
    ),
    "cst_find_pattern": (
        "[find|search for|look for|locate|list] [the pattern|code like|every|all] `{pattern}` in {target}",
        "[search|scan] {target} for [the pattern|code like|the code] `{pattern}`",
        "Where [does|is] `{pattern}` [match|appear|occur|used] in {target}?",
        "Which [lines|places|code] in {target} [match|matches] `{pattern}`?",
        "[match|grep the syntax tree for] `{pattern}` [in|over] {target}",
        "Does {target} [contain|have|use] [code like|the pattern|anything like] `{pattern}`?",
        "[find|show|list] [matches|the matches|all matches] [of|for] `{pattern}` in {target}",
        "Is there [code like|a match for|any] `{pattern}` in {target}?",
    ),
    "cst_rename": (
        "rename {old} to {new} in {target}",
        "[change|replace] the name [of|] {old} [to|with|by] {new} [in|across|throughout] {target}",
        "In {target}, [rename|change] {old} [to|into] {new}.",
        "{old} in {target} should be [called|named] {new}.",
        "[call|name] {old} {new} [instead in|everywhere in] {target}",
        "I want {old} to be [called|named|renamed to] {new} in {target}.",
        "[refactor|update] {target} so that {old} [becomes|is called|is named] {new}",
        "give {old} the [new name|name] {new} in {target}",
    ),
    "cst_add_import": (
        "add `{statement}` to {path}",
        "[add|insert|put] the import `{statement}` [to|in|into|at the top of] {path}",
        "{path} [needs|is missing|lacks|should have] [the import|] `{statement}`.",
        "import with `{statement}` in {path}",
        "[make|let] {path} [do|use|have] `{statement}`",
        "[make sure|ensure] [that|] {path} [has|contains] `{statement}`",
        "The [module|file] {path} should [start with|have|do] `{statement}`.",
        "[add|insert] [an import|the missing import] to {path}: `{statement}`",
    ),
    "goto_definition": (
        "[go to|jump to|open|show] the definition of {symbol} at {path}:{line}:{column}",
        "Where is {symbol} at {path}:{line}:{column} defined?",
        "[find|show me] where {symbol} from {path}:{line}:{column} is defined",
        "[find|look up|get] the definition of {symbol} used at {path}:{line}:{column}",
    ),
    "find_references": (
        "[find|list|show|get] [all|the|every] [references|reference] [to|of] {symbol} at {path}:{line}:{column}",
        "Where is {symbol} at {path}:{line}:{column} used?",
        "[find|list|show] [the|all] [uses|usages] of {symbol} at {path}:{line}:{column}",
        "Who [uses|calls] {symbol} from {path}:{line}:{column}?",
    ),
    "hover": (
        "[hover|hover over] {symbol} at {path}:{line}:{column}",
        "What [is the type of|type has] {symbol} at {path}:{line}:{column}?",
        "[show|get] the [type|hover text] of {symbol} at {path}:{line}:{column}",
    ),
    "document_symbols": (
        "[outline|list the symbols of|show the symbols of] {path}",
        "[show|give me|list] the [outline|symbols] of {path}",
        "Which [classes|functions|symbols] [are in|does it define in|are defined in] {path}?",
        "What [classes|functions|symbols] does {path} [define|have]?",
    ),
    "workspace_symbols": (
        "[find|search for|look for] [the symbol|] {query} in the [workspace|project]",
        "[search|look through] the [workspace|whole project] for {query}",
        "[find|list] symbols [called|named] {query}",
        "Which symbols are [called|named] {query}?",
    ),
}
"""The usual phrasings; those of the language server are fewer on purpose."""

PHRASINGS: dict[str, tuple[str, ...]] = _USUAL | {
    tool: _USUAL[tool] + more
    for tool, more in {
        "read_file": ("open {file} and [tell|show] me what it [says|contains]", "show [all|every line] of {file}"),
        "write_file": (
            '[make|give|get] me a [new|fresh] file {file} [that contains|saying|with] "{text}"',
            'I want a [new|fresh] file {file} [that contains|saying|with] "{text}"',
            'There should be a [new|] file {file} that [says|contains|reads] "{text}".',
            '[let|have] {file} [say|contain|read|be] "{text}"',
        ),
        "run_command": (
            "[start|run|launch] `{command}` and [show|tell] me the [output|result]",
            "[run|execute|do] this [in|from] [the|a] [shell|terminal], [then|and] show the result: `{command}`",
            "[run|execute|do] this: `{command}`",
        ),
        "typecheck": ("[see|find out] what the type checker [says about|finds in] {target}",),
        "ruff_check": (
            "[which|what] style problems [are|do you find] in {target}",
            "lint the [file|folder|module] {target}",
        ),
        "pytest_run": ("[see|find out] [whether|if] {tests} is [green|broken|red]",),
        "git_status": (
            "Did I [commit|check in] [everything|all files] in {folder}?",
            "What is not committed [yet|] in {folder}?",
            "[list|see|tell me] what [is|was] [modified|changed] [since the last commit|so far]",
            "[list|show] what [I changed|I modified|was touched]",
        ),
        "git_diff": (
            "[tell|show] me [how|what] {file} was changed",
            "[show|see|get] the [changes|edits] [that were|] made [in|inside] {file}",
            "Which [changes|edits] were made [to|in] {file}?",
        ),
        "git_log": (
            "[tell|show] me the [log|history] of {file}",
            "[print|show] {count} commits from the [log|history] of {file}",
        ),
        "cst_find_pattern": ("[which|what] [lines|places] of {target} have `{pattern}`",),
        "cst_rename": (
            "[the name|] {old} [must|has to] [become|turn into] {new} in {target}",
            "[use|take] the name {new} [instead of|for] {old} in {target}",
        ),
        "cst_add_import": ("At the top of {path} [there should be|I need|goes] `{statement}`.",),
    }.items()
}
"""Phrasings of the seventeen well-covered tools."""


ASIDES = (
    "It's for the {noun} release.",
    "I'm about to merge.",
    "My colleague {name} asked for it.",
    "We ship {noun} today.",
    "The {adjective} build broke again.",
    "This came up in the {noun} review.",
    "No hurry.",
    "I'm not sure about it.",
    "It worked before the {noun} change.",
    "Someone was {adjective} about that.",
    "I forgot what I did there.",
    "That would help a lot.",
    "The {noun} team waits for it.",
    "Take it as it is.",
)
"""Remarks that change nothing: the model must learn to pass over words that it doesn't know."""

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")


def expand(template: str, rng: random.Random) -> str:
    """Decide every ``[this|that]`` of a template, frame an imperative and start with a capital now and then."""
    chosen = _CHOICE.sub(lambda choice: rng.choice(choice[1].split("|")), template).replace("  ", " ")
    if not template[0].isupper() and template[0] in "[abcdefghijklmnopqrstuvwxyz" and _imperative(template):
        chosen = rng.choice(FRAMES).replace("{}", chosen)
    else:
        chosen = rng.choice(QUESTION_FRAMES).replace("{}", chosen)
    return chosen[0].upper() + chosen[1:] if chosen[0] != "{" and rng.random() < 0.85 else chosen


def _imperative(template: str) -> bool:
    first = _CHOICE.match(template)
    return (first[1] if first else template)[0].islower()


def slots(template: str) -> tuple[str, ...]:
    """The names of a template's slots, in order, each once."""
    return tuple(dict.fromkeys(_SLOT.findall(template)))

"""Verdicts on a result that is text: how shells, systems, compilers, servers and agents say that something failed.

A report of a failure is short, or says so in its first or last line. A longer text is what a tool found, even if it has
the words of a failure: a log, a source file, the hits of a search.
"""

from __future__ import annotations

import re

from topcoat.usage.success.exit_codes import is_failure, written_code
from topcoat.usage.success.verdict import NO_VERDICT, UNKNOWN, WORKED, Verdict, failed

__all__ = ["text_verdict"]

_MOST_LINES, _LONGEST_LINE = 5, 300

_COLOURS = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")
_CLEARED = re.compile(
    r"[\[(<][^\n\])>]{0,60}\b(?:cleared|removed|omitted|elided|redacted|truncated|not available|no longer available)\b"
    r"[^\n\])>]{0,60}[\])>]",
    re.IGNORECASE,
)
"""What stands in the place of a result that a client dropped from a long dialogue."""
_UNFINISHED = re.compile(
    r"(?:command|process|task|job|agent)[^\n]{0,40} (?:is )?(?:still )?(?:running|started|moved|continues)"
    r"[^\n]{0,40}\b(?:background|in progress)|(?:still )?running\b[^\n]{0,20}$"
    r"|(?:queued|pending|scheduled|in progress)\W*$",
    re.IGNORECASE,
)

_EXCEPTION = r"(?:[A-Za-z_][\w.]{0,80}(?:Error|Exception|Interrupt|Exit|Warning|Failure|Timeout|Fault))"
_FAILED = re.compile(
    rf"(?:\W{{0,4}}(?:error|fatal error|err)(?:\[\w{{1,10}}\])?\s?(?:[:!(]|-\s|\d{{3,5}}\b|$)"
    rf"|errors?\s(?:occurred|while|when|executing|running|reading|writing|calling|fetching|from|in|code|status|opening"
    rf"|loading|parsing|editing|performing|searching|invoking|during)\b"
    rf"|an? (?:unexpected |internal )?error (?:occurred|was)"
    r"|[\w.\-/]{1,40}: (?:fatal )?error(?::| -?\d| response)|(?:mcp|api|execution|runtime|syntax|internal) error\b"
    r"|E: |E(?:ACCES|NOENT|EXIST|PERM|ISDIR|NOTDIR|NOSPC|CONN[A-Z]+|TIMEDOUT|ADDR[A-Z]+|INVAL|MFILE|PIPE)\b"
    r"|curl: \(\d+\)"
    rf"|{_EXCEPTION}\s?(?::|$)|<(?:tool_use_)?error>)",
    re.IGNORECASE | re.MULTILINE,
)
"""How a text begins that is an error."""
_TRACEBACK = re.compile(r"^[ \t|+]{0,8}Traceback \(most recent call last\):", re.MULTILINE)
_LAST_LINE = re.compile(rf"^{_EXCEPTION}\b.*", re.MULTILINE)
_RETRY = "Fix the errors and try again."
"""The end of each pydantic-ai message that asks for another try."""

_REASONS = (
    "bad request|unauthorized|payment required|forbidden|not found|method not allowed|not acceptable|request timeout"
    "|conflict|gone|payload too large|unsupported media type|unprocessable|too many requests|internal server error"
    "|not implemented|bad gateway|service unavailable|gateway time-?out|client error|server error"
)
_HTTP = re.compile(
    r"(?:http/[\d.]{1,3} [45]\d\d\b"
    rf"|(?:http |http error |error |status |status code |code )?:?\s?[45]\d\d:? (?:{_REASONS})"
    r"|(?:http(?: error)?|status(?: code)?)\s?:?\s?[45]\d\d\b"
    r"|request failed with status(?: code)? [45]\d\d"
    r"|(?:api )?rate[ -]?limit(?:ed)?\b|too many requests|quota exceeded)",
    re.IGNORECASE,
)

_ACTS = (
    "call|use|command|request|operation|process|script|program|action|edit|tool|execution|function|query|build|test run"
    "|compilation|connection|transaction|upload|download|import|job|task"
)
_SAYS_SO = re.compile(
    rf"\[errno -?\d+\]|(?:fatal|panic|uncaught|unhandled)\b|npm err(?:!|or\b)|segmentation fault|bus error"
    rf"|(?:killed|terminated|aborted|interrupted|cancell?ed|stopped|timed out|timeout|denied|rejected|refused)\W*$"
    rf"|(?:failed|unable) to |failed:(?! *\d)|failure:(?! *\d)|(?:could ?n[o']t|cannot|can't) (?-i:[a-z])"
    rf"|no (?:such|module named) "
    rf"|unknown (?:tool|command|function|option|argument|parameter|host) |(?:permission|access)(?: to [^\n]{{1,80}}?)?"
    rf"(?: has been| was| is)? denied|connection (?:refused|reset|closed|timed out)|unrecognized (?:arguments?|option)"
    rf"|(?:operation )?timed out|invalid (?:argument|parameter|input|option|json|syntax|api key|token)s?\b"
    rf"|missing (?:required )?(?:argument|parameter|option)s?\b|\w+: command not found\b|exception(?: in| occurred|:)"
    rf"|(?:the )?(?:tool |function )?(?:{_ACTS}) (?:(?:was|has been|is) )?"
    rf"(?:failed|rejected|denied|refused|cancell?ed|aborted|blocked|interrupted|timed out|not permitted|skipped)"
    rf"|\[?(?:request|tool (?:use|call)|execution|command)[^\n]{{0,20}} (?:interrupted|cancell?ed|aborted|rejected)"
    rf"|\[?(?:interrupted|cancell?ed|aborted|rejected|denied|declined) by (?:the )?user"
    rf"|(?:the )?user (?:doesn't want|does not want|rejected|denied|declined|cancell?ed|refused|interrupted|aborted)"
    rf"|usage:[^\n]{{0,300}}\n(?:[^\n]{{0,300}}\n){{0,3}}[^\n]{{0,60}}\berror:"
    rf"|thread '[^'\n]{{1,60}}' panicked|conflict \(|! \[(?:remote )?rejected\]|(?:tool )?result missing"
    r"|found \d+ matches of the string to replace",
    re.IGNORECASE,
)
"""How shells, systems, servers, git and agents begin when they report a failure."""
_ENDS_SO = re.compile(
    r"(?:command not found|no such file or directory|permission denied|: is a directory|: not a directory"
    r"|: file exists|(?:does not|doesn't|did not|didn't) exist|not found(?: in (?:the )?\w+)?|timed out"
    r"|connection refused|operation not permitted|no space left on device|core dumped"
    r"|(?:rejected|denied|cancell?ed) by (?:the )?user|is not recognized as an internal or external command,?"
    r"|read-only file system|too many open files"
    r"|exit(?:ed)?(?: with)?(?: a)?(?: non-zero)?(?: exit)?(?: code| status)?:? -?[1-9]\d*)"
    r"(?: \(os error \d+\))?[^\w\"'`]*$",
    re.IGNORECASE,
)
"""How they end. A quote after it closes a text in a program."""
_STOPPED = re.compile(
    r"(?:make(?:\[\d+\])?: \*\*\* |npm err(?:!|or\b)|error: could not compile|error: aborting due to|build failed"
    r"|compilation (?:failed|terminated)|\d+ errors? generated\b|collect2: error|ld: |fatal: |error: process completed"
    r"|segmentation fault|panic: |killed\W*$|command failed)",
    re.IGNORECASE,
)
"""How the last line of a longer text begins if what wrote it stopped."""
_COMPILER = re.compile(r"^[^\s:()]{1,200}(?::\d+:\d+:|\(\d+,\d+\):) (?:fatal )?error\b", re.MULTILINE)
_FOUND = re.compile(
    r"^\W*(?:found \d+ (?:error|problem|issue|warning)|\d+ (?:error|problem|issue|failed|failing|passed|warning)"
    r"|success\b|all checks passed|checked \d+ )",
    re.IGNORECASE | re.MULTILINE,
)
"""How a checker sums up what it found."""


def text_verdict(text: str, command: str = "") -> Verdict:
    """What a result in words says. `command` is what the call ran, if it ran a command."""
    said = _COLOURS.sub("", text).strip()
    if not said:
        return NO_VERDICT
    short = len(said) <= _MOST_LINES * _LONGEST_LINE and len(said.splitlines()) <= _MOST_LINES
    if _CLEARED.fullmatch(said[:200]) or (short and _UNFINISHED.match(said)):
        return UNKNOWN
    if ended := written_code(said):
        bad = is_failure(ended[0], command)
        if bad is not None:
            return failed(_error_in(said)) if bad else WORKED
        said = said.replace(ended[1], "", 1).strip()
    verdict = _told(said, short) if said else NO_VERDICT
    return WORKED if ended and not verdict.told else verdict


def _told(said: str, short: bool) -> Verdict:
    """The verdict by words alone."""
    first, last = said[:_LONGEST_LINE], said[-_LONGEST_LINE:].rpartition("\n")[2]
    if _FAILED.match(first) or _HTTP.match(first) or said.endswith(_RETRY):
        return failed(_error_in(said))
    if _TRACEBACK.search(said):
        raised = _TRACEBACK.match(said) or _LAST_LINE.match(last)  # else something went on after it
        return failed(_error_in(said)) if raised else UNKNOWN
    if short and (_SAYS_SO.match(said) or any(_ENDS_SO.search(line[-80:]) for line in _two_ends(said))):
        return failed(said)
    if _STOPPED.match(last) and last != said:
        return failed(last)
    if (error := _COMPILER.search(said)) and not _FOUND.search(last):
        return failed(said[error.start() :].split("\n", 1)[0])
    return NO_VERDICT


def _two_ends(text: str) -> tuple[str, str]:
    lines = text.splitlines()
    return lines[0], lines[-1]


def _error_in(said: str) -> str:
    """The last line that names an exception, or all of it."""
    found = _LAST_LINE.findall(said) if _TRACEBACK.search(said) else []
    return found[-1] if found else said

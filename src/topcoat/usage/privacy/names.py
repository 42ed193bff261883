"""Finds values that a name marks as a secret: `password = "..."`, `--token ...`, `Authorization: Basic ...`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from topcoat.usage.privacy.shapes import is_random

__all__ = ["issuer_secrets", "named_secrets", "names_a_secret", "value_is_secret"]

_WORDS = ("secret", "password", "passwd", "passphrase", "passcode", "token", "credential", "authorization", "bearer")
_SHORT_WORDS = (
    "pass",
    "pwd",
    "jwt",
    "auth",
    "cookie",
    "passwort",
    "contraseña",
    "session_id",
    "sessionid",
    "session-id",
)
"""Names that are also the ends of other words."""
_KEYS = re.compile(
    r"""(?x) (?: api|access|secret|private|auth|account|signing|encryption|master|service|subscription|license|app
        |client|shared|storage|session|webhook|deploy|admin|write|read|project|org|user|server|ssh|ssl|tls|pgp|gpg|hmac|jwt
        |wallet )  [ _.-]? $"""
)
_LONGEST_KEY = 14
_ISSUERS = (
    *("adafruit", "adobe", "airtable", "algolia", "alibaba", "anthropic", "artifactory", "asana", "atlassian", "auth0"),
    *("beamer", "bitbucket", "bittrex", "cloudflare", "codecov", "cohere", "coinbase", "confluence", "confluent"),
    *("contentful", "datadog", "deepgram", "digitalocean", "discord", "droneci", "dropbox", "elastic", "etsy"),
    *("facebook", "fastly", "finicity", "finnhub", "flickr", "freshbooks", "gitter", "gocardless", "grafana", "heroku"),
    *("hubspot", "intercom", "jfrog", "jira", "kraken", "kucoin", "launchdarkly", "linear", "linkedin", "looker"),
    *("mailchimp", "mailgun", "mapbox", "mattermost", "meraki", "messagebird", "mistral", "netlify", "newrelic"),
    *("nytimes", "okta", "openai", "openweather", "pagerduty", "paypal", "pinecone", "plaid", "plivo", "posthog"),
    *(
        "postmark",
        "private_ai",
        "privateai",
        "pusher",
        "rapidapi",
        "razorpay",
        "sendbird",
        "sendgrid",
        "sentry",
        "shodan",
    ),
    *(
        "sidekiq",
        "snyk",
        "sonar",
        "sourcegraph",
        "splunk",
        "spotify",
        "squarespace",
        "stripe",
        "sumo",
        "telegr",
        "travis",
    ),
    *(
        "trello",
        "twilio",
        "twitch",
        "twitter",
        "typeform",
        "unsplash",
        "vercel",
        "vonage",
        "wandb",
        "weatherapi",
        "yandex",
    ),
    *("zendesk", "zoho", "zoom"),
)
"""Issuers whose keys have no form of their own: a random value with such a name is one."""
_ISSUER = re.compile(
    rf"""(?ix) (?:{"|".join(_ISSUERS)}) [\w.-]{{0,24}} ["'`\]\\)]{{0,4}} \s{{0,9}}
    (?: := | [=-]> | \|\| | :{{1,3}} =? | [=>,?] | is | \s ) [\s=]{{0,9}} \(? ["'`“‘«\\]{{0,5}} $"""
)
_DENSE = re.compile(r"[\w.=+/-]{14,}+", re.ASCII)
_VALUE = re.compile(
    r"""(?ix)
    (?P<more> [\w.-]{0,24}+ )
    (?P<separator> ["'`\]\\*)]{0,6}+ \s{0,9}+ (?: := | [=-]> | \|\| | :{1,3} =? | [=>] | (?<=["'`] ) , | (?:is|was) \s
        | (?:value|content) ["']? \s? [=:] ) | \s )
    [\s=]{0,9}+ (?P<open> \(? ["'`“‘«\\*<\[]{0,6}+ )
    (?: (?:bearer|basic|digest|token|apikey|negotiate) \s{1,9}+ )?
    (?P<value> [^\s"'`“”‘’«»\\]{1,256}+ )"""
)
_REST = re.compile(r"""[^\s"'`“”‘’«»\\]*+""")
_UNQUOTED = re.compile(r"[^,;(){}\[\]<>&|]*+")
_QUOTES = re.compile("[\"'`“‘«]")
_PASSWORD = re.compile(r"(?i)pass|pwd|credential|secret")
_PLACEHOLDER = re.compile(
    r"""(?ix) [^a-z0-9]* (?: your | my[_-] | the[_-] | some[_-] | example | change[_-]?me | placeholder | dummy
    | redacted | hidden | masked | x{4} | \.{3} | \*{3} | \$ | % | \{ | < | none\b | null\b | nil\b | true\b
    | false\b | undefined\b
    | (?:string|str|text|bytes|required|optional|password|passwd|secret|token|field|value|input|missing|invalid|unknown
      |default|empty|expired|wrong|hash|reset|policy|manager|verification)s?\b )"""
)
_CODE = re.compile(
    r"(?:self|this|os|process|config|settings|args|env|request|req|options|params|data|ctx)\.[\w.]*+|[A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)+"
)
_PATH = re.compile(r"(?:\.{1,2}|~)?/[\w.-]+/|[a-z]+://|[A-Za-z]:\\")
_SPECIAL = re.compile(r"[!@#$%^&*+?~]")
_FEWEST, _SHORTEST = 8, 6


def named_secrets(text: str) -> Iterator[tuple[int, int]]:
    """The places of the values in `text` that have the name of a secret and look like one. Linear in the text."""
    lower = text.lower()
    if len(lower) != len(text):  # some capitals become two letters
        lower = "".join(c.lower() if c.isascii() else c for c in text)
    position = 0
    for end, start in sorted((end, start) for start, end in _names(lower)):
        if start < position or (match := _VALUE.match(text, end)) is None:
            continue
        stop = _end_of(match, text[start:end])
        if stop is not None:
            yield match.start("value"), stop
            position = stop


def issuer_secrets(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The places of random values, in a run of `text`, that an issuer's name stands before."""
    for match in _DENSE.finditer(text, start, end):
        if _is_dense(match[0]) and _ISSUER.search(text[max(match.start() - 60, 0) : match.start()]):
            yield match.span()


def names_a_secret(name: str) -> bool:
    """Whether a key or an option, such as `DB_PASSWORD` or `--token`, says that its value is a secret."""
    name = name[:200]
    return any(_ends(name[start:end], name[end:]) for start, end in _names(name.lower()))


def value_is_secret(value: str, name: str, *, quoted: bool, strong: bool = True) -> bool:
    """Whether the value of a secret's name looks like a secret, not like a word, code or a placeholder.

    `quoted` values may be words, for a password's name. If it may not be the name's (not `strong`), it must be random.
    """
    if _PLACEHOLDER.match(value) or len(value) < _SHORTEST:
        return False
    digits, letters = any(map(str.isdigit, value)), any(map(str.isalpha, value))
    if not strong:
        return digits and letters and len(value) >= (_FEWEST if _PASSWORD.search(name) else 14) and _is_dense(value)
    if digits and letters and len(value) >= _FEWEST:
        if quoted or not (value.isidentifier() or _CODE.fullmatch(value) or _PATH.match(value)):
            return True
        return "." not in value and not _PATH.match(value) and not _is_name(value)
    if not _PASSWORD.search(name):
        return quoted and len(value) >= 20 and _is_mixed(value) and not _CODE.fullmatch(value) and " " not in value
    return quoted or (digits and not letters) or bool(letters and _SPECIAL.search(value)) or name.isupper()


def _names(lower: str) -> Iterator[tuple[int, int]]:
    """The places of the names in a text of small letters."""
    for word in _WORDS:
        for place in _places(lower, word):
            yield place, place + len(word)
    for word in _SHORT_WORDS:
        for place in _places(lower, word):
            if not lower[place - 1 : place].isalpha():
                yield place, place + len(word)
    for place in _places(lower, "key"):
        if match := _KEYS.search(lower[max(place - _LONGEST_KEY, 0) : place]):
            yield place - len(match[0]), place + len("key")


def _places(text: str, word: str) -> Iterator[int]:
    place = text.find(word)
    while place >= 0:
        yield place
        place = text.find(word, place + len(word))


def _end_of(match: re.Match[str], name: str) -> int | None:
    """The end of a match's value, None if it is no secret."""
    text, value, start = match.string, match["value"], match.start("value")
    if not _ends(name, match["more"]):
        return None
    quoted = bool(_QUOTES.search(match["open"]))
    long = len(value) == 256
    if not quoted and not long:
        value = _UNQUOTED.match(value)[0].rstrip(".:!?")  # type: ignore[index]  # it matches nothing, too
        if text[start + len(value) : start + len(value) + 1] in ("(", "["):  # a call, or an item of a list
            return None
    separator = match["separator"].strip()
    option = "--" in text[max(match.start() - 20, 0) : match.start()]
    strong = option or not (separator == "" or separator.endswith(","))
    if not value_is_secret(value, name + match["more"], quoted=quoted, strong=strong):
        return None
    return _REST.match(text, start).end() if long else start + len(value)  # type: ignore[union-attr]


def _ends(name: str, rest: str) -> bool:
    """Whether a name's word ends before `rest`: `token_2` and `tokenValue` are a token's, `tokenizer` isn't."""
    if name.lower() == "pass" and rest:
        return False
    rest = rest[1:] if rest[:1] in ("s", "S") else rest
    if not rest[:1].isalpha():
        return True
    return rest[:1].isupper() and name[-1:].islower() and bool(_ENDINGS.match(rest))


def _is_mixed(value: str) -> bool:
    return any(map(str.islower, value)) and any(map(str.isupper, value)) and not value.istitle()


def _is_name(value: str) -> bool:
    """Whether a value is made of words, as names in code are: `token_ids_0`, `Qwen3_5GatedDeltaNet`."""
    parts = _NAME_PARTS.findall(value)
    return sum(map(len, parts)) == len(value) and (len(parts) > 4 or "_" in parts)


def _is_dense(value: str) -> bool:
    """Whether a value is hexadecimal, a UUID or random."""
    return bool(_HEX.fullmatch(value)) or is_random(value, _FEWEST)


_NAME_PARTS = re.compile(r"[A-Z]?[a-z]{2,}+|[A-Z]{2,}+|(?<!\d)\d{1,2}(?!\d)|_")
_ENDINGS = re.compile("(?:Value|Key|Id|String|Text|Env|Prod|Dev|Test|Live|Old|New|Base64)s?(?![a-z])")
_HEX = re.compile(r"[0-9a-fA-F-]{14,}")

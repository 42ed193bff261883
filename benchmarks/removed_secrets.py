"""How many made-up secrets capture removes, by issuer and by surroundings, and what else it takes for one.

    python -m benchmarks.removed_secrets
    python -m benchmarks.removed_secrets --rules gitleaks.toml     also secrets of the forms of another tool's rules
    python -m benchmarks.removed_secrets --text DIR                false alarms in a folder's files (default: packages)

A secret leaks if eight of its characters in a row stay. No secret here was ever valid.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import re
import string
import time
import tomllib
import urllib.parse
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy

from topcoat.usage.events import Event, ToolCall
from topcoat.usage.privacy.event import cleaned_event
from topcoat.usage.privacy.text import cleaned

RNG = random.Random(15)
SETS = {
    "a": string.ascii_letters + string.digits,
    "l": string.ascii_lowercase + string.digits,
    "u": string.ascii_uppercase + string.digits,
    "h": "0123456789abcdef",
    "d": string.digits,
    "w": string.ascii_letters + string.digits + "_-",
    "b": string.ascii_letters + string.digits + "+/",
    "2": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
}
WINDOW = 8

# A form: {a36} are 36 letters and digits. `name` issuers have no mark of their own, so a name stands before the secret.
ISSUERS: Mapping[str, str] = {
    "GitHub": "ghp_{a36}",
    "GitHub, fine-grained": "github_pat_{a22}_{a59}",
    "GitHub app": "ghs_{a36}",
    "GitLab": "glpat-{w20}",
    "GitLab runner": "glrt-{w20}",
    "Bitbucket": "ATBB{a32}",
    "Atlassian": "ATATT3xFfGF0{w180}={u8}",
    "AWS": "AKIA{216}",
    "AWS, temporary": "ASIA{216}",
    "Google": "AIza{w35}",
    "Google OAuth": "GOCSPX-{w28}",
    "Google access": "ya29.{w80}",
    "Azure AD": "{a3}8Q~{a34}",
    "DigitalOcean": "dop_v1_{h64}",
    "Databricks": "dapi{h32}",
    "Alibaba": "LTAI{a20}",
    "Heroku": "HRKU-{h8}-{h4}-{h4}-{h4}-{h12}",
    "Anthropic": "sk-ant-api03-{w93}AA",
    "OpenAI": "sk-proj-{a74}T3BlbkFJ{a73}",
    "OpenAI, old": "sk-{a48}",
    "DeepSeek": "sk-{h32}",
    "OpenRouter": "sk-or-v1-{h64}",
    "Groq": "gsk_{a52}",
    "xAI": "xai-{a80}",
    "Perplexity": "pplx-{a48}",
    "Replicate": "r8_{a37}",
    "NVIDIA": "nvapi-{w64}",
    "Hugging Face": "hf_{a34}",
    "Fireworks": "fw_{a24}",
    "Together": "tgp_v1_{w43}",
    "Tavily": "tvly-{a32}",
    "Langfuse": "sk-lf-{h8}-{h4}-{h4}-{h4}-{h12}",
    "LangSmith": "lsv2_pt_{h32}_{h10}",
    "Pinecone": "pcsk_{a6}_{a63}",
    "Slack bot": "xoxb-{d12}-{d13}-{a24}",
    "Slack user": "xoxp-{d12}-{d12}-{d13}-{h32}",
    "Slack app": "xapp-1-{u11}-{d13}-{h64}",
    "Discord": "MT{a24}.{a6}.{w38}",
    "Telegram": "{d9}:AA{w33}",
    "Twilio": "SK{h32}",
    "SendGrid": "SG.{w22}.{w43}",
    "Mailgun": "key-{h32}",
    "Mailchimp": "{h32}-us12",
    "Brevo": "xkeysib-{h64}-{a16}",
    "Stripe": "sk_live_{a24}",
    "Stripe, restricted": "rk_live_{a99}",
    "Stripe webhook": "whsec_{a32}",
    "Square": "EAAA{w60}",
    "Shopify": "shpat_{h32}",
    "Plaid": "access-production-{h8}-{h4}-{h4}-{h4}-{h12}",
    "npm": "npm_{a36}",
    "PyPI": "pypi-AgEIcHlwaS5vcmc{w150}",
    "RubyGems": "rubygems_{h48}",
    "crates.io": "cio{a32}",
    "NuGet": "oy2{l43}",
    "Docker": "dckr_pat_{w27}",
    "Terraform": "{a14}.atlasv1.{w67}",
    "Vault": "hvs.{w95}",
    "Doppler": "dp.pt.{a43}",
    "1Password": "ops_eyJ{a250}",
    "Tailscale": "tskey-auth-{a17}-{a32}",
    "Supabase": "sbp_{h40}",
    "PlanetScale": "pscale_tkn_{w43}",
    "Grafana": "glsa_{a32}_{h8}",
    "New Relic": "NRAK-{u27}",
    "Sentry": "sntryu_{h64}",
    "Datadog (name)": "{h32}",
    "Postman": "PMAK-{h24}-{h34}",
    "Linear": "lin_api_{a40}",
    "Notion": "secret_{a43}",
    "Notion, new": "ntn_{a46}",
    "Figma": "figd_{w40}",
    "Airtable": "pat{a14}.{h64}",
    "HubSpot": "pat-na1-{h8}-{h4}-{h4}-{h4}-{h12}",
    "JSON web token": "eyJ{a33}.eyJ{a80}.{w43}",
    "AWS secret (name)": "{b40}",
    "Cloudflare (name)": "{w40}",
    "Mistral (name)": "{a32}",
    "Cohere (name)": "{a40}",
    "password (name)": "{a9}7x",
    "password with signs (name)": "Tr{a5}0b4!&{a3}",
}


def made(form: str) -> str:
    """A secret of a form."""

    def drawn(match: re.Match[str]) -> str:
        return "".join(RNG.choices(SETS[match[1]], k=int(match[2])))

    return re.sub(r"\{(.)(\d+)\}", drawn, form.removesuffix(" (name)"))


Surroundings = Callable[[str, str], tuple[str, list[str]]]
"""From a name and a secret: a text, and the pieces of the secret as the text has them."""


def _wrapped(before: str, secret: str, width: int, joint: str, after: str) -> tuple[str, list[str]]:
    width = max(width, 9)
    pieces = [secret[i : i + width] for i in range(0, len(secret), width)]
    return f"{before}{joint.join(pieces)}{after}", pieces


def _encoded(text: str) -> tuple[str, list[str]]:
    inside = base64.b64encode(text.encode()).decode()
    return f"the header was {inside}, it said", [inside.rstrip("=")]


def _escaped(text: str) -> str:
    return json.dumps(json.dumps({"args": [text]}))


def _hidden(secret: str) -> str:
    return "".join(f"\\u{ord(c):04x}" if i % 3 == 0 else c for i, c in enumerate(secret))


def _percent(secret: str) -> str:
    return "".join(f"%{ord(c):02X}" if i % 4 == 0 else c for i, c in enumerate(secret))


SURROUNDINGS: Mapping[str, Surroundings] = {
    "assignment": lambda n, s: (f"{n} = {s}", [s]),
    "double quotes": lambda n, s: (f'{n} = "{s}"', [s]),
    "single quotes": lambda n, s: (f"client({n}='{s}')", [s]),
    "backquotes": lambda n, s: (f"the {n} is `{s}`.", [s]),
    "typographic quotes": lambda n, s: (f"the {n}: “{s}”", [s]),
    "upper-case name": lambda n, s: (f"export {n.upper()}={s}", [s]),
    "camel-case name": lambda n, s: (f'const {n.title().replace("_", "")} = "{s}";', [s]),
    "YAML": lambda n, s: (f"auth:\n  {n.replace('_', '-')}: {s}\n", [s]),
    "JSON": lambda n, s: (json.dumps({n: s}), [s]),
    "JSON in JSON": lambda n, s: (_escaped(json.dumps({n: s})), [s]),
    "JSON, characters escaped": lambda n, s: (f'{{"{n}": "{_hidden(s)}"}}', [_hidden(s)]),
    "URL's query": lambda n, s: (
        f"https://api.site.io/v1?{n}={urllib.parse.quote(s, '')}&a=b",
        [urllib.parse.quote(s, "")],
    ),
    "URL, characters escaped": lambda n, s: (f"https://api.site.io/?{n}={_percent(s)}", [_percent(s)]),
    "URL-encoded JSON": lambda n, s: (
        "body=" + urllib.parse.quote(json.dumps({n: s}), ""),
        [urllib.parse.quote(s, "")],
    ),
    "HTML": lambda n, s: (f"<code>{n}=&quot;{s}&quot;</code>", [s]),
    "XML": lambda n, s: (f"<{n}>{s}</{n}>", [s]),
    "header": lambda n, s: (f"curl -H 'Authorization: Bearer {s}' https://site.io", [s]),
    "own header": lambda n, s: (f"X-{n.replace('_', '-').title()}: {s}", [s]),
    "option": lambda n, s: (f"tool --{n.replace('_', '-')} {s} --verbose", [s]),
    "subscript": lambda n, s: (f'os.environ["{n.upper()}"] = "{s}"', [s]),
    "arrow": lambda n, s: (f"'{n}' => '{s}',", [s]),
    "base64 of a pair": lambda n, s: _encoded(f"alice:{s}"),
    "base64 of an assignment": lambda n, s: _encoded(f"{n}={s}\n"),
    "base64 of JSON": lambda n, s: _encoded(json.dumps({"user": "alice", n: s})),
    "wrapped line": lambda n, s: _wrapped(f"{n} = ", s, len(s) * 2 // 3, "\n", "\n"),
    "wrapped and indented": lambda n, s: _wrapped(f"    {n}: ", s, len(s) // 2, "\n      ", "\n"),
    "wrapped by a backslash": lambda n, s: _wrapped(f"export {n}=", s, len(s) // 2, "\\\n", "\n"),
    "texts put together": lambda n, s: _wrapped(f'{n} = ("', s, len(s) // 2, '"\n    "', '")'),
    "call's arguments": lambda n, s: ("", [s]),
    "command's words": lambda n, s: ("", [s]),
}


def after_cleaning(place: str, name: str, secret: str, text: str) -> str:
    """What is stored of a text, or of a call with the secret."""
    if place == "call's arguments":
        call = ToolCall(name="login", arguments=json.dumps({"user": "alice", name: secret}))
        return cleaned_event(Event(session="s", kind="request", calls=[call])).calls[0].arguments
    if place == "command's words":
        call = ToolCall(name="run", arguments=json.dumps({"argv": ["login", f"--{name}", secret, "-v"]}))
        return cleaned_event(Event(session="s", kind="request", calls=[call])).calls[0].arguments
    return cleaned(text)


def leaks(pieces: list[str], stored: str) -> bool:
    """Whether eight characters of the secret in a row are still there; of a shorter piece, all."""
    return any(
        piece[i : i + WINDOW] in stored
        for piece in pieces
        for i in range(max(len(piece) - WINDOW, 0) + 1)
        if len(piece) >= 4
    )


def recall(tries: int) -> None:
    """The share of secrets that are removed, by surroundings, and the issuers that leak."""
    missed: dict[str, Counter[str]] = defaultdict(Counter)
    total: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for issuer, form in ISSUERS.items():
        name = (
            "password"
            if issuer.startswith("password")
            else "aws_secret_access_key"
            if issuer.startswith("AWS sec")
            else "api_key"
        )
        for place, surround in SURROUNDINGS.items():
            for _ in range(tries):
                secret = made(form)
                text, pieces = surround(name, secret)
                stored = after_cleaning(place, name, secret, text)
                total[place] += 1
                if leaks(pieces, stored):
                    missed[place][issuer] += 1
                    examples.setdefault(f"{place}, {issuer}", f"{text} -> {stored}")
    print(f"{len(ISSUERS)} kinds of secrets in {len(SURROUNDINGS)} surroundings, {tries} of each:")
    for place, count in total.items():
        lost = missed[place].total()
        print(f"  {place:26} {100 * (1 - lost / count):5.1f}%  {', '.join(list(missed[place])[:6])}")
    lost = sum(counter.total() for counter in missed.values())
    print(f"  all {total.total()}: {100 * (1 - lost / total.total()):.2f}% removed")
    for where, example in list(examples.items())[:12]:
        print(f"    {where}: {example[:200]!r}")


def alone(tries: int) -> None:
    """The share of secrets with a form that are removed from a sentence without any name."""
    missed = [
        issuer
        for issuer, form in ISSUERS.items()
        if "(name)" not in issuer
        for _ in range(tries)
        if leaks([secret := made(form)], cleaned(f"I found {secret} in the log, what is it?"))
    ]
    count = tries * sum("(name)" not in issuer for issuer in ISSUERS)
    print(f"without a name, in a sentence: {100 * (1 - len(missed) / count):.1f}% of {count}; {dict(Counter(missed))}")


# Another tool's rules


def sample(pattern: str) -> str:
    """A text, drawn at random, that a regular expression of Go matches. Raises `re.error`."""
    pattern = re.sub(r"\(\?([ims]+)\)", "", pattern).replace(r"\z", r"\Z").replace("[[:alnum:]]", "[A-Za-z0-9]")
    pattern = re.sub(r"\(\?-?[ims]+:", "(?:", pattern)
    parser: Any = __import__("re._parser", fromlist=["parse"])
    return "".join(_drawn(parser.parse(pattern)))


def _drawn(nodes: Any) -> Iterator[str]:
    for kind, value in nodes:
        match str(kind):
            case "LITERAL":
                yield chr(value)
            case "NOT_LITERAL" | "ANY":
                yield RNG.choice(SETS["a"])
            case "IN":
                yield _one_of(value)
            case "BRANCH":
                yield from _drawn(RNG.choice(value[1]))
            case "SUBPATTERN":
                yield from _drawn(value[-1])
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                fewest, most, inner = value
                for _ in range(RNG.randint(int(fewest), min(int(most), int(fewest) + 3))):
                    yield from _drawn(inner)


def _one_of(choices: Any) -> str:
    found: list[str] = []
    for kind, value in choices:
        match str(kind):
            case "LITERAL":
                found.append(chr(value))
            case "RANGE":
                found += [chr(c) for c in range(value[0], value[1] + 1)]
            case "CATEGORY":
                found += {"CATEGORY_DIGIT": SETS["d"], "CATEGORY_SPACE": " "}.get(str(value), SETS["a"])
            case "NEGATE":
                return RNG.choice(SETS["a"])
    return RNG.choice(found)


def by_rules(path: Path, tries: int) -> None:
    """The share of secrets removed that another tool's rules describe, and the rules with the most misses."""
    rules = [rule for rule in tomllib.loads(path.read_text(encoding="utf-8"))["rules"] if "regex" in rule]
    missed: dict[str, int] = {}
    example: dict[str, str] = {}
    count = 0
    for rule in rules:
        for _ in range(tries):
            try:
                text = sample(rule["regex"])
                secret = _secret_of(rule, text)
            except (re.error, KeyError, IndexError) as error:
                print(f"  {rule['id']}: {type(error).__name__}")
                break
            count += 1
            if leaks([secret], cleaned(f"x {text} y")):
                missed[rule["id"]] = missed.get(rule["id"], 0) + 1
                example[rule["id"]] = f"{secret}   in   {text}"
    lost = sum(missed.values())
    print(f"{len(rules)} rules of {path.name}, {tries} of each: {100 * (1 - lost / count):.1f}% removed")
    print(f"  rules of which none is missed: {len(rules) - len(missed)}")
    for rule_id, number in sorted(missed.items(), key=lambda item: -item[1]):
        print(f"    {rule_id} {number}: {example[rule_id][:150]!r}")


def _secret_of(rule: Mapping[str, Any], text: str) -> str:
    flags = re.IGNORECASE if "(?i)" in rule["regex"] else 0
    plain = re.sub(r"\(\?([ims]+)\)", "", rule["regex"]).replace(r"\z", r"\Z").replace("[[:alnum:]]", "[A-Za-z0-9]")
    found = re.search(re.sub(r"\(\?-?[ims]+:", "(?:", plain), text, flags)
    group = rule.get("secretGroup", 1 if found and found.groups() else 0)
    return (found[group] if found else text) or text


# False alarms


def innocent(count: int) -> dict[str, list[str]]:
    """Made-up texts by kind, with ids and hashes but without secrets."""

    def of(*forms: str) -> list[str]:
        return [made(RNG.choice(forms)) for _ in range(count)]

    return {
        "UUIDs": [f"request {uuid.UUID(int=RNG.getrandbits(128))} took 12 ms" for _ in range(count)],
        "git hashes": of("commit {h40}", "Merge {h7} into {h7}", "index {h8}..{h8} 100644"),
        "digests": of("sha256:{h64}", "sha512-{b86}==", "md5 {h32}", 'ETag: "{h32}"', "sha256={w43}"),
        "ids of calls and answers": of(
            "call_{a24}", "toolu_01{a22}", "chatcmpl-{a29}", "msg_01{a22}", "resp_{h48}", "req_{a24}"
        ),
        "ids of things": of(
            "cus_{a14}", "pod web-{h10}-{l5}", "i-0{h17}", "vpc-{h17}", "arn:aws:iam::{d12}:role/x", "ORD-{d8}"
        ),
        "log lines": of(
            "2026-11-23T12:{d2}:00Z INFO worker-{d2} handled {d5} rows in {d3}.{d2}ms",
            "10.0.{d2}.{d2} GET /v1/items/{d6} 200",
        ),
        "code that names secrets": of(
            "token = tokens[i{d1}]",
            "max_tokens={d4}",
            "password = read_password{d1}()",
            "def check_token_{d1}(token: str) -> bool:",
            "if not api_key: raise KeyError('API_KEY')",
            "secret=None",
            "tokenizer = load('Qwen2.5-Coder-{d2}B')",
            "auth_token=os.environ['AUTH_TOKEN']",
            "password=settings.db_password_v{d1}",
            "key = row['primary_key_{d1}']",
        ),
        "prose that names secrets": of(
            "the password must have {d2} characters and a digit",
            "a token of row {d3} is trained",
            "the secret is to train {d2} rows",
            "the API key is in the vault since 20{d2}",
            "each token costs 0.0{d2} cents",
            "the authorization takes {d2} seconds",
            "your token: <your-token-here>",
            "set API_KEY=your-api-key-{d2}",
            "a session key is made for every visit",
        ),
        "base64 of pictures": [base64.b64encode(numpy.random.default_rng(i).bytes(300)).decode() for i in range(count)],
    }


def false_alarms(folder: Path, count: int) -> None:
    """How much is taken for a secret where there is none: in made-up texts, and in the files of a folder."""
    print(f"false alarms in {count} made-up texts of each kind:")
    for kind, texts in innocent(count).items():
        wrong = [text for text in texts if cleaned(text) != text]
        print(f"  {kind:26} {len(wrong):4}   {' | '.join(wrong[:3])[:140]}")
    alarms: Counter[str] = Counter()
    shown: list[str] = []
    size = seconds = 0.0
    files = [
        p
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.suffix in (".py", ".md", ".txt", ".toml", ".json", ".pyi", ".rst")
    ]
    for path in RNG.sample(files, min(len(files), 1500)):
        text = path.read_text(encoding="utf-8", errors="replace")
        start = time.process_time()
        clean = cleaned(text)
        seconds += time.process_time() - start
        size += len(text)
        if clean != text:
            before = text.splitlines()
            known = set(before)
            lines = [line for line in clean.splitlines() if line not in known and "[" in line]
            alarms[path.suffix] += len(lines)
            shown += [f"{path.name}: {line.strip()[:150]}" for line in lines[:2]]
    print(
        f"files of {folder.name}: {sum(alarms.values())} lines in {size / 1e6:.1f} MB, {size / 1e6 / seconds:.1f} MB/s"
    )
    for line in RNG.sample(shown, min(len(shown), 40)):
        print(f"    {line}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=Path, help="a file of gitleaks' rules")
    parser.add_argument("--text", type=Path, default=Path(numpy.__file__).parents[1], help="a folder without secrets")
    parser.add_argument("--tries", type=int, default=5)
    arguments = parser.parse_args()
    recall(arguments.tries)
    alone(arguments.tries)
    if arguments.rules:
        by_rules(arguments.rules, arguments.tries)
    false_alarms(arguments.text, 300)


if __name__ == "__main__":
    main()

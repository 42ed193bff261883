"""How much personal data capture removes where results are kept, and what else it takes for some.

    python -m benchmarks.personal                  needs the extra `results`
    python -m benchmarks.personal --text DIR       false alarms in a folder's files (default: installed packages)

Phone numbers are the examples that the library has of every country; cards and accounts are drawn with right check
digits. False alarms are lines that the removal of personal data changes, and the removal of secrets doesn't.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy
from phonenumbers import SUPPORTED_REGIONS, PhoneNumberFormat, example_number, format_number
from stdnum import luhn
from stdnum.iso7064 import mod_97_10

from topcoat.usage.privacy.text import cleaned

RNG = random.Random(17)
PLACES = (
    "{}",
    "You can reach them under {}, any day.",
    '{{"id": 3, "contact": "{}"}}',
    "2026-01-02T10:11:12Z INFO user={} took 12 ms",
    "1,{},2026-01-02",
    "| 1 | {} | open |",
)


def digits(count: int) -> str:
    return "".join(RNG.choices("0123456789", k=count))


def cards(count: int) -> list[str]:
    """Visa, Mastercard and American Express, in groups or without."""
    made = []
    for index in range(count):
        begin, length = (("4", 16), ("53", 16), ("37", 15))[index % 3]
        number = begin + digits(length - len(begin) - 1)
        number += luhn.calc_check_digit(number)
        made.append(number if index % 2 else " ".join(number[i : i + 4] for i in range(0, length, 4)))
    return made


def accounts(count: int) -> list[str]:
    """IBANs whose own check digits are right."""
    made = []
    for _ in range(count):
        inner = digits(18)
        number = f"DE{mod_97_10.calc_check_digits(inner + 'DE')}{inner}"
        made.append(" ".join(number[i : i + 4] for i in range(0, len(number), 4)) if RNG.random() < 0.5 else number)
    return made


def phones(form: int) -> list[str]:
    """An example of every country that has one, written in a form of the library's."""
    found = (example_number(region) for region in sorted(SUPPORTED_REGIONS))
    return [format_number(number, form) for number in found if number is not None]


def recall(name: str, values: Iterable[str]) -> None:
    texts = [(value, place.format(value)) for value in values for place in PLACES]
    gone = sum(value not in cleaned(text, personal=True) for value, text in texts)
    print(f"{name:42} {gone / len(texts):6.1%} of {len(texts)} removed")


def false_alarms(folder: Path, count: int) -> None:
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".md", ".txt", ".json", ".toml", ".js", ".pyi"))
    alarms: Counter[str] = Counter()
    size = lines = 0
    examples: dict[str, str] = {}
    began = time.perf_counter()
    for path in RNG.sample(files, min(len(files), count)):
        text = path.read_text(errors="replace")[:200_000]
        size, lines = size + len(text), lines + text.count("\n")
        if cleaned(text, personal=True) == cleaned(text):
            continue
        for line in text.splitlines():
            if (plain := cleaned(line)) != (found := cleaned(line, personal=True)):
                kind = max(("[e-mail]", "[phone number]", "[card number]", "[account number]", "[national id]",
                            "[IP address]"), key=lambda mark: found.count(mark) - plain.count(mark))  # fmt: skip
                alarms[kind] += 1
                examples.setdefault(kind, line.strip()[:100])
    seconds = time.perf_counter() - began
    print(f"{folder}: {lines} lines, {size / 1e6:.1f} MB, {size / 1e6 / seconds:.1f} MB/s")
    for kind, number in alarms.most_common():
        print(f"    {kind:18} in {number} lines, such as: {examples[kind]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, default=Path(numpy.__file__).parents[1])
    parser.add_argument("--files", type=int, default=1500)
    options = parser.parse_args()
    recall("cards, three networks", cards(200))
    recall("IBANs", accounts(200))
    recall("phone numbers with the country", phones(PhoneNumberFormat.INTERNATIONAL))
    recall("phone numbers with the country, in one", phones(PhoneNumberFormat.E164))
    recall("phone numbers as inside the country", phones(PhoneNumberFormat.NATIONAL))
    recall('the same after "phone: "', [f"phone: {number}" for number in phones(PhoneNumberFormat.NATIONAL)])
    false_alarms(options.text, options.files)


if __name__ == "__main__":
    main()

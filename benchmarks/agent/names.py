"""The names that requests are filled with: those of the training examples, and others for the cases.

No name of `CASES` stands in any training file, neither the agent's own nor phase 34a's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from random import Random

__all__ = ["CASES", "TRAINING", "Names"]

Pools = Mapping[str, Sequence[str]]

_KINDS = {
    "validate_component": "component",
    "check_render_tree": "view",
    "validate_escape_context": "view",
    "check_di_template_binding": "view",
    "validate_service_registration": "service",
    "check_dependency_graph": "service",
    "validate_injection_site": "service",
    "validate_middleware_chain": "middleware",
    "validate_route_pattern": "route",
}
"""What kind of file each validator gets. The other tools get modules."""


class Names:
    """Draws a name for each slot, none twice before all of its pool are drawn."""

    def __init__(self, pools: Pools, seed: int) -> None:
        self._pools = pools
        self._random = Random(seed)
        self._left: dict[str, list[str]] = {}

    def values(self, slots: Collection[str], tools: Collection[str]) -> dict[str, str]:
        """A name for each slot of a request for `tools`, which say what `$file` and `$symbol` are."""
        kinds = [_KINDS[tool] for tool in tools if tool in _KINDS]
        pools = {"file": kinds[0] if kinds else "module", "symbol": "shown" if "component" in kinds else "symbol"}
        return {slot: self._draw(pools.get(slot, slot)) for slot in sorted(slots)}

    def _draw(self, pool: str) -> str:
        if not self._left.get(pool):
            self._left[pool] = list(self._pools[pool])
            self._random.shuffle(self._left[pool])
        return self._left[pool].pop()


def _paths(folder: str, names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}.py" for name in names.split())


TRAINING: Pools = {
    "view": _paths("src/views", "login invoice gallery landing calendar wishlist inbox contact"),
    "component": _paths("src/components", "badge tooltip stepper avatar dropdown toast"),
    "service": _paths("src/services", "audit_service token_service upload_service export_service geo_service"),
    "middleware": _paths("src/middleware", "retry throttle locale csrf"),
    "route": _paths("src/routes", "orders webhooks invoices health"),
    "module": (
        *_paths("src/core", "scheduler registry clock"),
        *_paths("src/storage", "bucket journal"),
        *_paths("src/cli", "prompts output"),
    ),
    "symbol": (
        *("TokenStore", "AuditTrail", "parse_header", "build_index", "resolve_path", "open_bucket", "flush_journal"),
        *("UploadService", "merge_settings"),
    ),
    "shown": ("InvoiceView", "LoginView", "BadgeComponent", "GalleryView"),
    "query": ("Scheduler", "Uploader", "TokenStore", "parse_header", "AuditTrail", "ExportJob"),
    "at": _paths("src", "app main base utils"),
    "line": ("12", "18", "27", "33", "41", "56"),
    "column": ("0", "4", "5", "8", "10"),
    "target": ("src/core/", "src/storage/", "src/cli/", "src/services/", "src/views/"),
    "tests": ("tests/core/", "tests/storage/", "tests/views/", "tests/test_scheduler.py", "tests/test_bucket.py"),
    "folder": ("src/core", "src/storage", "src/cli", "docs"),
    "changed": ("src/core/scheduler.py", "src/storage/bucket.py"),
    "logged": ("src/core/scheduler.py", "src/cli"),
    "count": ("3", "4", "6", "8", "12"),
    "old": ("load_items", "TokenStore", "retry_once", "BucketError"),
    "new": ("fetch_items", "TokenVault", "retry_twice", "StorageError"),
    "pattern": ("ClassDef", "FunctionDef", "Import"),
    "statement": ("import logging", "from enum import Enum", "from functools import cache", "import itertools"),
    "note": ("notes/todo.md", "output/result.txt", "docs/draft.md"),
    "text": ("ready for review",),
    "command": ("git stash list",),
}

CASES: Pools = {
    "view": (
        *_paths("src/views", "seat_map lost_luggage timetable boarding_pass"),
        *_paths("app/pages", "orchard beehive greenhouse harvest_plan"),
    ),
    "component": (
        *_paths("src/components", "luggage_tag price_ribbon"),
        *_paths("app/widgets", "hive_gauge rain_meter"),
    ),
    "service": (
        *_paths("src/services", "platform_service luggage_service pollen_service"),
        *_paths("app/providers", "irrigation ticketing weather_feed"),
    ),
    "middleware": (*_paths("src/middleware", "fare_guard quiet_hours"), *_paths("app/chain", "greenlist frost_alarm")),
    "route": (*_paths("src/routes", "departures lost_property"), *_paths("app/urls", "hives seedlings")),
    "module": (
        *_paths("src/railway", "signals couplings shunting"),
        *_paths("app/farm", "irrigator beekeeping compost"),
        *_paths("lib/astro", "eclipses parallax"),
    ),
    "symbol": (
        *("PollenCounter", "ShuntingYard", "EclipseTable", "FrostAlarm", "couple_wagons", "estimate_harvest"),
        *("track_parallax", "water_seedlings", "punch_ticket", "tare_scale", "open_sluice"),
    ),
    "shown": ("SeatMapPage", "LuggageTag", "HiveGauge"),
    "query": ("Wagon", "Seedling", "Parallax", "Sluice", "PollenGrain", "TurnoutSwitch"),
    "at": (*_paths("src/railway", "depot points"), *_paths("lib/astro", "sky_chart")),
    "line": ("61", "73", "119", "142", "208"),
    "column": ("3", "6", "9"),
    "target": ("src/railway/", "app/farm/", "lib/astro/", "app/widgets/", "src/railway/couplings.py"),
    "tests": ("tests/railway/", "tests/farm/", "tests/astro/", "tests/test_couplings.py", "tests/test_beekeeping.py"),
    "folder": ("src/railway", "app/farm", "lib/astro", "app/widgets"),
    "changed": ("src/railway/signals.py", "app/farm/compost.py", "lib/astro/eclipses.py", "app/widgets/hive_gauge.py"),
    "logged": ("src/railway/shunting.py", "app/farm/irrigator.py", "lib/astro", "app/providers"),
    "count": ("9", "11", "13", "17", "21", "25"),
    "old": ("couple_wagons", "SluiceGate", "honey_weight", "PARALLAX_LIMIT", "plan_harvest"),
    "new": ("join_wagons", "WaterGate", "comb_weight", "PARALLAX_BOUND", "schedule_harvest"),
    "pattern": ("ClassDef", "FunctionDef"),
    "callee": ("punch_ticket", "math.hypot", "open_sluice", "tare_scale"),
    "decorator": ("cached_property", "wagon_hook", "frost_safe", "harvest_only"),
    "statement": (
        *("import zoneinfo", "from fractions import Fraction", "from heapq import merge", "import graphlib"),
        *("from decimal import Decimal", "import statistics"),
    ),
    "note": ("logbook/wagons.txt", "logbook/harvest.md", "logbook/stars.txt", "logbook/frost.md"),
    "text": ("the bees are fed", "platform nine is closed", "frost before sunrise", "eclipse at noon"),
    "command": (
        "du -sh lib/astro",
        "wc -l app/farm/compost.py",
        "ls -la logbook",
        "head -n 3 logbook/stars.txt",
        "uname -m",
    ),
}

"""The studio's paths and the functions behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

from topcoat.studio.asked import Asked, Part, Reply
from topcoat.studio.pages.compare import compare_page
from topcoat.studio.pages.data import data, data_file, example_page
from topcoat.studio.pages.lineage import lineage, model_page
from topcoat.studio.pages.overview import overview
from topcoat.studio.pages.phases import phase_page, phases
from topcoat.studio.pages.review import (
    check_text,
    decided_page,
    edit_page,
    review,
    review_list,
    save,
    set_decision,
    take_back,
)
from topcoat.studio.pages.running import (
    check_phase,
    job_page,
    live,
    live_parts,
    make_plan,
    plan_page,
    promote,
    promote_page,
    roll_back,
    rollback_page,
    run_phase,
    start_page,
    write_plan,
)
from topcoat.studio.pages.scores import scores
from topcoat.studio.pages.sessions import session_page, sessions
from topcoat.studio.site import Site

__all__ = ["ROUTES", "STREAMS"]

ROUTES: Mapping[tuple[str, str], Callable[[Site, Asked], Reply]] = {
    ("GET", "/"): overview,
    ("GET", "/lineage"): lineage,
    ("GET", "/models/{model}"): model_page,
    ("GET", "/phases"): phases,
    ("GET", "/phases/{phase}"): phase_page,
    ("GET", "/scores"): scores,
    ("GET", "/compare"): compare_page,
    ("GET", "/data"): data,
    ("GET", "/data/file"): data_file,
    ("GET", "/data/example"): example_page,
    ("GET", "/sessions"): sessions,
    ("GET", "/session"): session_page,
    ("GET", "/review"): review_list,
    ("GET", "/review/{phase}"): review,
    ("GET", "/review/{phase}/edit"): edit_page,
    ("GET", "/review/{phase}/decided"): decided_page,
    ("GET", "/plan"): plan_page,
    ("POST", "/plan"): make_plan,
    ("POST", "/plan/write"): write_plan,
    ("GET", "/phases/{phase}/start"): start_page,
    ("POST", "/phases/{phase}/check"): check_phase,
    ("POST", "/phases/{phase}/run"): run_phase,
    ("GET", "/models/{model}/promote"): promote_page,
    ("POST", "/models/{model}/promote"): promote,
    ("GET", "/rollback"): rollback_page,
    ("POST", "/rollback"): roll_back,
    ("GET", "/jobs/{kind}"): job_page,
    ("GET", "/live"): live,
    ("POST", "/review/{phase}/decide"): set_decision,
    ("POST", "/review/{phase}/edit"): save,
    ("POST", "/review/{phase}/check"): check_text,
    ("POST", "/review/{phase}/undo"): take_back,
}
STREAMS: Mapping[str, Callable[[Site, Asked], AsyncIterator[Part]]] = {"/live/parts": live_parts}

"""Every route of the daemon's HTTP port has a row in the table of needs, and each row a route."""

from pathlib import Path
from typing import Any

import pytest

from holdfastd import config
from holdfastd.access.rights import CHANGING, Need
from holdfastd.daemon import Daemon
from holdfastd.web.safe.needs import EVERYBODY, NEEDS, _Guarded, walk
from holdfastd.web.safe.origins import READING
from holdfastd.web.safe.shield import Shield


@pytest.fixture
def routes(tmp_path: Path) -> list[tuple[str, Any]]:
    """Of a whole daemon that has not been started, with their paths."""
    settings = config.load(None, {}, {"data.dir": str(tmp_path / "data")})
    prefixed: Any = Daemon(settings, lambda: settings, {})._http.config.app
    shield = prefixed._app
    assert repr(type(shield)) == repr(Shield), "it is around everything"
    return list(walk(shield._app._app.routes))


def test_every_route_has_a_row_and_every_row_a_route(routes: list[tuple[str, Any]]) -> None:
    served = {(method, path) for path, route in routes for method in route.methods - {"HEAD"}}
    assert served - set(NEEDS) == set(), "say in NEEDS what each of these needs"
    assert set(NEEDS) - served == set(), "these are gone"
    assert len(served) > 30


def test_every_route_asks(routes: list[tuple[str, Any]]) -> None:
    assert [path for path, route in routes if not isinstance(route.app, _Guarded)] == []


def test_nothing_is_changed_by_reading_and_everything_else_asks_for_more() -> None:
    open_rows = {row for row, need in NEEDS.items() if need is EVERYBODY}
    assert {path for method, path in open_rows if method not in READING} == {"/login", "/logout"}
    asking = {
        ("POST", "/jobs/confirm"),
        ("POST", "/jobs/export"),
    }  # forms that are too long for GET
    for (method, path), need in NEEDS.items():
        if method not in READING and (method, path) not in open_rows | asking:
            assert need in CHANGING, (method, path)


def test_counts_alone_lead_to_no_job() -> None:
    for (_, path), need in NEEDS.items():
        if path.startswith(("/jobs", "/api/v1/jobs")) or "{id" in path:
            assert need is not Need.SEE_COUNTS, path

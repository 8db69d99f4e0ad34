"""What an admin has a daemon do to itself by HTTP: what the doctor says, a backup, a reload."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfastd.access.rights import Role
from support.api import Api
from support.daemon import DaemonProcess
from support.keys import new_key
from support.plainbrowser import PlainBrowser

CONFIG = """\
[auth]
required = "on"
[audit]
file = "{audit}"
[backup]
dir = "{backup}"
[http]
label = "{label}"
{more}
"""


class House:
    """A daemon whose configuration is a file, with the keys of an admin and an operator."""

    def __init__(self, folder: Path):
        self._folder = folder
        self.audit = folder / "audit.jsonl"
        self.backups = folder / "backups"
        self.write()
        data = folder / "data"
        self.keys = {role: new_key(data, role.value, role) for role in (Role.ADMIN, Role.OPERATOR)}
        self.daemon = DaemonProcess(data, "--config", str(folder / "config.toml"))

    def write(self, label: str = "", more: str = "", backup: Path | str | None = None) -> None:
        where = self.backups if backup is None else backup
        text = CONFIG.format(audit=self.audit, backup=where, label=label, more=more)
        (self._folder / "config.toml").write_text(text)

    def api(self, role: Role = Role.ADMIN) -> Api:
        return Api(self.daemon.http_address, self.keys[role])

    def browser(self) -> PlainBrowser:
        bearer = {"Authorization": f"Bearer {self.keys[Role.ADMIN]}"}
        return PlainBrowser(self.daemon.http_address, bearer)

    def audited(self) -> list[tuple[str, str, str]]:
        """Command, who, and what came of it; of what has a key."""
        lines = [json.loads(line) for line in self.audit.read_text().splitlines()]
        return [(line["command"], line["key"], line["result"]) for line in lines if "key" in line]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def until(is_so: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = is_so()
        if found:
            return found
        time.sleep(0.05)  # the other side is another process
    raise AssertionError("it did not come to be in time")


def test_the_doctor_looks_at_what_runs_and_its_report_is_on_the_page_and_a_file(
    house: House,
) -> None:
    with house.daemon as daemon, house.browser() as browser:
        assert "It looks for the first time" in browser.get("/server").text
        report = house.api().get("/server/doctor").body
        assert report["checks"]["daemon"]["pid"] == daemon.pid
        assert report["checks"]["database"]["epoch"] == 1
        assert "is not set" not in report["checks"]["backup"]["text"], "it is in the file"
        assert report["status"] in ("ok", "warn")
        page = browser.get("/server")
        assert f"runs, pid {daemon.pid}" in page.text
        file = browser.get("/server/doctor")
        assert "attachment" in file.headers["content-disposition"]
        assert json.loads(file.source) == report
        assert house.api(Role.OPERATOR).get("/server/doctor").body == report, "it looked once"
        asked = browser.get(page.link("Look again"))
        browser.submit(asked, asked.form("/do/server/doctor"))
        until(lambda: house.api().get("/server/doctor").body["at_ms"] > report["at_ms"])
        assert "ERROR" not in daemon.log()


def test_a_backup_is_made_when_it_is_asked_for(house: House) -> None:
    with house.daemon, house.browser() as browser:

        def made() -> list[str]:
            return [path.name for path in house.backups.glob("holdfast-auto-*.db")]

        until(lambda: len(made()) == 1)  # the schedule's first
        until(lambda: not house.api().get("/server").body["backup"]["is_being_made"])
        asked = browser.get(browser.get("/server").link("Back up now"))
        browser.submit(asked, asked.form("/do/server/backup"))
        until(lambda: len(made()) == 2)
        until(lambda: house.api().get("/server").body["backup"]["made"] == 2)
        assert house.api().post("/server/backup").status == 202
        until(lambda: house.api().get("/server").body["backup"]["made"] == 3)
        assert house.api(Role.OPERATOR).post("/server/backup").status == 403
        assert [entry for entry in house.audited() if entry[0] == "BACKUP"] == [
            ("BACKUP", "admin", "ok")
        ] * 2


def test_without_a_place_for_backups_there_is_no_button_and_a_reason(house: House) -> None:
    house.write(backup="")
    with house.daemon, house.browser() as browser:
        assert [a for a in browser.get("/server").root.all("a") if a.text == "Back up now"] == []
        refused = house.api().post("/server/backup")
        assert (refused.status, refused.code) == (409, "WRONG_STATE")
        assert "set backup.dir" in refused.message
        asked = browser.get("/do/server/backup")
        assert browser.submit(asked, asked.form("/do/server/backup")).status == 409
        assert house.audited()[-1] == ("BACKUP", "admin", "refused")


def test_a_reload_puts_all_into_force_or_nothing_and_says_why(house: House) -> None:
    with house.daemon, house.browser() as browser:
        house.write(label="production")
        done = house.api().post("/server/reload")
        assert (done.status, done.body) == (200, {"changed": ["http.label"], "needs_restart": []})
        assert "production" in browser.get("/server").source
        house.write(label="broken", more="colour = 1")
        refused = house.api().post("/server/reload")
        assert (refused.status, refused.code) == (409, "WRONG_STATE")
        assert "http.colour is no key" in refused.message
        asked = browser.get(browser.get("/server").link("Reload"))
        again = browser.submit(asked, asked.form("/do/server/reload"))
        assert again.status == 409
        assert "nothing was changed" in again.text
        assert "broken" not in browser.get("/server").root.one("header").text
        assert house.api(Role.OPERATOR).post("/server/reload").status == 403
        entries = [entry for entry in house.audited() if entry[0] == "RELOAD"]
        results = [("RELOAD", "admin", result) for result in ("ok", "refused", "refused")]
        assert entries == results

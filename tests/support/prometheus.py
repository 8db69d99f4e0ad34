"""A real Prometheus and its promtool (Debian: `prometheus`; .ci/run only unpacks the package).

Where they are not there, the tests that need them are left out and say so;
HOLDFAST_NEEDS=prometheus (our CI sets it) makes that an error.
"""

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final, Self

from support import monitoring
from support.daemon import ReservedPort
from support.needs import need

SERVER: Final = shutil.which("prometheus")
PROMTOOL: Final = shutil.which("promtool")
MISSING: Final = "prometheus and promtool are not in the PATH: nothing can scrape the daemon"
PATIENCE_S: Final = 30.0


def need_prometheus() -> None:
    """See `support.needs`."""
    need("prometheus", SERVER is not None and PROMTOOL is not None, MISSING)


def promtool(*arguments: str, stdin: bytes = b"") -> tuple[int, str]:
    """Returns its exit code and all it said."""
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, *arguments],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode()


class Prometheus:
    """One with the configuration of deploy/prometheus, that scrapes another address each second."""

    def __init__(self, directory: Path, target: str):
        """target: HOST:PORT of a daemon's HTTP port."""
        directory.mkdir()
        shutil.copy(monitoring.PROMETHEUS / "alerts.yml", directory)
        text = (monitoring.PROMETHEUS / "prometheus.yml").read_text()
        changed = text.replace("127.0.0.1:4654", target).replace("15s", "1s")
        assert target in changed
        self._config = directory / "prometheus.yml"
        self._config.write_text(changed)
        self._log = directory / "prometheus.log"
        self._port = ReservedPort()
        self._address = self._port.address
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        assert SERVER is not None
        command = [
            SERVER,
            f"--config.file={self._config}",
            f"--storage.tsdb.path={self._config.parent / 'data'}",
            f"--web.listen-address={self._address}",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(15)

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API. Raises OSError, HTTPError among them."""
        url = f"http://{self._address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["data"]

    def ask(self, query: str) -> dict[tuple[str, ...], float]:
        """What a PromQL query gives now: label values in order of the labels' names -> number."""
        result = self.get("query", query=query)["result"]
        return {
            tuple(value for _, value in sorted(each["metric"].items())): float(each["value"][1])
            for each in result
        }

    def wait_for(self, query: str, expected: dict[tuple[str, ...], float]) -> None:
        """Ask until it answers so. Raises AssertionError with the last answer, and its log."""
        deadline = time.monotonic() + PATIENCE_S
        found: object = None
        while time.monotonic() < deadline:
            try:
                found = self.ask(query)
            except OSError as error:
                found = error
            if found == expected:
                return
            time.sleep(0.1)  # it is another process, which asks once a second
        raise AssertionError(f"{query} gives {found}, not {expected}\n{self._log.read_text()}")

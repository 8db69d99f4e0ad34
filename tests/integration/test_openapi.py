"""The API's description: it is whole, it is right, and schemathesis finds nothing in a daemon."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from holdfastd.web.api.schema import KEYWORDS
from holdfastd.web.safe.needs import NEEDS
from support.api import PREFIX, Api
from support.daemon import DaemonProcess

CHECKS: Final = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,unsupported_method,negative_data_rejection"
)
"""Not positive_data_acceptance: a query may be a text, and still be no query."""
HELD: Final = "(events|wait)$"
"""These wait for what does not happen here; test_api_events.py asks them."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path_factory.mktemp("described") / "data") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def document(daemon: DaemonProcess) -> dict[str, Any]:
    found: dict[str, Any] = Api(daemon.http_address).get("/openapi.json").body
    return found


def narrowed(document: dict[str, Any]) -> dict[str, Any]:
    """Of queues and jobs that are there, so that more is reached than their absence."""
    found = copy.deepcopy(document)
    names = {"queue": ["mail", "photos"], "id": ["a", "b/c", "d", "e", "gone"]}
    for methods in found["paths"].values():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path" and parameter["name"] in names:
                    parameter["schema"]["enum"] = names[parameter["name"]]
    return found


def examine(
    daemon: DaemonProcess, document: dict[str, Any], folder: Path, *more: str
) -> subprocess.CompletedProcess[str]:
    path = folder / "openapi.json"
    path.write_text(json.dumps(document))
    url = f"http://{daemon.http_address}"
    program = [sys.executable, "-m", "schemathesis.cli", "run", str(path), "--url", url]
    flags = ["--checks", CHECKS, "--exclude-path-regex", HELD, "--seed", "6", "--no-color"]
    phases = ["--phases", "fuzzing", "--max-examples", "3", "--workers", "2"]
    return subprocess.run(
        [*program, *flags, *phases, *more],
        capture_output=True,
        text=True,
        timeout=90,
        cwd=folder,
        check=False,
    )


def test_schemathesis_finds_nothing(
    daemon: DaemonProcess, document: dict[str, Any], tmp_path: Path
) -> None:
    api = Api(daemon.http_address)
    for queue in ("mail", "photos"):
        for id in ("a", "b/c", "d", "e"):
            assert api.post(f"/queues/{queue}/jobs", {"name": "n", "id": id}).status == 201
    examined = examine(daemon, narrowed(document), tmp_path)
    assert examined.returncode == 0, examined.stdout[-4000:]
    assert "failed" not in examined.stdout.rpartition("Test cases:")[2]
    assert "bug" not in daemon.log()


def test_schemathesis_would_find_what_is_wrong(
    daemon: DaemonProcess, document: dict[str, Any], tmp_path: Path
) -> None:
    """The same with a description that is wrong in one place."""
    wrong = copy.deepcopy(document)
    wrong["paths"] = {f"{PREFIX}/workers": wrong["paths"][f"{PREFIX}/workers"]}
    answer = wrong["paths"][f"{PREFIX}/workers"]["get"]["responses"]["200"]
    answer["content"]["application/json"]["schema"]["properties"]["workers"] = {"type": "string"}
    examined = examine(daemon, wrong, tmp_path)
    assert examined.returncode == 1, examined.stdout[-4000:]
    assert "violates schema" in examined.stdout


def test_a_schema_promises_nothing_that_is_not_checked(document: dict[str, Any]) -> None:
    unknown: set[str] = set()

    def walk(schema: dict[str, Any]) -> None:
        unknown.update(set(schema) - KEYWORDS)
        for inner in schema.get("properties", {}).values():
            walk(inner)
        if "items" in schema:
            walk(schema["items"])

    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                walk(parameter["schema"])
            if "requestBody" in operation:
                walk(operation["requestBody"]["content"]["application/json"]["schema"])
    assert unknown == set()
    walk({"properties": {"a": {"items": {"multipleOf": 3}}}})
    assert unknown == {"multipleOf"}


def test_every_route_is_described_and_asks_for_a_right(document: dict[str, Any]) -> None:
    described = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    assert described == {asked for asked in NEEDS if asked[1].startswith(PREFIX)}


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    every = [each for methods in document["paths"].values() for each in methods.values()]
    names = [each["operationId"] for each in every]
    assert len(names) == len(set(names)) > 30
    assert all("roles" in each["description"] for each in every)

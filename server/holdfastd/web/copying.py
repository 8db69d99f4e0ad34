"""A job as something to paste: how to add one like it, from Python, curl and the command line."""

import json
import shlex
from collections.abc import Mapping
from typing import Any


def copies(job: Mapping[str, Any]) -> dict[str, str]:
    """By "python", "curl", "cli". job: as `told.whole_job` gives it."""
    return {"python": _python(job), "curl": _curl(job), "cli": _cli(job)}


def _python(job: Mapping[str, Any]) -> str:
    options = "".join(f", {name}={value!r}" for name, value in _options(job).items())
    return (
        "from holdfast import Queue\n\n"
        f"queue = Queue({job['queue']!r})\n"
        f"queue.add({job['name']!r}, {job['data']!r}{options})"
    )


def _curl(job: Mapping[str, Any]) -> str:
    body = {"name": job["name"], "data": job["data"], **_options(job)}
    return (
        f"curl http://127.0.0.1:4654/api/v1/queues/{job['queue']}/jobs \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}"
    )


def _cli(job: Mapping[str, Any]) -> str:
    data = shlex.quote(json.dumps(job["data"], ensure_ascii=False))
    words = ["holdfast add", job["queue"], shlex.quote(job["name"]), data]
    for name, value in _options(job).items():
        for each in value if isinstance(value, list) else [value]:
            flag = name.removesuffix("s") if isinstance(value, list) else name
            words.append(f"--{flag} {shlex.quote(str(each))}")
    return " ".join(words)


def _options(job: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not the defaults."""
    found: dict[str, Any] = {}
    if job["priority"]:
        found["priority"] = job["priority"]
    if job["attempts"] != 1:
        found["attempts"] = job["attempts"]
    if job["tags"]:
        found["tags"] = job["tags"]
    return found

"""Alerts, dashboard and their pages name only what there is."""

import re
from typing import Final

import pytest

from support.metrics import exported, series_names
from support.monitoring import (
    ALERT_NAMES,
    ALERTS,
    ALERTS_TEST,
    DASHBOARD,
    RECORDED,
    ROOT,
    expressions,
)

MONITOR = (ROOT / "docs" / "how-to" / "monitor.md").read_text()

OF_PROMETHEUS: Final = {"job", "instance", "le", "alertname", "alertstate", "severity"}
"""Labels that it adds, or that are in no series but buckets."""


SOURCES: Final = {
    "alerts.yml": ALERTS,
    "alerts_test.yml": ALERTS_TEST,
    "monitor.md": MONITOR,
    "holdfast.json": "\n".join(expressions(DASHBOARD)),
}


def names_in(text: str) -> set[str]:
    found = set(re.findall(r"(?<![:\w/])(?:holdfast|process)_[a-z_]+\b(?!\.\w)", text))
    return found - {"holdfast_"}


def unknown_names(text: str, known: set[str]) -> set[str]:
    return names_in(text) - known


def unknown_labels(text: str, labels_of: dict[str, set[str]]) -> set[tuple[str, str]]:
    """(series, label) of matchers and groupings whose series has no such label."""
    found = set()
    for name, matchers in re.findall(r"\b((?:holdfast|process)_\w+)\{([^}]*)\}", text):
        for label in re.findall(r"(\w+)(?:=~|!~|!=|=)", matchers):
            if label not in labels_of.get(name, set()) | OF_PROMETHEUS:
                found.add((name, label))
    for grouping, name in re.findall(
        r"by \(([^)]*)\) \((?:rate|increase)?\(?((?:holdfast|process)_\w+)", text
    ):
        for label in re.split(r",\s*", grouping):
            if label not in labels_of.get(name, set()) | OF_PROMETHEUS:
                found.add((name, label))
    return found


async def known_labels() -> dict[str, set[str]]:
    """By series, with what a histogram has behind its name."""
    return {
        name + ending: labels
        for name, (_, labels) in (await exported()).items()
        for ending in ("", "_bucket", "_sum", "_count")
    }


@pytest.mark.parametrize("source", SOURCES)
async def test_every_metric_that_is_named_is_exported(source: str) -> None:
    known = await series_names() | set(await exported())
    assert len(names_in(SOURCES[source])) > 10
    assert unknown_names(SOURCES[source], known) == set()
    assert unknown_names("rate(holdfast_jobs_total[5m])", known) == {"holdfast_jobs_total"}


@pytest.mark.parametrize("source", SOURCES)
async def test_every_label_that_is_asked_for_is_there(source: str) -> None:
    labels = await known_labels()
    assert unknown_labels(SOURCES[source], labels) == set()
    wrong = 'sum by (queue, le) (rate(holdfast_commands_total{status="ok",state="x"}[5m]))'
    assert unknown_labels(wrong, labels) == {
        ("holdfast_commands_total", "state"),
        ("holdfast_commands_total", "queue"),
    }


def test_every_alert_has_a_section_and_points_to_it() -> None:
    sections = re.findall(r"^### (\w+)$", MONITOR, re.M)
    assert sections == ALERT_NAMES
    runbooks = re.findall(r'runbook: "(\S+)"', ALERTS)
    assert runbooks == [f"docs/how-to/monitor.md#{name.lower()}" for name in ALERT_NAMES]


def test_every_section_says_what_it_means_what_to_look_at_and_what_to_do() -> None:
    for section in re.split(r"^### ", MONITOR, flags=re.M)[1:]:
        name, *paragraphs = section.strip().split("\n\n")
        assert len(paragraphs) == 3, name


def test_every_alert_is_tried_out_both_ways() -> None:
    fires = set(re.findall(r"alertname=\"(\w+)\"", ALERTS_TEST))
    assert fires == set(ALERT_NAMES)
    for name in RECORDED:
        assert name in ALERTS_TEST


def test_panels_of_the_dashboard_do_not_overlap_and_have_titles() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))

"""A real Prometheus scrapes a real daemon, with the rules and the dashboard that we ship."""

import re
import urllib.request
from pathlib import Path

import pytest

from holdfast import Queue
from support.daemon import DaemonProcess
from support.monitoring import ALERT_NAMES, DASHBOARD, PROMETHEUS, RECORDED, expressions
from support.prometheus import Prometheus, need_prometheus, promtool

VARIABLES = {"$instance": ".*", "$queue": ".*", "$__rate_interval": "1m"}


@pytest.fixture(autouse=True)
def _prometheus() -> None:
    need_prometheus()


@pytest.mark.slow
def test_prometheus_scrapes_the_daemon_and_answers_for_it(
    tmp_path: Path, daemon: DaemonProcess
) -> None:
    with Queue("mail", url=daemon.url) as queue:
        queue.add_many([("send", number) for number in range(7)])
        with Prometheus(tmp_path / "prometheus", daemon.http_address) as prometheus:
            waiting = 'sum by (queue) (holdfast_queue_jobs{state="waiting"})'
            prometheus.wait_for(waiting, {("mail",): 7})
            queue.add("send", 8)
            prometheus.wait_for(waiting, {("mail",): 8})
            added = 'sum by (job, result) (holdfast_jobs_enqueued_total{queue="mail"}) > 0'
            assert prometheus.ask(added) == {("holdfast", "accepted"): 8}
            quantile = "histogram_quantile(1, holdfast_command_duration_seconds_bucket)"
            assert 0 < max(prometheus.ask(quantile).values()) < 1
            pending = 'count by (alertname) (ALERTS{alertstate="pending"})'
            prometheus.wait_for(pending, {("HoldfastQueueHasNoWorkers",): 1})
            _rules_are_sound(prometheus)
            _types_are_known(prometheus)
            for query in _queries_of_the_dashboard():
                prometheus.ask(query)  # raises where it is no PromQL


def _rules_are_sound(prometheus: Prometheus) -> None:
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {*ALERT_NAMES, *RECORDED}
    assert [rule for rule in rules if rule.get("lastError")] == []


def _types_are_known(prometheus: Prometheus) -> None:
    told = {each["metric"]: each for each in prometheus.get("targets/metadata")}
    assert told["holdfast_job_wait_seconds"]["type"] == "histogram"
    assert told["holdfast_jobs_enqueued"]["type"] == "counter"  # so OpenMetrics names it
    assert all(each["help"] for each in told.values())


def _queries_of_the_dashboard() -> list[str]:
    queries = []
    for query in expressions(DASHBOARD["panels"]):
        for variable, value in VARIABLES.items():
            query = query.replace(variable, value)
        assert "$" not in query
        queries.append(query)
    assert len(queries) > 30
    return queries


def test_promtool_finds_nothing_wrong_with_the_names_of_the_metrics(
    daemon: DaemonProcess,
) -> None:
    with urllib.request.urlopen(f"http://{daemon.http_address}/metrics") as answer:
        page = answer.read()
    assert promtool("check", "metrics", stdin=page) == (0, "")
    wrong = page.replace(b"holdfast_network_bytes_total", b"holdfast_network_bytes")
    code, said = promtool("check", "metrics", stdin=wrong)
    assert code != 0
    assert "holdfast_network_bytes" in said


def test_promtool_takes_the_configuration_and_the_rules() -> None:
    code, said = promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))
    assert code == 0, said
    rule_count = len(ALERT_NAMES) + len(RECORDED)
    assert f"SUCCESS: {rule_count} rules found" in said


@pytest.mark.slow
def test_each_alert_fires_in_its_case_and_not_otherwise() -> None:
    code, said = promtool("test", "rules", str(PROMETHEUS / "alerts_test.yml"))
    assert code == 0, said


@pytest.mark.slow
def test_an_alert_that_does_not_know_of_pauses_is_found_out(tmp_path: Path) -> None:
    rules = (PROMETHEUS / "alerts.yml").read_text()
    broken = re.sub(r"\n +and on \(instance, queue\) holdfast_queue_paused == 0", "", rules)
    assert broken != rules
    (tmp_path / "alerts.yml").write_text(broken)
    tests = (PROMETHEUS / "alerts_test.yml").read_text()
    (tmp_path / "alerts_test.yml").write_text(tests)
    code, said = promtool("test", "rules", str(tmp_path / "alerts_test.yml"))
    assert code != 0
    assert "HoldfastQueueHasNoWorkers" in said
    assert "HoldfastQueueLatencyHigh" in said

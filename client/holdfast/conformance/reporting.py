"""Results as lines for people, or as one JSON document."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from holdfast.conformance.checks import BEYOND_A_CLIENT, Check
from holdfast.conformance.runner import Result
from holdfast.wire.constants import ERROR_CODES, ErrorCode

OUTCOMES = ("passed", "failed", "skipped")


def lines_of(result: Result, *, is_verbose: bool) -> list[str]:
    """What to print of one check."""
    head = "FAILED" if result.outcome == "failed" else result.outcome
    lines = [f"{head:<8} {result.check.id:<32} {result.check.sentence}"]
    if result.why:
        lines.append(f"         {result.why}")
    if result.failure is not None:
        lines += [
            f"         protocol.md, {result.check.section}",
            f"         sent     {result.failure.sent}",
            f"         expected {result.failure.expected}",
            f"         came     {result.failure.came}",
        ]
    if is_verbose:
        lines += [f"         {line}" for line in result.transcript]
    return lines


def total_of(results: Sequence[Result]) -> str:
    counts = Counter(result.outcome for result in results)
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES)


def listed(check: Check) -> str:
    return f"{check.id:<32} {check.sentence}"


def check_map(check: Check) -> dict[str, Any]:
    about = sorted(subject.name for subject in check.about)
    return {
        "id": check.id,
        "sentence": check.sentence,
        "section": check.section,
        "about": about,
    }


def result_map(result: Result) -> dict[str, Any]:
    failure = result.failure
    found = None
    if failure is not None:
        found = {"sent": failure.sent, "expected": failure.expected, "came": failure.came}
    return {
        **check_map(result.check),
        "outcome": result.outcome,
        "failure": found,
        "why_skipped": result.why or None,
        "seconds": round(result.seconds, 3),
        "met": sorted(subject.name for subject in result.met),
        "transcript": result.transcript,
    }


def codes_map(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Every error code: whether to try again, which checks are about it, or why none is."""
    return [
        {
            "code": int(code),
            "name": code.name,
            "retry": ERROR_CODES[code].retryable,
            "checks": [check.id for check in checks if code in check.about],
            "beyond": BEYOND_A_CLIENT.get(code),
        }
        for code in ErrorCode
    ]

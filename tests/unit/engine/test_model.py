"""model.py: the nouns, and numbers that stand twice, since the engine knows no wire."""

from holdfast.wire import constants
from holdfastd.engine import following, model, working
from holdfastd.engine.events import EventNumber
from holdfastd.engine.model import NO_SESSION, NO_TOKEN, Change, FailReason, State
from holdfastd.engine.policy import DELAY_MS_MAX
from support.engine import bare_job


def test_the_engines_numbers_are_those_of_the_protocol() -> None:
    assert {s.name: s.value for s in State} == {s.name: s.value for s in constants.State}
    wire_reasons = {reason.name: reason.value for reason in constants.FailReason}
    assert {r.name: r.value for r in FailReason if r} == wire_reasons
    kinds = {name: value for name, value in vars(EventNumber).items() if name[0] != "_"}
    assert kinds == {kind.name: kind.value for kind in constants.EventKind}
    assert model.TOKEN_COUNTER_BITS == constants.TOKEN_COUNTER_BITS
    assert working.LOG_LINES_PER_JOB_MAX == constants.LOG_LINES_PER_JOB_MAX
    assert DELAY_MS_MAX == constants.DELAY_MS_MAX
    assert following.WAITS_PER_SESSION_MAX == constants.WAITS_PER_SESSION_MAX


def test_an_attempt_is_counted_by_what_ended_in_an_error_or_a_loss() -> None:
    job = bare_job(1)
    assert job.attempt == 1
    job.failures, job.crashes, job.releases = 2, 3, 50
    assert job.attempt == 6


def test_of_two_jobs_with_one_key_neither_comes_first() -> None:
    """So that a heap can hold them."""
    assert not bare_job(1) < bare_job(2)
    assert not bare_job(2) < bare_job(1)


def test_a_new_job_has_had_no_attempt_and_is_in_no_place() -> None:
    job = bare_job(1)
    assert (job.failures, job.crashes, job.releases, job.log_lines) == (0, 0, 0, 0)
    assert (job.started_at_ms, job.finished_at_ms) == (0, 0)
    assert (job.token, job.session, job.fail_reason) == (NO_TOKEN, NO_SESSION, FailReason.NONE)
    assert (job.result, job.progress, job.place, job.change) == (None, None, None, Change.NONE)
    assert not job.is_removed

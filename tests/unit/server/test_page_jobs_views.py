"""What the pages on jobs make of what the board gives: addresses, facets, timeline, results."""

from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from holdfast.wire.checks import Refusal
from holdfastd.web.acting.everywhere import Chosen
from holdfastd.web.pages import actions, asking, everywhere, facets, timeline
from holdfastd.web.pages.addform import like, read
from holdfastd.web.pages.jobrefs import JobRef, job_ref, job_url, parse_ref
from holdfastd.web.pages.kinds import KINDS

NOW_MS = 1_800_000_000_000

IDS = [
    "plain",
    "a/b",
    "/",
    "a b",
    "100%",
    "%2F",
    "?x=1",
    "#x",
    "..a",
    "../x",
    "ü🚢",
    '"<>&',
    "a;b",
    "\\",
]


@pytest.mark.parametrize("id", IDS)
def test_any_id_is_one_part_of_an_address_and_comes_back(id: str) -> None:
    path = urlsplit(job_url("mail", id)).path
    assert path.count("/") == 3
    assert unquote(path) == f"/jobs/mail/{id}"


@pytest.mark.parametrize("id", [".", ".."])
def test_an_id_that_a_browser_takes_for_a_folder_is_in_the_query(id: str) -> None:
    assert job_url("mail", id) == f"/jobs/mail/?id={id}"


@pytest.mark.parametrize("id", [*IDS, ".", ".."])
def test_a_job_in_a_form_comes_back_as_it_was(id: str) -> None:
    text = job_ref({"state": "failed", "queue": "mail", "id": id})
    assert parse_ref(text) == JobRef("mail", id, "failed")


@pytest.mark.parametrize("text", ["", "failed/mail", "failed/mail/", "gone/mail/1", "/mail/1"])
def test_what_names_no_job_is_refused(text: str) -> None:
    with pytest.raises(Refusal):
        parse_ref(text)


def counted(**by: list[tuple[str, int]]) -> dict[str, Any]:
    return {
        "total": sum(n for _, n in by.get("state", [])),
        "is_exact": True,
        "is_sampled": False,
        "by": by,
    }


def test_facets_lead_to_the_query_with_one_more_term_and_back() -> None:
    view = facets.view("queue:mail", counted(state=[("failed", 3)], queue=[("mail", 3)]))
    state, queue = view.groups
    failed = next(choice for choice in state.choices if choice.value == "failed")
    assert (failed.count, failed.is_picked) == (3, False)
    assert unquote(failed.url) == "/jobs?q=state:failed+queue:mail"
    assert queue.choices[0].is_picked
    assert queue.choices[0].url == "/jobs"
    assert next(choice for choice in state.choices if choice.value == "active").count == 0


def test_a_picked_value_that_no_job_has_can_still_be_taken_out() -> None:
    view = facets.view("tag:gone", counted())
    (tag,) = [group for group in view.groups if group.key == "tag"]
    assert [(choice.value, choice.count, choice.is_picked) for choice in tag.choices] == [
        ("gone", 0, True)
    ]


def test_other_states_are_not_said_to_be_none_when_one_is_picked() -> None:
    view = facets.view("state:failed", counted(state=[("failed", 3)]))
    counts = {choice.value: choice.count for choice in view.groups[0].choices}
    assert counts["failed"] == 3
    assert counts["active"] is None


def events(count: int, event: str = "delayed") -> list[dict[str, Any]]:
    return [
        {"at_ms": NOW_MS + 1_000 * n, "event": event, "attempt": n, "text": ""}
        for n in range(count)
    ]


def test_a_step_lasts_until_the_next_and_the_last_until_now() -> None:
    made = timeline.steps(events(3), NOW_MS + 5_000, is_over=False)
    assert [step.lasted_ms for step in made] == [1_000, 1_000, 3_000]
    assert [step.is_now for step in made] == [False, False, True]
    over = timeline.steps(events(3), NOW_MS + 5_000, is_over=True)
    assert over[-1].lasted_ms is None
    moments = timeline.steps(events(3, "failed"), NOW_MS + 5_000, is_over=True)
    assert [step.lasted_ms for step in moments] == [None, None, None]


def test_a_clock_that_was_set_back_makes_no_negative_length() -> None:
    back = [{**events(1)[0], "at_ms": NOW_MS + 9_000}, *events(1)]
    assert [step.lasted_ms for step in timeline.steps(back, NOW_MS, is_over=True)] == [None, None]


def test_the_middle_of_a_long_life_is_folded_and_nothing_is_lost() -> None:
    made = timeline.steps(events(300), NOW_MS, is_over=True)
    assert len(made) == timeline.HEAD + 1 + timeline.TAIL
    unfolded = [inner for step in made for inner in step.folded or [step]]
    assert [step.attempt for step in unfolded] == list(range(300))


def action(**changed: Any) -> dict[str, Any]:
    return {
        "id": "a1", "kind": "retry", "found": 1_217, "done": 1_204, "skipped": 13, "failed": [],
        "state": "done", "starts_at_ms": NOW_MS, "params": {}, "why": "", "query": None,
        "queues": None, "can_undo": False, **changed,
    }  # fmt: skip


def test_a_result_says_what_was_done_and_who_had_moved_on() -> None:
    view = actions.view(action(), NOW_MS)
    assert view.title == "1,204 retried, 13 had moved on"
    assert view.is_over
    assert not view.is_bad


def test_those_of_all_that_match_that_were_not_found_any_more_had_moved_on() -> None:
    view = actions.view(action(query="state:failed", done=1_210, skipped=0), NOW_MS)
    assert view.title == "1,210 retried, 7 had moved on"
    more = actions.view(action(query="state:failed", done=1_300, skipped=0), NOW_MS)
    assert more.title == "1,300 retried"


def test_nothing_done_is_no_success() -> None:
    view = actions.view(action(done=0, skipped=1), NOW_MS)
    assert view.is_bad
    assert "no longer in the state that you saw" in view.text


def test_an_action_that_has_not_begun_says_when_and_can_be_undone() -> None:
    pending = action(state="pending", done=0, starts_at_ms=NOW_MS + 4_200, can_undo=True)
    view = actions.view(pending, NOW_MS)
    assert view.title == "Retrying 1,217 jobs in 5 s"
    assert view.can_undo
    assert not view.is_over


def test_what_can_be_undone_afterwards_says_so() -> None:
    pause = action(kind="pause", queues="*", done=8, skipped=0, found=8, can_undo=True)
    view = actions.view(pause, NOW_MS)
    assert (view.title, view.can_undo, view.is_over) == ("8 queues paused", True, True)
    assert "Undo is for those that were changed" in view.text
    undone = {**pause, "state": "undone", "can_undo": False}
    assert actions.view(undone, NOW_MS).title == "Undone: 8 queues as before"
    never = action(state="undone", done=0, skipped=0, query="")
    assert actions.view(never, NOW_MS).title == "Undone: nothing has happened"
    cancelled = actions.view(action(kind="cancel", skipped=0, found=1_204), NOW_MS)
    assert cancelled.text.startswith("A retry brings them back")
    assert actions.view(action(kind="delete", skipped=0, found=1_204), NOW_MS).text == ""


def test_a_question_about_all_queues_has_their_number_and_their_jobs() -> None:
    asked = everywhere.ask("pause", Chosen(["a", "b"], 1_204, 1))
    assert asked.title == "Pause all 2 queues?"
    assert "1,204 jobs will wait" in asked.text
    assert "1 queue is paused already" in asked.text
    assert everywhere.ask("resume", Chosen(["a"], 1, 0)).button == "Resume this one queue"


def test_a_running_action_shows_its_share() -> None:
    view = actions.view(action(state="running", done=300, skipped=0, found=1_200), NOW_MS)
    assert view.share == 250
    assert not view.can_undo


def test_a_question_says_how_many_it_touches_and_who_is_passed_over() -> None:
    refs = [JobRef("mail", "1", "failed"), JobRef("mail", "2", "active")]
    asked = asking.ask("retry", asking.among(KINDS["retry"], refs), [], "/jobs")
    assert asked.title == "Retry 1 job?"
    assert asked.skipped.startswith("1 job will be passed over")
    all_of_them = asking.matching(
        KINDS["delete"], {"total": 1_204, "is_exact": False, "by": {"state": [("failed", 1_204)]}}
    )
    asked = asking.ask("delete", all_of_them, [], "/jobs")
    assert asked.title == "Delete all jobs that match (1,204 or more)?"
    assert asked.is_danger


def test_a_form_is_a_job_or_says_what_is_wrong_with_each_field() -> None:
    values = {
        "name": "resize", "data": '{"n": 9007199254740993}', "when": "10m", "priority": "-2",
        "attempts": "5", "backoff": "exponential", "delay": "1s", "cap": "1m", "tags": "eu, x",
    }  # fmt: skip
    form, job = read(values, NOW_MS)
    assert form.errors == {}
    assert job == {
        "name": "resize",
        "data": {"n": 9_007_199_254_740_993},
        "id": None,
        "options": {
            "run_at_ms": NOW_MS + 600_000,
            "priority": -2,
            "attempts": 5,
            "tags": ["eu", "x"],
            "backoff": {
                "kind": "exponential",
                "delay_ms": 1_000,
                "cap_ms": 60_000,
                "jitter": "full",
            },
        },
    }
    wrong = {"data": "{", "when": "soon", "attempts": "0", "backoff": "fixed", "id": "a\x00"}
    form, _ = read(wrong, NOW_MS)
    assert set(form.errors) == {"name", "data", "when", "attempts", "delay", "id"}


def test_a_twin_is_filled_in_as_the_job_was() -> None:
    job = {
        "name": "resize", "data": {"n": 1}, "tags": ["eu"], "priority": 3, "attempts": 5,
        "backoff": {"kind": "exponential", "delay_ms": 1_000, "cap_ms": 60_000, "jitter": "full"},
    }  # fmt: skip
    form, again = read(like(job).values, NOW_MS)
    assert form.errors == {}
    assert again["options"] == {
        "priority": 3, "attempts": 5, "tags": ["eu"], "backoff": job["backoff"],
    }  # fmt: skip
    assert again["id"] is None

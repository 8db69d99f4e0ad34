"""transitions.py: every state and event, in the table or refused."""

import itertools

import pytest

from holdfastd.engine.model import State
from holdfastd.engine.transitions import STARTS, TRANSITIONS, Event, InvariantError, move
from support.engine import bare_job


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_move_is_in_the_table_or_refused(state: State, event: Event) -> None:
    subject = bare_job(1, state)
    expected = TRANSITIONS.get((state, event))
    if expected is None:
        with pytest.raises(InvariantError, match="is not in the table"):
            move(subject, event)
        assert subject.state is state
    else:
        assert move(subject, event) == (state, expected)
        assert subject.state is expected


def test_a_move_that_is_no_move_says_which() -> None:
    with pytest.raises(InvariantError, match="job 1 is COMPLETED: ack is not in the table"):
        move(bare_job(1, State.COMPLETED), Event.ACK)


def test_the_table_is_that_of_the_states_a_user_sees() -> None:
    """Which state can follow upon which."""
    found = {state: {to for (of, _), to in TRANSITIONS.items() if of is state} for state in State}
    ended = {State.COMPLETED, State.FAILED, State.CANCELLED}
    assert found == {
        State.WAITING: {State.ACTIVE, State.DELAYED, State.FAILED, State.CANCELLED},
        State.DELAYED: {State.WAITING, State.DELAYED, State.CANCELLED},
        State.ACTIVE: {State.WAITING, State.DELAYED, *ended},
        State.BLOCKED: {State.CANCELLED},
        **{state: {State.WAITING} for state in ended},
    }
    assert {State.WAITING, State.DELAYED} == STARTS

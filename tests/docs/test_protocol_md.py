"""protocol.md says what the code does: every table and every golden frame."""

import re
from pathlib import Path

import pytest

from holdfast.packing import pack, unpack
from holdfast.wire import constants
from holdfast.wire.checks import OPTION_CHECKS
from holdfast.wire.constants import ERROR_CODES, EventKind, FailReason, Op, State
from holdfast.wire.frames import FrameDecoder, encode_frame
from holdfast.wire.messages import MESSAGES, decode, encode
from holdfastd.engine import commands
from holdfastd.engine.routes import MUTATING
from holdfastd.engine.transitions import TRANSITIONS

TEXT = (Path(__file__).parents[2] / "protocol.md").read_text()
GOLDEN: dict[str, str] = dict(
    line.split(": ")  # type: ignore[misc]  # two parts each, or the test fails
    for line in re.search(r"```golden\n(.*?)```", TEXT, re.DOTALL)[1].splitlines()  # type: ignore[index]
)


def rows(*head: str) -> list[list[str]]:
    """The rows of the table with these column heads."""
    start = TEXT.index("| " + " | ".join(head) + " |")
    lines = TEXT[start:].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_opcode_with_its_fields() -> None:
    told = {
        int(row[0]): (row[1], re.findall(r"`(\w+)`", row[3]))
        for row in rows("op", "name", "from", "fields after op")
    }
    assert told == {int(op): (op.name, list(cls._fields)) for op, cls in MESSAGES.items()}
    assert set(told) == set(Op)


def test_every_error_code() -> None:
    told = [tuple(row) for row in rows("code", "name", "retry?", "what to do")]
    assert told == [
        (str(int(code)), code.name, "yes" if row.retryable else "no", row.todo)
        for code, row in ERROR_CODES.items()
    ]
    assert set(ERROR_CODES) == set(constants.ErrorCode)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (("number", "state"), State),
        (("number", "reason"), FailReason),
        (("number", "event"), EventKind),
    ],
)
def test_every_number_with_a_name(head: tuple[str, ...], kind: type[State]) -> None:
    assert [tuple(row) for row in rows(*head)] == [(str(int(m)), m.name.lower()) for m in kind]


def test_every_transition() -> None:
    told = {tuple(row) for row in rows("state", "event", "new state")}
    assert told == {
        (state.name.lower(), event.value, after.name.lower())
        for (state, event), after in TRANSITIONS.items()
    }


def test_every_option_and_limit() -> None:
    assert [row[0] for row in rows("option", "value", "default")] == list(OPTION_CHECKS)
    for name, value in rows("limit", "value"):
        assert getattr(constants, name) == int(value)


def test_every_message_has_a_golden_frame() -> None:
    assert set(GOLDEN) == {op.name for op in Op}


@pytest.mark.parametrize("name", list(GOLDEN))
def test_golden_frames_are_read_and_written_to_the_byte(name: str) -> None:
    data = bytes.fromhex(GOLDEN[name])
    (body,) = FrameDecoder(2**20).feed(data)
    message = decode(body)
    assert type(message) is MESSAGES[Op[name]]
    assert encode_frame(encode(message)) == data


def test_the_payload_is_what_the_python_client_makes_of_it() -> None:
    value = {"id": 7, "at": 1_700_000_000_000, "ratio": 0.5, "tags": ["eu"], "raw": b"\x00\xff"}
    (told,) = re.findall(r"```payload\n(\w+)\n```", TEXT)
    assert unpack(bytes.fromhex(told)) == value
    assert pack(value).hex() == told


def test_the_changing_requests_are_those_whose_numbers_are_stored() -> None:
    (told,) = re.findall(r"\*\*Changing requests\*\* are ([A-Z_, ]+), and all of", TEXT)
    administering = TEXT.split("### Administering\n")[1].split("\n##")[0]
    names = {*told.split(", "), *re.findall(r"\*\*([A-Z]+)\*\*", administering)}
    of_schedules = {
        commands.PutSchedule: {"SCHEDULE"},
        commands.RemoveSchedule: {"UNSCHEDULE"},
        commands.PauseSchedule: {"PAUSE_SCHEDULE", "RESUME_SCHEDULE"},
        commands.RunSchedule: {"RUN_SCHEDULE"},
    }
    stored = [of_schedules.get(kind, {kind.__name__.upper()}) for kind in MUTATING]
    assert names == set().union(*stored)

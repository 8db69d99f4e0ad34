"""Which role may send what: the table, and that a real connection holds to it."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from holdfast.wire import messages as wire
from holdfast.wire.checks import Refusal
from holdfast.wire.connection import SERVER_MAY_RECEIVE
from holdfast.wire.constants import ErrorCode
from holdfast.wire.credentials import parse_key, proof_of
from holdfastd.access.door import Door
from holdfastd.access.rights import (
    CHANGING,
    NEEDS,
    RIGHTS,
    Identity,
    Need,
    Rights,
    Role,
    Scope,
    check_metrics,
    matcher,
)
from holdfastd.clock import SystemClock
from holdfastd.config import Config
from holdfastd.net.peer import Peer
from holdfastd.observed import Observed
from holdfastd.service import Service
from holdfastd.store.memory import MemoryStore
from support.keys import new_key
from support.wire import Wire

PROTOCOL: Final = (Path(__file__).parents[3] / "protocol.md").read_text()
FROM_CLIENTS: Final = frozenset().union(*SERVER_MAY_RECEIVE.values())
ROLES: Final = list(Role)

EXAMPLES: Final[dict[type[Any], Any]] = {
    wire.Heartbeat: wire.Heartbeat(1, []),
    wire.Enqueue: wire.Enqueue(1, "mail", [["a", "n", b"x"]]),
    wire.Wait: wire.Wait(1, "mail", "a"),
    wire.Subscribe: wire.Subscribe(1, ["mail"], 0),
    wire.Credit: wire.Credit(1),
    wire.Ack: wire.Ack(1, [[1, "mail", "a", None]]),
    wire.Fail: wire.Fail(1, [[1, "mail", "a", {}, None]]),
    wire.Release: wire.Release(1, [[1, "mail", "a", None]]),
    wire.Extend: wire.Extend(1, [[1, "mail", "a"]]),
    wire.Listen: wire.Listen(1, "mail"),
    wire.Unlisten: wire.Unlisten(1, "mail"),
    wire.Get: wire.Get(1, "mail", "a"),
    wire.List: wire.List(1, "mail", 1),
    wire.Counts: wire.Counts(1, "mail"),
    wire.Remove: wire.Remove(1, "mail", ["a"]),
    wire.Promote: wire.Promote(1, "mail", ["a"]),
    wire.Retry: wire.Retry(1, "mail", ["a"]),
    wire.Change: wire.Change(1, "mail", ["a"], {"priority": 1}),
    wire.Cancel: wire.Cancel(1, "mail", ["a"]),
    wire.Move: wire.Move(1, "mail", ["a"], "mail2"),
    wire.Edit: wire.Edit(1, "mail", "a", b"x"),
    wire.Search: wire.Search(1, "queue:mail"),
    wire.Explain: wire.Explain(1, "mail", "a"),
    wire.Schedules: wire.Schedules(1, "mail"),
    wire.Schedule: wire.Schedule(1, "mail", "s", "n", b"x", {"every_ms": 60_000}, {}),
    wire.Unschedule: wire.Unschedule(1, "mail", "s"),
    wire.PauseSchedule: wire.PauseSchedule(1, "mail", "s"),
    wire.ResumeSchedule: wire.ResumeSchedule(1, "mail", "s"),
    wire.RunSchedule: wire.RunSchedule(1, "mail", "s", "r"),
    wire.Pause: wire.Pause(1, "mail"),
    wire.Resume: wire.Resume(1, "mail"),
    wire.Configure: wire.Configure(1, "mail", {}),
    wire.Drain: wire.Drain(1, "mail"),
    wire.Obliterate: wire.Obliterate(1, "mail"),
}
"""One of each that a connection may send once it is open, about the queue mail."""


# ---- the table -----------------------------------------------------------------------------------


def test_every_message_of_a_client_is_in_the_table_and_no_other() -> None:
    assert set(RIGHTS) == FROM_CLIENTS
    assert set(EXAMPLES) == FROM_CLIENTS - {wire.Identify, wire.Goodbye}


def test_every_message_that_names_a_queue_is_judged_by_it() -> None:
    for kind, right in RIGHTS.items():
        if "queue" in kind._fields:
            is_moving = "target" in kind._fields
            allowed = {Scope.BOTH} if is_moving else {Scope.QUEUE, Scope.LISTING}
            assert right.scope in allowed, kind
        elif "queues" in kind._fields:
            assert right.scope is Scope.QUEUES, kind
        else:
            assert right.scope in (Scope.CONNECTION, Scope.LEASES, Scope.VISIBLE), kind


def test_an_admin_may_do_everything_and_whatever_changes_a_queue_is_audited() -> None:
    assert all(Role.ADMIN in right.roles for right in RIGHTS.values())
    audited = {kind for kind, right in RIGHTS.items() if right.is_audited}
    assert audited == {kind for kind in FROM_CLIENTS if 80 <= op_of(kind) < 128}


def op_of(kind: Any) -> int:
    return next(int(op) for op, message in wire.MESSAGES.items() if message is kind)


def test_protocol_md_has_the_table() -> None:
    told = dict(
        re.findall(r"^\| ([A-Z_]+) \| ((?:yes|no)(?: \| (?:yes|no)){5}) \|$", PROTOCOL, re.M)
    )
    assert "| command | producer | worker | viewer | operator | admin | monitor |" in PROTOCOL
    assert told == {
        wire.name_of(kind): " | ".join("yes" if role in right.roles else "no" for role in ROLES)
        for kind, right in RIGHTS.items()
    }


NEED_OF: Final[dict[Need, set[type[Any]]]] = {
    Need.SEE_COUNTS: {wire.Counts},
    Need.SEE_JOBS: {
        wire.Get,
        wire.List,
        wire.Search,
        wire.Explain,
        wire.Schedules,
        wire.Wait,
        wire.Listen,
        wire.Unlisten,
    },
    Need.ADD: {wire.Enqueue, wire.Schedule, wire.Unschedule},
    Need.ACT: {
        wire.Remove,
        wire.Promote,
        wire.Retry,
        wire.Change,
        wire.Cancel,
        wire.Move,
        wire.Edit,
        wire.Pause,
        wire.Resume,
        wire.Configure,
        wire.PauseSchedule,
        wire.ResumeSchedule,
        wire.RunSchedule,
    },
    Need.DESTROY: {wire.Drain, wire.Obliterate},
}
"""What HTTP does, by what it is on the TCP port."""


def test_a_key_may_do_the_same_on_both_ports() -> None:
    assert set(NEEDS) == set(Need)
    for need, kinds in NEED_OF.items():
        for kind in kinds:
            assert RIGHTS[kind].roles == NEEDS[need], kind
    told = set().union(*NEED_OF.values())
    of_workers = {kind for kind, right in RIGHTS.items() if Role.WORKER in right.roles}
    assert told == set(RIGHTS) - of_workers, "each message is here, or is a worker's"


def test_a_viewer_sees_what_an_operator_sees_and_changes_nothing() -> None:
    viewer = Rights(frozenset({Role.VIEWER}), ("mail*",))
    for need in Need:
        may = need not in CHANGING
        assert (Role.VIEWER in NEEDS[need]) == may
        if may:
            viewer.check_need(need, "mail")
            viewer.check_need(need)
            with pytest.raises(Refusal, match="not for 'other'"):
                viewer.check_need(need, "other")
    with pytest.raises(Refusal, match="to add jobs is for producer, admin: this key is for viewer"):
        viewer.check_need(Need.ADD, "mail")


# ---- patterns ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "allowed", "forbidden"),
    [
        (("mail",), ["mail"], ["mail2", "xmail", "Mail", ""]),
        (("mail*",), ["mail", "mail:eu"], ["xmail", "MAIL"]),
        (("a.b", "c-*"), ["a.b", "c-1"], ["aXb", "c", "c.1"]),
        (("*",), ["", "anything"], []),
    ],
)
def test_a_pattern_is_for_whole_names(
    patterns: tuple[str, ...], allowed: list[str], forbidden: list[str]
) -> None:
    allows = matcher(patterns)
    assert all(map(allows, allowed))
    assert not any(map(allows, forbidden))


def test_one_forbidden_queue_refuses_a_subscription() -> None:
    rights = Rights(frozenset({Role.WORKER}), ("mail*",))
    rights.check(wire.Subscribe(1, ["mail", "mail2"], 1))
    with pytest.raises(Refusal, match=r"for the queues mail\*, not for 'other'"):
        rights.check(wire.Subscribe(1, ["mail", "other"], 1))
    with pytest.raises(Refusal, match="SUBSCRIBE is for worker, admin: this key is for producer"):
        Rights(frozenset({Role.PRODUCER}), ("*",)).check(wire.Subscribe(1, [], 1))


def test_a_move_needs_the_right_to_both_queues() -> None:
    rights = Rights(frozenset({Role.OPERATOR}), ("mail*",))
    rights.check(wire.Move(1, "mail", ["a"], "mail2"))
    for source, target in (("mail", "other"), ("other", "mail")):
        with pytest.raises(Refusal, match=r"for the queues mail\*, not for 'other'"):
            rights.check(wire.Move(1, source, ["a"], target))


def test_what_is_remembered_of_many_queues_is_bounded_and_right() -> None:
    rights = Rights(frozenset({Role.PRODUCER}), ("mail*",))
    for number in range(3_000):
        rights.check(wire.Enqueue(1, f"mail{number}", []))
    assert len(rights._remembered) <= 1_000
    with pytest.raises(Refusal):
        rights.check(wire.Enqueue(1, "other", []))
    with pytest.raises(Refusal):
        rights.check(wire.Pause(1, "mail1"))


def test_metrics_are_for_who_may_see_all_queues() -> None:
    def identity(role: Role, *patterns: str) -> Identity:
        return Identity("n", "i", Rights(frozenset({role}), patterns))

    check_metrics(Identity())
    for role in (Role.MONITOR, Role.VIEWER, Role.OPERATOR, Role.ADMIN):
        check_metrics(identity(role, "*"))
    for wrong in (identity(Role.PRODUCER, "*"), identity(Role.MONITOR, "mail*")):
        with pytest.raises(Refusal, match="/metrics is for viewer, operator, admin, monitor"):
            check_metrics(wrong)


# ---- a connection --------------------------------------------------------------------------------


class Clients:
    """A service whose door asks for keys, and clients that have them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.door = Door(folder / "keys.json", SystemClock(), is_key_required=True)
        self.service = Service(
            Config(), MemoryStore(), SystemClock(), random.Random(1), Observed(), self.door
        )
        self.count = 0

    async def said(self, role: Role, *messages: wire.Message, queues: str = "mail*") -> list[Any]:
        """What the server says to one with that role, after WELCOME."""
        self.count += 1
        key = parse_key(new_key(self.folder, f"k{self.count}", role, queues=(queues,)))
        self.door.take(self.door.read())
        connection = Wire()
        peer = Peer(self.service.listener)
        peer.connection_made(connection)
        nonce = connection.said[0].info["nonce"]
        auth = {"key": key.id, "proof": proof_of(key.secret, nonce)}
        identify = wire.Identify({"protocol": 1, "session": key.id, "auth": auth})
        peer.data_received(connection.client.send(identify))
        await self.service.pipeline.flush()
        assert isinstance(connection.said[1], wire.Welcome)
        peer.data_received(connection.client.send_many(messages))
        await self.service.pipeline.flush()
        for _ in range(20):  # reads are answered by another task, from memory
            await asyncio.sleep(0)
        peer.connection_lost(None)
        return connection.said[2:]


@pytest_asyncio.fixture
async def clients(tmp_path: Path) -> AsyncIterator[Clients]:
    clients = Clients(tmp_path)
    service = clients.service
    await service.pipeline.open()
    running = asyncio.create_task(service.pipeline.run())
    reading = asyncio.create_task(service.listener.run())
    yield clients
    reading.cancel()
    await service.pipeline.close()
    await running


def is_forbidden(said: list[Any]) -> bool:
    return [type(one) is wire.Error and one.code for one in said] == [ErrorCode.FORBIDDEN]


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
async def test_every_command_is_open_to_its_roles_and_closed_to_the_others(
    clients: Clients, kind: type[Any]
) -> None:
    for role in Role:
        said = await clients.said(role, EXAMPLES[kind])
        assert is_forbidden(said) == (role not in RIGHTS[kind].roles), (role, said)


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in EXAMPLES
        if RIGHTS[kind].scope not in (Scope.CONNECTION, Scope.LEASES, Scope.VISIBLE)
    ],
    ids=lambda kind: kind.__name__,
)
async def test_every_command_about_a_queue_is_closed_to_keys_for_others(
    clients: Clients, kind: type[Any]
) -> None:
    assert is_forbidden(await clients.said(Role.ADMIN, EXAMPLES[kind], queues="post*"))
    assert not is_forbidden(await clients.said(Role.ADMIN, EXAMPLES[kind], queues="ma*"))


async def test_without_the_check_all_of_it_is_open(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin of the two above: they could see it."""
    monkeypatch.setattr(Rights, "check", lambda self, message: None)
    for kind in EXAMPLES:
        assert not is_forbidden(await clients.said(Role.MONITOR, EXAMPLES[kind], queues="post"))


async def test_a_forbidden_command_changes_nothing(clients: Clients) -> None:
    await clients.said(Role.PRODUCER, EXAMPLES[wire.Enqueue])
    refused: list[wire.Message] = [
        wire.Pause(1, "mail"),
        wire.Obliterate(2, "mail"),
        wire.Drain(3, "mail"),
    ]
    assert len(await clients.said(Role.PRODUCER, *refused)) == 3
    queue = clients.service.pipeline.engine.queues["mail"]
    assert (queue.is_paused, queue.counts[1]) == (False, 1)


async def test_a_refused_enqueue_keeps_its_number_and_the_next_one_is_done(
    clients: Clients,
) -> None:
    other = wire.Enqueue(1, "other", [["a", "n", b"x"]])
    mine = wire.Enqueue(2, "mail", [["a", "n", b"x"]])
    said = await clients.said(Role.PRODUCER, other, mine)
    assert [(type(one).__name__, one.request) for one in said] == [("Error", 1), ("Reply", 2)]


async def test_a_listing_leaves_out_what_is_forbidden(clients: Clients) -> None:
    for queue in ("mail", "mail2", "other", "zoo"):
        await clients.said(Role.ADMIN, wire.Pause(1, queue), queues="*")
    (reply,) = await clients.said(Role.MONITOR, wire.Counts(1))
    assert [name for name, _ in reply.result] == ["mail", "mail2"]
    (rest,) = await clients.said(Role.MONITOR, wire.Counts(1, None, "mail"))
    assert [name for name, _ in rest.result] == ["mail2"]


async def test_another_key_cannot_resume_a_session(clients: Clients) -> None:
    """Whatever it knows of it; the engine has it under the name of the key."""
    await clients.said(Role.ADMIN, wire.Pause(1, "mail"))
    (session,) = clients.service.pipeline.engine._partition.sessions
    assert session.startswith("k1/")

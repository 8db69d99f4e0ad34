"""The contract from the other side: a scripted server drives each of our clients through it.

Each test is the script of a server. It says and expects frames, and does what the real daemon never
does. The clients are driven by adapters (`support.driven`); another one is one more of them.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import pytest

from holdfast import link, tcp
from holdfast.link import Link
from holdfast.pending import Pending
from holdfast.tcp import TcpConnection
from holdfast.uplink import Uplink
from holdfast.wire import messages as wire
from holdfast.wire.constants import ErrorCode, Op
from support import driven, scripted
from support.driven import Asyncio, Blocking, Client, Foreign, Producer, Working
from support.scripted import HELLO, WELCOME, Line, ScriptedServer, job


@pytest.fixture(params=["blocking", "asyncio", "javascript"])
def client(request: pytest.FixtureRequest) -> Client:
    """Each of our clients in turn. Another one is one more name here."""
    match request.param:
        case "blocking":
            return Blocking()
        case "asyncio":
            return Asyncio()
        case _:
            example = request.getfixturevalue("example_in_javascript")
            return Foreign("node", str(example / "driver.mjs"))


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def producer(client: Client, server: ScriptedServer) -> AsyncIterator[Producer]:
    producer = client.producer(server.url)
    yield producer
    await producer.close()


@pytest.fixture
async def working(client: Client, server: ScriptedServer) -> AsyncIterator[Working]:
    """A worker with two hands. A script that has not said goodbye to it does so here."""
    working = client.work(server.url, 2)
    yield working
    await _end(server, working)


async def _end(server: ScriptedServer, working: Working) -> None:
    working.let_go()
    working.stop()
    seeing_off = asyncio.ensure_future(_see_off(server))
    await working.ended()
    seeing_off.cancel()


async def _see_off(server: ScriptedServer) -> None:
    """Confirm whatever a worker still asks, on each of its connections."""
    while True:
        await asyncio.gather(*(_confirm_all(line) for line in server.lines))
        await asyncio.sleep(0.01)


async def _confirm_all(line: Line) -> None:
    for message in line.heard_by_now():
        if hasattr(message, "request"):
            await line.reply(message, [] if not isinstance(message, wire.Subscribe) else None)


def text_of(id: str | bytes) -> str:
    return id.hex() if isinstance(id, bytes) else id


# ---- the handshake -----------------------------------------------------------------------------


async def test_the_server_speaks_first_and_the_client_says_who_it_is(
    server: ScriptedServer, producer: Producer
) -> None:
    adding = producer.add("n", 7)
    line = await server.dialled()
    await line.hears_nothing()
    identity = await line.let_in()
    assert identity["protocol"] == 1
    assert 16 <= len(identity["session"]) <= 64
    assert isinstance(identity["client"], str)
    assert not identity.get("worker")
    assert not identity.get("leases")
    await line.reply(await line.hears(wire.Enqueue), [])
    assert (await adding).error == ""


@pytest.mark.parametrize(
    "hello",
    [
        {"protocol": [1, 9], "from_the_future": {"a": 1}, "features": ["search", "magic"]},
        {"server": "", "epoch": 2**22, "now_ms": 0},
        {"limits": {**HELLO["limits"], "frame_bytes": 2**31, "colours": 3}},
    ],
    ids=["newer", "odd", "roomier"],
)
async def test_a_hello_that_says_more_or_other_things_is_as_good(
    server: ScriptedServer, producer: Producer, hello: dict[str, Any]
) -> None:
    adding = producer.add("n", 7)
    line = await server.dialled()
    await line.say_array(Op.HELLO, {**HELLO, **hello}, "one more element")
    identity = (await line.hears(wire.Identify)).info
    assert identity["protocol"] == 1
    welcome = {**WELCOME, "session": identity["session"], "from_the_future": [1]}
    await line.say(wire.Welcome(welcome))
    await line.reply(await line.hears(wire.Enqueue), [])
    assert (await adding).error == ""


async def test_frames_are_read_in_whatever_pieces_they_come(
    server: ScriptedServer, producer: Producer
) -> None:
    adding = producer.add("n", 7)
    line = await server.dialled()
    await line.say_in_pieces(wire.Hello(HELLO))
    identity = (await line.hears(wire.Identify)).info
    await line.say_in_pieces(wire.Welcome({**WELCOME, "session": identity["session"]}))
    enqueue = await line.hears(wire.Enqueue)
    await line.say_in_pieces(wire.Reply(enqueue.request, []))
    assert (await adding).error == ""


@pytest.mark.parametrize(
    "code",
    [ErrorCode.NOT_AUTHENTICATED, ErrorCode.NO_COMMON_PROTOCOL, ErrorCode.BAD_REQUEST],
    ids=lambda code: code.name,
)
async def test_who_is_turned_away_for_good_tells_why(
    server: ScriptedServer, producer: Producer, code: ErrorCode
) -> None:
    adding = producer.add("n", 7)
    line = await server.dialled()
    await line.say(wire.Hello(HELLO))
    await line.hears(wire.Identify)
    await line.turn_away(code, "the porter says no")
    assert "the porter says no" in (await adding).error


@pytest.mark.parametrize(
    "code", [ErrorCode.BUSY, ErrorCode.HANDSHAKE_TIMEOUT], ids=lambda code: code.name
)
async def test_who_is_turned_away_for_now_comes_again(
    server: ScriptedServer, producer: Producer, code: ErrorCode
) -> None:
    adding = producer.add("n", 7)
    line = await server.dialled()
    await line.say(wire.Hello(HELLO))
    await line.turn_away(code, "too many")
    again = await server.let_in()
    await again.reply(await again.hears(wire.Enqueue), [])
    assert (await adding).error == ""


async def test_a_server_of_another_version_is_left_and_that_is_told(
    server: ScriptedServer, producer: Producer
) -> None:
    """IDENTIFY may only have a version that the server speaks."""
    adding = producer.add("n", 7)
    line = await server.dialled()
    await line.say(wire.Hello({**HELLO, "protocol": [8, 9]}))
    await line.is_left_without(wire.Identify)
    assert "8 to 9" in (await adding).error


@pytest.mark.parametrize("name", ["heartbeat_ms", "resumed", "last_request", "last_refused"])
async def test_a_welcome_that_lacks_what_it_must_have_is_told(
    server: ScriptedServer, name: str
) -> None:
    """Of our own clients only: the example in JavaScript trusts its server."""
    for client in (Asyncio(), Blocking()):
        producer = client.producer(server.url)
        adding = producer.add("n", 7)
        line = await server.dialled()
        await line.let_in(**{name: None})
        await line.is_left()
        assert f"its WELCOME has no {name}" in (await adding).error
        await producer.close()


NO_PROTOCOL = {
    "HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "no msgpack": b"\x00\x00\x00\x02\xc1\xc1",
    "a frame too long": b"\xff\xff\xff\xff",
    "an empty frame": b"\x00\x00\x00\x00",
}


@pytest.mark.parametrize("data", NO_PROTOCOL.values(), ids=NO_PROTOCOL.keys())
async def test_who_is_no_server_of_ours_is_left(
    server: ScriptedServer, producer: Producer, data: bytes
) -> None:
    """That is told, or it is tried again until one answers that is."""
    adding = producer.add("n", 7, id="a")
    line = await server.dialled()
    await line.say_bytes(data)
    await line.is_left()
    again = await server.dialled_or(adding)
    if again is not None:
        await again.let_in()
        await again.reply(await again.hears(wire.Enqueue), [])
    outcome = await adding
    assert outcome.value == "a" or "no holdfastd?" in outcome.error


@pytest.mark.parametrize("data", NO_PROTOCOL.values(), ids=NO_PROTOCOL.keys())
async def test_a_server_that_loses_its_mind_is_left_and_tried_again(
    server: ScriptedServer, producer: Producer, data: bytes
) -> None:
    adding = producer.add("n", 7)
    line = await server.let_in()
    enqueue = await line.hears(wire.Enqueue)
    await line.say_bytes(data)
    await line.is_left()
    again = await server.let_in(resumed=True)
    assert await again.hears(wire.Enqueue) == enqueue
    await again.reply(enqueue, [])
    assert (await adding).error == ""


# ---- requests ----------------------------------------------------------------------------------


async def test_a_job_is_sent_as_the_contract_has_it(
    server: ScriptedServer, producer: Producer
) -> None:
    adding = producer.add("resize", {"file": "a.jpg"}, priority=3, attempts=5)
    line = await server.let_in()
    enqueue = await line.hears(wire.Enqueue)
    id, name, payload, options = enqueue.items[0]
    assert (enqueue.queue, name, options) == ("q", "resize", {"priority": 3, "attempts": 5})
    assert msgpack.unpackb(payload) == {"file": "a.jpg"}
    assert isinstance(id, bytes)
    assert len(id) == 16
    await line.reply(enqueue, [])
    assert (await adding).value == id.hex()


async def test_numbers_rise_and_answers_may_come_in_any_order(
    server: ScriptedServer, producer: Producer
) -> None:
    calls = [producer.add("n", number, id=f"j{number}") for number in range(3)]
    line = await server.let_in()
    heard = [await line.hears(wire.Enqueue) for _ in calls]
    numbers = [enqueue.request for enqueue in heard]
    assert numbers == sorted(set(numbers))
    for enqueue in reversed(heard):
        await line.reply(enqueue, [])
    assert [(await call).value for call in calls] == ["j0", "j1", "j2"]


async def test_a_refusal_reaches_who_asked_with_its_text(
    server: ScriptedServer, producer: Producer
) -> None:
    """Of a code that the client may not know, too. Others are answered as if nothing had been."""
    line_coming = asyncio.ensure_future(server.let_in())
    calls = [producer.add("n", number, id=f"j{number}") for number in range(3)]
    line = await line_coming
    first, second, third = [await line.hears(wire.Enqueue) for _ in calls]
    await line.refuse(first, ErrorCode.BAD_OPTION, "that is odd")
    await line.refuse(second, 399, "of the future")
    await line.reply(third, [])
    assert "that is odd" in (await calls[0]).error
    assert "of the future" in (await calls[1]).error
    assert (await calls[2]).value == "j2"


async def test_what_is_not_known_is_ignored(server: ScriptedServer, producer: Producer) -> None:
    adding = producer.add("n", 7, id="a")
    line = await server.let_in()
    enqueue = await line.hears(wire.Enqueue)
    await line.say_array(199, {"a": "push of the future"})
    await line.say(wire.Reply(9_999_999, None))
    await line.say(wire.Events("q", [[1, 99, 1, None, None, {}]]))
    await line.say(wire.Revoke([[5, 99]]))
    await line.say_array(Op.REPLY, enqueue.request, [], "one more element")
    assert (await adding).value == "a"


async def test_a_job_is_waited_for_until_its_end(
    server: ScriptedServer, producer: Producer
) -> None:
    waiting = producer.wait("a")
    line = await server.let_in()
    await line.reply(await line.hears(wire.Wait), ended_job(msgpack.packb({"url": "x"})))
    assert (await waiting).value == {"url": "x"}


def ended_job(result: bytes) -> dict[str, Any]:
    """A job's map, as GET and WAIT give it."""
    zero = dict.fromkeys(
        ("priority", "run_at_ms", "failures", "crashes", "releases", "reason", "token"), 0
    )
    times = dict.fromkeys(("created_at_ms", "started_at_ms", "finished_at_ms"), 1_700_000_000_000)
    return {
        **zero,
        **times,
        "queue": "q",
        "id": "a",
        "name": "n",
        "state": 5,
        "attempt": 1,
        "attempts": 1,
        "max_crashes": 3,
        "tags": [],
        "progress": None,
        "payload": b"\xc0",
        "result": result,
        "worker": "",
        "errors": [],
        "logs": [],
        "from_the_future": 1,
    }


# ---- cut after the request, before the answer ----------------------------------------------------


async def test_what_was_not_applied_is_sent_again_as_it_was(
    server: ScriptedServer, producer: Producer
) -> None:
    adding = producer.add("n", 7)
    line = await server.let_in()
    session = line.identity["session"]
    enqueue = await line.hears(wire.Enqueue)
    line.cut()
    again = await server.let_in(resumed=True, last_request=enqueue.request - 1)
    assert again.identity["session"] == session
    assert await again.hears(wire.Enqueue) == enqueue
    await again.reply(enqueue, [])
    assert (await adding).value == text_of(enqueue.items[0][0])


async def test_what_was_added_is_never_sent_again(
    server: ScriptedServer, producer: Producer
) -> None:
    adding = producer.add("n", 7)
    line = await server.let_in()
    enqueue = await line.hears(wire.Enqueue)
    line.cut()
    again = await server.let_in(resumed=True, last_request=enqueue.request)
    await again.hears_nothing()
    assert (await adding).value == text_of(enqueue.items[0][0])


async def test_what_may_have_been_refused_is_sent_again_under_a_new_number(
    server: ScriptedServer, producer: Producer
) -> None:
    """With the ids as text: if they exist, it was this request that made them."""
    adding = producer.add("n", 7)
    line = await server.let_in()
    enqueue = await line.hears(wire.Enqueue)
    line.cut()
    number = enqueue.request
    again = await server.let_in(resumed=True, last_request=number, last_refused=number)
    second = await again.hears(wire.Enqueue)
    id = text_of(enqueue.items[0][0])
    assert second.request > number
    assert [second.items[0][0], *second.items[0][1:]] == [id, *enqueue.items[0][1:]]
    await again.reply(second, [[0, 1, 1]])
    assert (await adding).value == id


async def test_to_a_server_that_does_not_know_the_session_all_is_sent_again_with_ids_as_text(
    server: ScriptedServer, producer: Producer
) -> None:
    adding = producer.add("n", 7)
    line = await server.let_in()
    enqueue = await line.hears(wire.Enqueue)
    line.cut()
    again = await server.let_in(resumed=False)
    second = await again.hears(wire.Enqueue)
    id = text_of(enqueue.items[0][0])
    assert second.items[0][0] == id
    await again.reply(second, [[0, 1, 1]])
    assert (await adding).value == id


async def test_what_is_sent_again_is_sent_again_if_that_is_cut_too(
    server: ScriptedServer, producer: Producer
) -> None:
    adding = producer.add("n", 7, id="a")
    line = await server.let_in()
    enqueue = await line.hears(wire.Enqueue)
    for _ in range(3):
        line.cut()
        line = await server.let_in(resumed=True)
        assert await line.hears(wire.Enqueue) == enqueue
    await line.reply(enqueue, [])
    assert (await adding).value == "a"


async def test_a_wait_is_asked_again(server: ScriptedServer, producer: Producer) -> None:
    waiting = producer.wait("a")
    line = await server.let_in()
    wait = await line.hears(wire.Wait)
    line.cut()
    again = await server.let_in(resumed=True, last_request=0)
    second = await again.hears(wire.Wait)
    assert (second.queue, second.id) == (wait.queue, wait.id)
    await again.reply(second, ended_job(b"\x07"))
    assert (await waiting).value == 7


async def test_a_server_that_goes_down_is_no_error_to_anybody(
    server: ScriptedServer, producer: Producer
) -> None:
    """What it refuses as DRAINING goes to the one that comes next."""
    adding = producer.add("n", 7, id="a")
    line = await server.let_in()
    enqueue = await line.hears(wire.Enqueue)
    await line.say(wire.Goaway({"reason": "restart"}))
    await line.refuse(enqueue, ErrorCode.DRAINING)
    line.cut()
    number = enqueue.request
    again = await server.let_in(resumed=True, last_request=number, last_refused=number)
    second = await again.hears(wire.Enqueue)
    assert second.request > number
    await again.reply(second, [])
    assert (await adding).value == "a"


# ---- workers -----------------------------------------------------------------------------------


async def test_a_worker_says_who_it_is_and_gives_credit_for_its_hands(
    server: ScriptedServer, working: Working
) -> None:
    line = await server.let_in()
    assert set(line.identity["worker"]) >= {"name", "host", "pid"}
    subscribe = await line.take_subscription()
    assert (subscribe.queues, subscribe.credit) == (["q"], 2)


async def pushed(server: ScriptedServer, *jobs: list[Any], **welcome: Any) -> Line:
    """A worker that was let in and was pushed these."""
    line = await server.let_in(**welcome)
    await line.take_subscription()
    await line.say(wire.Jobs(list(jobs)))
    return line


async def test_a_job_is_run_and_its_result_sent_with_credit_for_the_next(
    server: ScriptedServer, working: Working
) -> None:
    line = await pushed(server, job(71, "a", "echo", {"n": [1, b"x"]}))
    ack = await line.hears(wire.Ack)
    token, queue, id, result = ack.items[0]
    assert (token, queue, id) == (71, "q", "a")
    assert msgpack.unpackb(result) == {"n": [1, b"x"]}
    assert ack.credit == 1
    await line.reply(ack, [])


async def test_welcome_and_jobs_may_come_in_one_write(
    server: ScriptedServer, working: Working
) -> None:
    line = await server.dialled()
    await line.say(wire.Hello(HELLO))
    identity = (await line.hears(wire.Identify)).info
    welcome = {**WELCOME, "session": identity["session"], "resumed": True}
    await line.say(wire.Welcome(welcome), wire.Jobs([job(71, "a", "echo")]))
    heard = [await line.hears_either(wire.Ack, wire.Subscribe) for _ in range(2)]
    assert {type(message) for message in heard} == {wire.Ack, wire.Subscribe}
    for message in heard:
        await line.reply(message, [])


async def test_an_error_of_a_handler_is_sent_with_its_text(
    server: ScriptedServer, working: Working
) -> None:
    line = await pushed(server, job(71, "a", "fail"))
    fail = await line.hears(wire.Fail)
    token, queue, id, error, retry = fail.items[0]
    assert (token, queue, id, retry) == (71, "q", "a", None)
    assert error["message"] == "no such file"
    assert "no such file" in error["traceback"]
    assert error["type"]
    await line.reply(fail, [])


async def test_items_of_jobs_may_have_more_elements(
    server: ScriptedServer, working: Working
) -> None:
    line = await pushed(server, [*job(71, "a", "echo"), "of the future", {}])
    ack = await line.hears(wire.Ack)
    assert ack.items[0][:3] == [71, "q", "a"]
    await line.reply(ack, [])


async def test_jobs_beyond_the_credit_are_not_lost(
    server: ScriptedServer, working: Working
) -> None:
    """After a resume they may come. Each is run, and no more at once than there are hands."""
    jobs = [job(71 + number, f"j{number}", "hold") for number in range(5)]
    line = await pushed(server, *jobs)
    for note in ("started j0", "started j1"):
        await working.noted(note)
    await line.hears_nothing()
    assert sorted(working.notes) == ["started j0", "started j1"]
    working.let_go()
    tokens: list[int] = []
    while len(tokens) < len(jobs):
        ack = await line.hears(wire.Ack)
        tokens += [item[0] for item in ack.items]
        await line.reply(ack, [])
    assert sorted(tokens) == [each[0] for each in jobs]


async def test_an_answer_that_is_refused_hurts_nobody_else(
    server: ScriptedServer, working: Working
) -> None:
    line = await pushed(server, job(71, "a", "echo"))
    ack = await line.hears(wire.Ack)
    await line.reply(ack, [[0, int(ErrorCode.LEASE_LOST), "lease 71 is lost"]])
    await line.say(wire.Jobs([job(72, "b", "echo")]))
    ack = await line.hears(wire.Ack)
    assert ack.items[0][0] == 72
    await line.reply(ack, [])


@pytest.mark.parametrize("reason", [1, 2, 3, 99])
async def test_a_revoked_job_is_cancelled_and_not_answered(
    server: ScriptedServer, working: Working, reason: int
) -> None:
    line = await pushed(server, job(71, "a", "hold"))
    await working.noted("started a")
    await line.say(wire.Revoke([[71, reason]]))
    await working.noted("cancelled a")
    assert (await line.hears(wire.Credit)).amount == 1
    await line.hears_nothing()


async def test_a_worker_that_is_told_to_stop_finishes_and_says_goodbye(
    server: ScriptedServer, working: Working
) -> None:
    line = await pushed(server, job(71, "a", "hold"))
    await working.noted("started a")
    await line.say(wire.Stop(), wire.Stop())
    subscribe = await line.take_subscription()
    assert subscribe.queues == []
    working.let_go()
    ack = await line.hears(wire.Ack)
    assert (ack.items[0][0], ack.credit) == (71, 0)
    await line.reply(ack, [])
    await line.hears(wire.Goodbye)
    await working.ended()


async def test_jobs_that_come_after_that_are_given_back(
    server: ScriptedServer, working: Working
) -> None:
    line = await pushed(server, job(71, "a", "hold"))
    await working.noted("started a")
    working.stop()
    await line.take_subscription()
    await line.say(wire.Jobs([job(72, "late", "echo")]))
    release = await line.hears(wire.Release)
    assert (release.items[0][:3], release.credit) == ([72, "q", "late"], 0)
    await line.reply(release, [])


@pytest.mark.parametrize("is_told", [True, False], ids=["GOAWAY", "cut"])
async def test_a_worker_comes_back_with_its_leases_and_goes_on(
    server: ScriptedServer, working: Working, is_told: bool
) -> None:
    line = await pushed(server, job(71, "a", "hold"))
    await working.noted("started a")
    if is_told:
        await line.say(wire.Goaway({"reason": "restart"}))
    line.cut()
    again = await server.let_in(resumed=True)
    assert again.identity["session"] == line.identity["session"]
    assert again.identity["leases"] == [71]
    subscribe = await again.take_subscription()
    assert subscribe.credit == 1, "one of its two hands is busy"
    working.let_go()
    ack = await again.hears(wire.Ack)
    assert ack.items[0][0] == 71
    await again.reply(ack, [])
    assert working.notes == ["started a"]


async def test_a_lease_that_was_lost_meanwhile_is_cancelled(
    server: ScriptedServer, working: Working
) -> None:
    line = await pushed(server, job(71, "a", "hold"))
    await working.noted("started a")
    line.cut()
    again = await server.let_in(resumed=True, lost=[71])
    await working.noted("cancelled a")
    await again.take_subscription()


async def test_a_job_that_is_pushed_again_is_not_run_again(
    server: ScriptedServer, working: Working
) -> None:
    line = await pushed(server, job(71, "a", "hold"))
    await working.noted("started a")
    line.cut()
    again = await pushed(server, job(71, "a", "hold"), job(72, "b", "echo"), resumed=True)
    first = await again.hears(wire.Ack)
    assert first.items[0][0] == 72
    await again.reply(first, [])
    working.let_go()
    ack = await again.hears(wire.Ack)
    assert [item[0] for item in ack.items] == [71]
    await again.reply(ack, [])
    await again.hears_nothing()
    assert working.notes.count("started a") == 1


async def test_an_ack_that_was_not_applied_is_sent_again_as_it_was(
    server: ScriptedServer, working: Working
) -> None:
    line = await pushed(server, job(71, "a", "echo", 5))
    ack = await line.hears(wire.Ack)
    line.cut()
    again = await server.let_in(resumed=True, last_request=ack.request - 1)
    assert 71 in again.identity["leases"]
    await again.take_subscription()
    second = await again.hears(wire.Ack)
    assert (second.request, second.items) == (ack.request, ack.items)
    await again.reply(second, [])


async def test_an_ack_whose_answer_is_lost_is_sent_again_under_a_new_number(
    server: ScriptedServer, working: Working
) -> None:
    line = await pushed(server, job(71, "a", "echo", 5))
    ack = await line.hears(wire.Ack)
    line.cut()
    again = await server.let_in(resumed=True, last_request=ack.request, lost=[71])
    await again.take_subscription()
    second = await again.hears(wire.Ack)
    assert second.request > ack.request
    assert second.items == ack.items
    await again.reply(second, [])
    await again.hears_nothing()


async def test_heartbeats_come_in_time_whatever_a_handler_does(
    server: ScriptedServer, working: Working
) -> None:
    line = await pushed(server, job(71, "a", "hold"), heartbeat_ms=100)
    line.hides_heartbeats = False
    await working.noted("started a")
    for _ in range(3):
        heartbeat = await line.hears(wire.Heartbeat)
        assert heartbeat.reports == []
        await line.reply(heartbeat, [])


# ---- clients that break a rule -----------------------------------------------------------------


def takes_all_for_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ENQUEUE that was applied is sent again."""
    enter = TcpConnection._enter

    def enter_wrongly(self: TcpConnection, welcome: wire.Welcome) -> None:
        enter(self, wire.Welcome({**welcome.info, "last_refused": welcome.info["last_request"]}))

    monkeypatch.setattr(TcpConnection, "_enter", enter_wrongly)


def keeps_raw_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pending, "with_text_ids", lambda self: None)


def begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each connection has a session of its own."""
    identify = Link.identify

    def identify_anew(self: Link, hello: wire.Hello) -> wire.Identify:
        return wire.Identify({**identify(self, hello).info, "session": os.urandom(16).hex()})

    monkeypatch.setattr(Link, "identify", identify_anew)


def speaks_any_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "check_hello", lambda hello: None)


@pytest.mark.parametrize(
    ("sabotage", "script"),
    [
        (takes_all_for_refused, test_what_was_added_is_never_sent_again),
        (
            keeps_raw_ids,
            test_to_a_server_that_does_not_know_the_session_all_is_sent_again_with_ids_as_text,
        ),
        (begins_anew, test_what_was_not_applied_is_sent_again_as_it_was),
        (speaks_any_version, test_a_server_of_another_version_is_left_and_that_is_told),
    ],
    ids=lambda value: value.__name__,
)
async def test_a_producer_that_breaks_a_rule_is_found_out(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, sabotage: Any, script: Any
) -> None:
    sabotage(monkeypatch)
    producer = Asyncio().producer(server.url)
    with pytest.raises(AssertionError):
        await script(server, producer)
    await producer.close()


def names_no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "LEASES_NAMED_MAX", 0)


def forgets_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ACK whose answer is lost is taken for confirmed."""
    monkeypatch.setattr(link, "REPEATABLE", ())


def heeds_no_revoke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Uplink, "_revoked", lambda self, items: None)


@pytest.mark.parametrize(
    ("sabotage", "script", "arguments"),
    [
        (names_no_lease, test_a_worker_comes_back_with_its_leases_and_goes_on, (False,)),
        (
            forgets_answers,
            test_an_ack_whose_answer_is_lost_is_sent_again_under_a_new_number,
            (),
        ),
        (heeds_no_revoke, test_a_revoked_job_is_cancelled_and_not_answered, (1,)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_a_worker_that_breaks_a_rule_is_found_out(
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    sabotage: Any,
    script: Any,
    arguments: tuple[Any, ...],
) -> None:
    sabotage(monkeypatch)
    monkeypatch.setattr(scripted, "PATIENCE_S", 1.0)
    monkeypatch.setattr(driven, "NOTE_S", 1.0)
    working = Asyncio().work(server.url, 2)
    with pytest.raises(AssertionError):
        await script(server, working, *arguments)
    monkeypatch.undo()
    await _end(server, working)

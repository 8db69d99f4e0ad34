"""Who is let in by which key, without sockets."""

import os
from pathlib import Path

import pytest

from holdfast.wire.checks import Refusal
from holdfast.wire.constants import ErrorCode
from holdfast.wire.credentials import parse_key, proof_of
from holdfastd.access import door as door_module
from holdfastd.access import keyfile
from holdfastd.access.door import Door
from holdfastd.access.keys import KeysError
from holdfastd.access.rights import ANYBODY, Role
from holdfastd.clock import SystemClock
from support.keys import new_key, revoke

NONCE = bytes(16)


class FakeClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = SystemClock().now_ms()

    def now_ms(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def opened(folder: Path, clock: FakeClock) -> Door:
    door = Door(folder / "keys.json", clock, is_key_required=True)
    door.open()
    return door


def auth_of(key: str, nonce: bytes = NONCE) -> dict[str, object]:
    parsed = parse_key(key)
    return {"key": parsed.id, "proof": proof_of(parsed.secret, nonce)}


def code_of(door: Door, auth: object, host: str = "h") -> ErrorCode | None:
    """None = it was let in."""
    try:
        door.admit(auth, NONCE, host)
    except Refusal as refusal:
        return refusal.code
    return None


def test_a_key_comes_in_with_its_name_and_rights(tmp_path: Path, clock: FakeClock) -> None:
    key = new_key(tmp_path, "web", Role.PRODUCER, queues=("mail*",))
    identity = opened(tmp_path, clock).admit(auth_of(key), NONCE, "h")
    assert (identity.name, identity.key_id) == ("web", parse_key(key).id)
    assert identity.rights is not None
    assert identity.rights.roles == {Role.PRODUCER}
    assert identity.allows_queue is not None
    assert identity.allows_queue("mail2")
    assert not identity.allows_queue("other")
    assert identity.session_of("s") == "web/s"


def test_a_proof_is_good_for_one_nonce(tmp_path: Path, clock: FakeClock) -> None:
    key = new_key(tmp_path, "web")
    door = opened(tmp_path, clock)
    assert code_of(door, auth_of(key)) is None
    assert code_of(door, auth_of(key, b"another nonce...")) is ErrorCode.NOT_AUTHENTICATED


@pytest.mark.parametrize(
    "auth", ["hfk", {}, {"key": 5, "proof": b""}, {"key": "x" * 9_000, "proof": b""}, {"key": "a"}]
)
def test_what_is_no_credentials_is_refused(tmp_path: Path, clock: FakeClock, auth: object) -> None:
    new_key(tmp_path, "web")
    assert code_of(opened(tmp_path, clock), auth) is ErrorCode.NOT_AUTHENTICATED


def wrong_ones_let_in(door: Door, id: str) -> int:
    """Of a thousand, each from an address of its own so that none is held."""
    return sum(
        code_of(door, {"key": id, "proof": os.urandom(32)}, f"10.0.{n // 250}.{n % 250}") is None
        for n in range(1_000)
    )


def test_no_wrong_proof_comes_in(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = parse_key(new_key(tmp_path, "web")).id
    door = opened(tmp_path, clock)
    assert wrong_ones_let_in(door, id) == 0
    assert wrong_ones_let_in(door, "00000000") == 0
    monkeypatch.setattr(door_module, "is_proof", lambda proof, nonce, digest: True)
    assert wrong_ones_let_in(door, id) == 1_000, "the test would see it"


def test_a_key_ends_when_it_expires_by_the_wall_clock(tmp_path: Path, clock: FakeClock) -> None:
    new_key(tmp_path, "other")
    clock.now = 1_000
    key = keyfile.change(
        tmp_path / "keys.json", lambda keys: keys.create("web", [Role.ADMIN], ["*"], 1_000, 2_000)
    )
    door = opened(tmp_path, clock)
    auth = {"key": key.id, "proof": proof_of(key.secret, NONCE)}
    identity = door.admit(auth, NONCE, "h")
    assert (door.has_expired(), door.why_out(identity)) == (False, None)
    clock.now = 2_000
    assert code_of(door, auth) is ErrorCode.NOT_AUTHENTICATED
    assert [door.has_expired(), door.has_expired()] == [True, False], "told once"
    assert door.why_out(identity) == f"key {key.id} of web has expired"


def test_who_is_in_has_to_go_when_the_key_is_revoked_or_its_rights_change(
    tmp_path: Path, clock: FakeClock
) -> None:
    file = tmp_path / "keys.json"
    key = new_key(tmp_path, "web", Role.PRODUCER)
    door = opened(tmp_path, clock)
    identity = door.admit(auth_of(key), NONCE, "h")
    new_key(tmp_path, "other")
    assert door.has_news
    assert [len(ids) for ids in door.take(door.read())] == [1, 0, 0]
    assert door.why_out(identity) is None
    file.write_text(file.read_text().replace("producer", "worker"))
    assert door.take(door.read()).changed == [parse_key(key).id]
    assert "was changed" in (door.why_out(identity) or "")
    revoke(tmp_path, "web")
    assert door.take(door.read()).gone == [parse_key(key).id]
    assert "was revoked" in (door.why_out(identity) or "")
    assert door.why_out(ANYBODY) is None


def test_an_unknown_key_makes_it_look_at_the_file(tmp_path: Path, clock: FakeClock) -> None:
    new_key(tmp_path, "first")
    door = opened(tmp_path, clock)
    door.on_news = lambda: door.take(door.read()) and None
    assert code_of(door, auth_of(new_key(tmp_path, "web"))) is None


def test_keys_that_were_read_before_newer_ones_do_not_stay(
    tmp_path: Path, clock: FakeClock
) -> None:
    """As by a reload, which reads on a thread, while somebody comes with a new key."""
    new_key(tmp_path, "first")
    door = opened(tmp_path, clock)
    old = door.read()
    new_key(tmp_path, "second")
    has_news = []
    for keys in (door.read(), old):
        door.take(keys)
        has_news.append(door.has_news)
    assert has_news == [False, True], "it will look again"
    door.take(door.read())
    assert len(door.keys.records) == 2


def test_a_damaged_file_is_news_once(tmp_path: Path, clock: FakeClock) -> None:
    new_key(tmp_path, "first")
    door = opened(tmp_path, clock)
    (tmp_path / "keys.json").write_text("{")
    assert door.has_news
    with pytest.raises(KeysError):
        door.read()
    assert not door.has_news


def test_http_takes_the_key_itself(tmp_path: Path, clock: FakeClock) -> None:
    key = new_key(tmp_path, "prometheus", Role.MONITOR)
    door = Door(tmp_path / "keys.json", clock, is_http_key_required=True)
    door.open()
    for scheme in ("Bearer", "bearer"):
        assert door.admit_bearer(f"{scheme} {key}", "h").name == "prometheus"
    other = "1" if key.endswith("0") else "0"
    for wrong in (
        None,
        "",
        "Bearer",
        "Basic abc",
        key,
        f"Bearer {key[:-1]}{other}",
        f"Bearer {key}x",
    ):
        with pytest.raises(Refusal) as refused:
            door.admit_bearer(wrong, "h")
        assert refused.value.code is ErrorCode.NOT_AUTHENTICATED
        assert parse_key(key).secret.hex() not in refused.value.message

"""Sessions of people: what a cookie must be to let somebody in, without sockets."""

import hmac
import os
import random
from pathlib import Path

import pytest

from holdfastd.access.keys import KeyRecord, KeysError
from holdfastd.access.rights import Role
from holdfastd.web.safe.sessions import LIFE_S, NAME, Sessions


class FakeClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return 0.0


ALICE = KeyRecord("1a2b3c4d", "alice", frozenset({Role.VIEWER}), ("*",), bytes(range(32)), 0)
BOB = ALICE._replace(id="99999999", name="bob", digest=bytes(32))
KEYS = {record.id: record for record in (ALICE, BOB)}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sessions(clock: FakeClock) -> Sessions:
    return Sessions(clock)


def test_a_session_is_of_who_began_it_for_twelve_hours(
    sessions: Sessions, clock: FakeClock
) -> None:
    value = sessions.begin(ALICE)
    assert sessions.owner_of(value, KEYS.get) is ALICE
    clock.now += LIFE_S * 1000 - 1
    assert sessions.owner_of(value, KEYS.get) is ALICE
    clock.now += 1
    assert sessions.owner_of(value, KEYS.get) is None


def test_a_session_ends_with_its_key_and_is_not_of_another_of_the_same_id(
    sessions: Sessions,
) -> None:
    value = sessions.begin(ALICE)
    assert sessions.owner_of(value, lambda id: None) is None
    assert sessions.owner_of(value, {ALICE.id: ALICE._replace(digest=bytes(32))}.get) is None


def forgeries(value: str) -> list[str]:
    """Of a cookie that is good: another key's, a longer one, each character another, and junk."""
    key_id, until_s, signature = value.split(".")
    chance = random.Random(1)
    changed = [
        value[:at] + chance.choice("0123456789abcdef".replace(value[at], "")) + value[at + 1 :]
        for at in range(len(value))
    ]
    bare = hmac.digest(b"", f"session {key_id} {until_s}".encode(), "sha256").hex()
    return [
        *changed,
        f"{BOB.id}.{until_s}.{signature}",
        f"{key_id}.{int(until_s) + 1}.{signature}",
        f"{key_id}.999999999999.{signature}",
        f"{key_id}.{until_s}.{bare}",
        f"{key_id}.{until_s}.{'0' * 64}",
        f"{key_id}.{until_s}.",
        f"{key_id}.{until_s}",
        f"{key_id}.{until_s}.{signature.upper()}0",
        f" {value}",
        f"{value}\n",
        f"{key_id}.-{until_s}.{signature}",
        f"{key_id}.٣.{signature}",
        "",
        "." * 100,
        "é" * 10,
        "x" * 100_000,
    ]


def let_in(sessions: Sessions, values: list[str]) -> int:
    return sum(sessions.owner_of(value, KEYS.get) is not None for value in values)


def test_no_forgery_is_a_session(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    made = forgeries(sessions.begin(ALICE))
    assert len(made) > 90
    assert let_in(sessions, made) == 0
    monkeypatch.setattr(hmac, "compare_digest", lambda left, right: True)
    assert let_in(sessions, made) > 60, "the test would see it"


def test_the_secret_is_made_once_and_is_nobody_elses(tmp_path: Path, clock: FakeClock) -> None:
    first, second, other = Sessions(clock), Sessions(clock), Sessions(clock)
    (tmp_path / "other").mkdir()
    first.open(tmp_path)
    second.open(tmp_path)
    other.open(tmp_path / "other")
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [NAME]
    value = first.begin(ALICE)
    assert second.owner_of(value, KEYS.get) is ALICE, "a restart logs nobody out"
    assert other.owner_of(value, KEYS.get) is None
    assert first.cookie == second.cookie != other.cookie
    assert (tmp_path / NAME).read_bytes().hex() not in f"{value} {first.cookie}"


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (b"short", 0o600, "must have 32 bytes: remove it"),
        (bytes(33), 0o600, "must have 32 bytes: remove it"),
        (bytes(32), 0o644, "can be read or changed by others"),
    ],
)
def test_a_secret_that_is_none_is_refused(
    tmp_path: Path, clock: FakeClock, content: bytes, mode: int, why: str
) -> None:
    file = tmp_path / NAME
    file.write_bytes(content)
    file.chmod(mode)
    with pytest.raises(KeysError, match=why):
        Sessions(clock).open(tmp_path)


def test_one_that_cannot_be_made_is_told(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(KeysError, match="must belong to the daemon's user"):
        Sessions(clock).open(tmp_path / "gone")
    (tmp_path / NAME).mkdir()
    with pytest.raises(KeysError, match=rf"cannot be used.*\({os.geteuid()}\)"):
        Sessions(clock).open(tmp_path)

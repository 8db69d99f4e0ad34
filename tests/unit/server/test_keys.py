"""The key file: what is in it, who may read it, and what the commands make of it."""

import json
import multiprocessing
import stat
from pathlib import Path
from typing import Any

import pytest

from holdfast.wire.credentials import digest_of, is_secret
from holdfastd.access import keyfile
from holdfastd.access.keys import Keys, KeysError, from_json, to_json
from holdfastd.access.rights import Role

ADMIN = [Role.ADMIN]


def made(*names: str) -> Keys:
    keys = Keys()
    for name in names:
        keys, _ = keys.create(name, ADMIN, ["*"], 1)
    return keys


def test_a_key_is_random_and_only_its_digest_is_kept() -> None:
    keys, key = Keys().create("web", [Role.PRODUCER], ["mail*"], 5)
    _, other = Keys().create("web", [Role.PRODUCER], ["mail*"], 5)
    (record,) = keys.records
    assert key.secret != other.secret
    assert len(key.secret) == 32
    assert record.digest == digest_of(key.secret)
    assert key.secret.hex() not in json.dumps(to_json(keys))
    assert from_json(json.loads(json.dumps(to_json(keys)))).records == keys.records


def test_a_rotation_leaves_two_valid_keys_until_the_old_one_is_revoked_or_expires() -> None:
    keys = made("web")
    old = keys.records[0]
    keys, fresh = keys.rotate("web", 10, old_expires_at_ms=100)
    assert [record.is_valid(99) for record in keys.named("web")] == [True, True]
    assert [record.is_valid(100) for record in keys.named("web")] == [False, True]
    with pytest.raises(KeysError, match="has two valid keys"):
        keys.rotate("web", 99)
    with pytest.raises(KeysError, match=f"give an id \\({old.id}, {fresh.id}\\), or --all"):
        keys.revoke("web")
    after, gone = keys.revoke(old.id)
    assert (gone, [record.id for record in after.records]) == ([old.id], [fresh.id])
    again, _ = keys.rotate("web", 100)
    assert len(again.named("web")) == 2, "the one that had expired is gone"


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda keys: keys.create("web", ADMIN, ["*"], 1), "there is a key web already"),
        (lambda keys: keys.create("a b", ADMIN, ["*"], 1), "'a b' is no name for a key"),
        (lambda keys: keys.create("x", ADMIN, ["a/b"], 1), "'a/b' is no pattern of queue names"),
        (lambda keys: keys.rotate("x", 1), "there is no key 'x': there are web"),
        (lambda keys: keys.revoke("x"), "there is no key 'x': there are web"),
    ],
)
def test_what_cannot_be_done_is_told(act: Any, words: str) -> None:
    with pytest.raises(KeysError) as refused:
        act(made("web"))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": "xyz"}, "keys[0]: id is missing or malformed"),
        ({"roles": ["king"]}, "keys[0]: 'king' is not a valid Role"),
        ({"roles": []}, "roles must be a list of texts, of one at least"),
        ({"queues": "mail"}, "queues must be a list of texts"),
        ({"queues": ["a b"]}, "'a b' is no pattern of queue names"),
        ({"sha256": "12"}, "sha256 is missing or malformed"),
        ({"expires_at_ms": "soon"}, "expires_at_ms must be Unix milliseconds or null"),
    ],
)
def test_an_edited_file_is_checked_whole(changes: dict[str, Any], words: str) -> None:
    tree = to_json(made("web"))
    tree["keys"][0].update(changes)
    with pytest.raises(KeysError) as refused:
        from_json(tree)
    assert words in str(refused.value)


@pytest.mark.parametrize("tree", [[], {}, {"version": 2, "keys": []}, {"version": 1, "keys": [1]}])
def test_a_file_of_something_else_is_refused(tree: object) -> None:
    with pytest.raises(KeysError):
        from_json(tree)


def test_an_id_is_there_once() -> None:
    tree = to_json(made("web"))
    tree["keys"] *= 2
    with pytest.raises(KeysError, match="two keys have the id"):
        from_json(tree)


# ---- the file ------------------------------------------------------------------------------------


def created(path: Path, name: str = "web") -> bytes:
    key = keyfile.change(path, lambda keys: keys.create(name, ADMIN, ["*"], 1))
    return key.secret


def test_the_file_is_its_owners_alone_and_a_change_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    secret = created(path)
    created(path, "other")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys = keyfile.read(path)
    assert [record.name for record in keys.records] == ["web", "other"]
    assert is_secret(secret, keys.records[0].digest)
    assert list(tmp_path.iterdir()) == [path], "nothing is left lying about"


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o606, 0o640 | 0o001])
def test_one_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    created(path)
    path.chmod(mode)
    with pytest.raises(KeysError, match=rf"by others \(mode {mode:04o}\): chmod 600"):
        keyfile.read(path)
    before = path.read_bytes()
    with pytest.raises(KeysError):
        created(path, "other")
    assert path.read_bytes() == before


def test_one_that_a_service_manager_hands_over_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    created(path)
    path.chmod(0o440)
    assert len(keyfile.read(path).records) == 1


def test_what_is_no_file_of_keys_is_named(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(FileNotFoundError):
        keyfile.read(path)
    path.mkdir(mode=0o700)
    with pytest.raises(KeysError, match=r"cannot be read: Is a directory: it must be a file"):
        keyfile.read(path)
    path.rmdir()
    path.write_bytes(b"\xff")
    path.chmod(0o600)
    with pytest.raises(KeysError, match="is no file of keys"):
        keyfile.read(path)


def test_a_change_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    created(path)
    with pytest.raises(KeysError, match="there is a key web already"):
        created(path)
    assert len(keyfile.read(path).records) == 1
    with pytest.raises(KeysError, match=r"the directory .* of the key file cannot be used"):
        created(tmp_path / "nowhere" / "keys.json")


def test_every_change_is_seen_in_the_stamp(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    stamps = {keyfile.stamp_of(path)}
    for number in range(20):
        created(path, f"k{number}")
        stamps.add(keyfile.stamp_of(path))
    path.chmod(0o644)
    stamps.add(keyfile.stamp_of(path))
    assert len(stamps) == 22


def _create_some(path: Path, first: int) -> None:
    for number in range(first, first + 10):
        created(path, f"k{number}")


def test_commands_at_once_lose_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_create_some, args=(path, n * 10)) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert {record.name for record in keyfile.read(path).records} == {f"k{n}" for n in range(30)}

"""Keys as text, and the proof that a client has one."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.wire.credentials import (
    SECRET_BYTES,
    Key,
    digest_of,
    is_key_id,
    is_proof,
    is_secret,
    key_text,
    parse_key,
    proof_of,
)

secrets = st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)
PROTOCOL = (Path(__file__).parents[3] / "protocol.md").read_text()


@given(secrets, st.binary(min_size=16, max_size=16))
def test_who_has_the_secret_can_prove_it_to_who_has_the_digest(secret: bytes, nonce: bytes) -> None:
    proof = proof_of(secret, nonce)
    assert is_proof(proof, nonce, digest_of(secret))
    assert secret not in (proof, digest_of(secret))
    assert is_secret(secret, digest_of(secret))


@given(secrets, secrets, st.binary(max_size=80))
def test_nothing_else_is_a_proof(secret: bytes, other: bytes, junk: bytes) -> None:
    digest = digest_of(secret)
    assert not is_proof(junk, b"n", digest)
    assert not is_proof(proof_of(secret, b"another nonce"), b"n", digest)
    if other != secret:
        assert not is_proof(proof_of(other, b"n"), b"n", digest)
        assert not is_secret(other, digest)


def test_the_digest_alone_proves_nothing() -> None:
    """Whoever has stolen the key file cannot come in with it."""
    digest = digest_of(b"s" * SECRET_BYTES)
    assert not is_proof(digest, b"n", digest)
    assert not is_proof(proof_of(digest, b"n"), b"n", digest)


def test_the_example_of_protocol_md() -> None:
    rows = dict(re.findall(r"^\| (key|nonce|proof) \| `(\w+)` \|$", PROTOCOL, re.MULTILINE))
    key = parse_key(rows["key"])
    assert proof_of(key.secret, bytes.fromhex(rows["nonce"])).hex() == rows["proof"]


def test_a_key_is_read_as_it_was_written_and_does_not_show_itself() -> None:
    key = Key("1a2b3c4d", bytes(range(32)))
    assert parse_key(f" {key_text(key)}\n") == key
    assert key.secret.hex() not in f"{key!r} {key}"


@pytest.mark.parametrize("text", ["", "hfk_1a2b3c4d", "hfk_1a2b3c4d_" + "z" * 64, "x" * 10_000])
def test_what_is_no_key_is_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match="one looks like hfk_ID_SECRET") as refused:
        parse_key(text)
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("1a2b3c4d", True), ("1A2B3C4D", False), ("1a2b3c4", False), ("1a2b3c4d5", False)],
)
def test_the_id_of_a_key_is_eight_hex_digits(text: str, is_one: bool) -> None:
    assert is_key_id(text) is is_one

"""Keys: how one is written, and how a client proves that it has it. protocol.md, Keys.

A key is `hfk_ID_SECRET`: an id of 8 hex digits, which is no secret and stands in logs, and 32
random bytes in hex. The secret itself never goes over the wire. The server keeps its SHA-256 only,
and takes a proof that is good for one connection, since HELLO's nonce goes into it:

    digest = SHA-256(secret)
    proof  = secret XOR HMAC-SHA-256(digest, nonce)

Who knows the digest gets the secret back out of the proof, and compares. So neither what is stored
nor what is overheard lets anybody in (the idea of SCRAM, RFC 5802, without its slow hash: there
is nothing to guess in 256 random bits). It does not keep what follows from being read or changed:
that is for TLS.
"""

import hashlib
import hmac
import re
from typing import Final, NamedTuple

KEY_ID_LENGTH: Final = 8
SECRET_BYTES: Final = 32
_ID: Final = re.compile(rf"[0-9a-f]{{{KEY_ID_LENGTH}}}")
_FORM: Final = re.compile(rf"hfk_([0-9a-f]{{{KEY_ID_LENGTH}}})_([0-9a-f]{{{2 * SECRET_BYTES}}})")


class Key(NamedTuple):
    id: str
    secret: bytes

    def __repr__(self) -> str:
        """Without the secret: it is not to be in logs and tracebacks."""
        return f"Key({self.id})"


def key_text(key: Key) -> str:
    """As it is handed to people."""
    return f"hfk_{key.id}_{key.secret.hex()}"


def parse_key(text: str) -> Key:
    """The inverse. White space around it is ignored. Raises ValueError, which does not show it."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            "it is no key of holdfastd: one looks like hfk_ID_SECRET, with 8 and 64 hex digits"
        )
    return Key(found[1], bytes.fromhex(found[2]))


def digest_of(secret: bytes) -> bytes:
    """What the server keeps of it."""
    return hashlib.sha256(secret).digest()


def proof_of(secret: bytes, nonce: bytes) -> bytes:
    """What a client sends."""
    return _xor(secret, hmac.digest(digest_of(secret), nonce, "sha256"))


def is_proof(proof: bytes, nonce: bytes, digest: bytes) -> bool:
    """The sender has the secret of this digest. Takes as long whatever is wrong with it."""
    secret = _xor(proof, hmac.digest(digest, nonce, "sha256"))
    return hmac.compare_digest(digest_of(secret), digest)


def is_secret(secret: bytes, digest: bytes) -> bool:
    """It is the one of this digest; for where the secret itself was sent, as over HTTP."""
    return hmac.compare_digest(digest_of(secret), digest)


def is_key_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def _xor(left: bytes, right: bytes) -> bytes:
    """Of SECRET_BYTES each; of fewer or more, something that is no proof."""
    mixed = int.from_bytes(left[:SECRET_BYTES]) ^ int.from_bytes(right)
    return mixed.to_bytes(SECRET_BYTES)

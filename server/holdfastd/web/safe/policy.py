"""What an operator has said of the HTTP port, as far as its safety goes. docs/how-to/secure.md."""

from typing import Final, NamedTuple


class Policy(NamedTuple):
    is_read_only: bool = False
    """Nobody changes anything by HTTP, whatever his key."""
    redact: tuple[str, ...] = ()
    """See `redact.Redactor`."""
    hides_data: bool = False
    """Data and results are for those who may act only."""
    hosts: frozenset[str] = frozenset()
    """Names by which this port may be asked for, in lower case, besides loopback ones."""
    is_key_required: bool = False
    has_tls: bool = False


OPEN: Final = Policy()
"""On a loopback address, and nothing said."""

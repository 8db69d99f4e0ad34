"""How often an address may try a wrong key. Pure: the time comes in.

A secret of 256 bits is not guessed; this bounds what it costs to let people try, and what they can
write into the log. After FAILURES_MAX in a window the address is held: its attempts are refused
unread until the window is over. A key that was good from that address stays good, so that one wrong
worker does not lock out the others of its host.
"""

import ipaddress
from collections import OrderedDict
from typing import Final

FAILURES_MAX: Final = 10
WINDOW_S: Final = 60.0
"""Ten wrong keys a minute and address: reliability goal 24, "100,000 wrong tokens: at most 10 per
minute and address served"."""
ADDRESSES_MAX: Final = 10_000
"""Remembered; the one not heard of for longest is forgotten. Arbitrary: some MB."""
GOOD_KEYS_MAX: Final = 100
"""Per address; arbitrary."""
IPV6_PREFIX: Final = 64
"""Of one host or site: it has 2**64 addresses of its own (RFC 6177)."""


class _Record:
    __slots__ = ("failures", "good", "since")

    def __init__(self) -> None:
        self.failures = 0
        self.since = 0.0
        """When the window began; monotonic seconds."""
        self.good: OrderedDict[str, None] = OrderedDict()
        """Ids of the keys that were accepted, the last used last."""


class BackOff:
    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def held_s(self, host: str, key_id: str, now_s: float) -> float:
        """For how many seconds its attempts with this key are refused; 0 = they are not."""
        record = self._records.get(_site(host))
        if record is None or record.failures < FAILURES_MAX or key_id in record.good:
            return 0.0
        return max(0.0, record.since + WINDOW_S - now_s)

    def failed(self, host: str, now_s: float) -> bool:
        """Count it. Returns True if the address is held from now on."""
        record = self._record(host)
        if now_s >= record.since + WINDOW_S:
            record.failures, record.since = 0, now_s
        record.failures += 1
        return record.failures == FAILURES_MAX

    def succeeded(self, host: str, key_id: str) -> None:
        good = self._record(host).good
        good[key_id] = None
        good.move_to_end(key_id)
        if len(good) > GOOD_KEYS_MAX:
            good.popitem(last=False)

    def _record(self, host: str) -> _Record:
        site = _site(host)
        record = self._records.get(site)
        if record is None:
            record = self._records[site] = _Record()
            if len(self._records) > ADDRESSES_MAX:
                self._records.popitem(last=False)
        self._records.move_to_end(site)
        return record


def _site(host: str) -> str:
    """What counts as one address; host may be anything that is none."""
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, IPV6_PREFIX), strict=False))

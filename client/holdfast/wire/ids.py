"""Job ids that nobody else can have: UUIDv7 (RFC 9562, section 5.7), made by the client."""

import os
import threading
import time

_lock = threading.Lock()
_last_ms = 0
_counter = 0


def new_id() -> bytes:
    """16 bytes, rising within a process. Its text is the 32 hex digits of it."""
    global _last_ms, _counter
    with _lock:
        now_ms = time.time_ns() // 1_000_000
        if now_ms > _last_ms:
            _last_ms = now_ms
            _counter = int.from_bytes(os.urandom(2)) >> 5  # 11 bits: room to count within 12
        else:
            _counter += 1
            if _counter > 0xFFF:
                _last_ms += 1
                _counter = 0
        head = (_last_ms << 16) | 0x7000 | _counter
    tail = (int.from_bytes(os.urandom(8)) & (2**62 - 1)) | (2 << 62)
    return head.to_bytes(8) + tail.to_bytes(8)

"""Is the write-ahead log damaged, or only cut where a crash left it?

SQLite replays a log up to the first frame that does not fit and takes the rest for what a crash
left unfinished. Of a log with one flipped bit it forgets, without a word, every commit from there
on. But a commit is synced before the next one begins. So a frame that follows upon a commit frame,
behind the point where SQLite stopped, proves that what is missing was durable: then it is damage,
and the daemon must not start without it. (Damage to the very last commit looks like a crash.)

The header is another matter: it is written over when the log begins anew, and half of that may have
reached the disk. What stands behind it then has been moved to the database before. So behind a
header that is not sound only that counts which the database lacks.

Format: sqlite.org/fileformat2.html, section 4, and walformat.html for the index in the -shm file.
"""

import os
from pathlib import Path
from struct import Struct, unpack_from
from typing import BinaryIO, Final, NamedTuple

_HEADER: Final = Struct(">8I")
"""magic, version, page size, sequence, salt 1 and 2, checksum 1 and 2"""
_FRAME: Final = Struct(">6I")
"""page, pages of the database after a commit (0 = no commit), salt 1 and 2, checksum 1 and 2"""
_MAGIC: Final = 0x377F0682
"""With the last bit set, checksums are of big-endian words."""
_FRAME_COUNT: Final = Struct("=I")
_FRAME_COUNT_AT: Final = 16
"""mxFrame in the index's header, in the byte order of the machine."""


class _Frame(NamedTuple):
    is_commit: bool
    salt: tuple[int, int]
    checksum: tuple[int, int]


def used_frames(shm: Path) -> int:
    """Frames of the log that SQLite uses, from its index file. Only while no connection that writes
    is open: closing the file drops this process's locks on it. 0 if it uses no log at all."""
    if not shm.exists():
        return 0
    with shm.open("rb") as file:
        file.seek(_FRAME_COUNT_AT)
        (count,) = _FRAME_COUNT.unpack(file.read(_FRAME_COUNT.size))
    return int(count)


def is_damaged(wal: Path, used: int, database: Path) -> bool:
    """Whether commits that were synced stand behind the `used` frames that SQLite took. Read only
    while nobody has the files open."""
    with wal.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return False
        magic, _, page_bytes, _, *salt_and_sum = _HEADER.unpack(header)
        order = ">" if magic & 1 else "<"
        if not 512 <= page_bytes <= 65536 or page_bytes & (page_bytes - 1):
            page_bytes = 4096  # it is damaged itself; ours are of this size
        is_sound = magic | 1 == _MAGIC | 1 and _checksum((0, 0), header[:24], order) == tuple(
            salt_and_sum[2:]
        )
        salt = tuple(salt_and_sum[:2]) if is_sound else None
        before: _Frame | None = None
        file.seek(_HEADER.size + used * (_FRAME.size + page_bytes))
        while len(head := file.read(_FRAME.size)) == _FRAME.size:
            _, pages, *rest = _FRAME.unpack(head)
            frame = _Frame(pages != 0, (rest[0], rest[1]), (rest[2], rest[3]))
            follows = before is not None and before.is_commit and frame.salt == before.salt
            if follows and before is not None and salt in (None, frame.salt):
                data = file.read(page_bytes)
                if _checksum(before.checksum, head[:8] + data, order) == frame.checksum:
                    return is_sound or not _is_in_database(file, page_bytes, database)
            else:
                file.seek(page_bytes, os.SEEK_CUR)
            before = frame
    return False


def _is_in_database(log: BinaryIO, page_bytes: int, database: Path) -> bool:
    """Whether the database has every page as the commits of the first frame's log left it. What
    else is in the file is older."""
    committed: dict[int, int] = {}
    """Page -> where its newest content stands in the log."""
    since_commit: dict[int, int] = {}
    page_count = 0
    salt: tuple[int, int] | None = None
    at = _HEADER.size
    log.seek(at)
    while len(head := log.read(_FRAME.size)) == _FRAME.size:
        page, pages, *rest = _FRAME.unpack(head)
        salt = salt or (rest[0], rest[1])
        if (rest[0], rest[1]) != salt:
            break
        since_commit[page] = at + _FRAME.size
        if pages:
            committed |= since_commit
            since_commit = {}
            page_count = pages
        at += _FRAME.size + page_bytes
        log.seek(at)
    with database.open("rb") as file:
        for page, place in committed.items():
            if page > page_count:  # the database became shorter
                continue
            log.seek(place)
            file.seek((page - 1) * page_bytes)
            if log.read(page_bytes) != file.read(page_bytes):
                return False
    return True


def _checksum(start: tuple[int, int], data: bytes, order: str) -> tuple[int, int]:
    """SQLite's running checksum over words of 32 bits."""
    one, two = start
    words = unpack_from(f"{order}{len(data) // 4}I", data)
    for at in range(0, len(words) - 1, 2):
        one = (one + words[at] + two) & 0xFFFFFFFF
        two = (two + words[at + 1] + one) & 0xFFFFFFFF
    return one, two

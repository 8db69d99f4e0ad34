"""Lists of any length, cut so that each part fits one frame. protocol.md, Frames and Limits."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from holdfast.wire.constants import FRAME_BYTES_MAX, ITEMS_MAX

T = TypeVar("T")

PART_BYTES_MAX: Final = FRAME_BYTES_MAX - 64 * 1024
"""The rest is for the fields around the list; the longest of them is a queue's name."""
FIELDS_BYTES_MAX: Final = 96
"""Numbers and heads of all fields of one item: at most ten, of 9 bytes at most."""


def text_bytes_max(text: str) -> int:
    """Upper bound of a text's length in UTF-8; exact enough for ids and names, and cheap."""
    return 4 * len(text)


def parts(items: Iterable[T], bytes_of: Callable[[T], int]) -> Iterator[list[T]]:
    """The items in order, in lists of at most ITEMS_MAX items and, by bytes_of, one frame.

    bytes_of: upper bound of an item's bytes on the wire, without FIELDS_BYTES_MAX. One item alone
    always fits: payloads, results and texts have limits of their own.
    """
    part: list[T] = []
    part_bytes = 0
    for item in items:
        item_bytes = bytes_of(item) + FIELDS_BYTES_MAX
        if part and (part_bytes + item_bytes > PART_BYTES_MAX or len(part) >= ITEMS_MAX):
            yield part
            part, part_bytes = [], 0
        part.append(item)
        part_bytes += item_bytes
    if part:
        yield part

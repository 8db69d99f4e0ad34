"""parts.py: lists of any length, in parts that fit a frame."""

import pytest

from holdfast.wire import parts as module
from holdfast.wire.constants import ITEMS_MAX
from holdfast.wire.parts import FIELDS_BYTES_MAX, PART_BYTES_MAX, parts, text_bytes_max


def lengths(items: list[int]) -> list[int]:
    """Of the parts of a list in which each number is the bytes of itself."""
    cut = list(parts(items, lambda item: item))
    assert [item for part in cut for item in part] == items
    return [len(part) for part in cut]


def test_a_short_list_is_one_part_and_an_empty_one_is_none() -> None:
    assert lengths([1, 2, 3]) == [3]
    assert lengths([]) == []


def test_no_part_has_more_items_than_a_frame_may() -> None:
    assert lengths([1] * (2 * ITEMS_MAX + 1)) == [ITEMS_MAX, ITEMS_MAX, 1]


@pytest.mark.parametrize(("over", "expected"), [(0, [2]), (1, [1, 1])])
def test_no_part_has_more_bytes_than_a_frame_may_with_those_of_its_fields(
    over: int, expected: list[int]
) -> None:
    half = PART_BYTES_MAX // 2 - FIELDS_BYTES_MAX
    assert lengths([half, half + over]) == expected


def test_bytes_are_counted_anew_for_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_BYTES_MAX", 3 * (FIELDS_BYTES_MAX + 1))
    assert lengths([1] * 8) == [3, 3, 2]


def test_an_item_larger_than_a_part_goes_alone() -> None:
    assert lengths([1, 2 * PART_BYTES_MAX, 1]) == [1, 1, 1]
    assert lengths([2 * PART_BYTES_MAX, 1]) == [1, 1]


def test_a_text_has_at_most_four_bytes_a_character() -> None:
    assert text_bytes_max("abc") == 12
    assert len("😀".encode()) <= text_bytes_max("😀")

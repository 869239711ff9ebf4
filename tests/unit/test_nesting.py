"""How deep a value from outside may go."""

import pytest

from bot.domain.text.nesting import is_nested_deeper


def nest(depth: int, value: object = 1) -> object:
    for number in range(depth):
        value = [value] if number % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    ("depth", "limit", "is_too_deep"), [(0, 1, False), (3, 3, False), (4, 3, True), (900, 3, True)]
)
def test_lists_and_objects_are_counted_as_they_stand_in_each_other(depth: int, limit: int, is_too_deep: bool) -> None:
    assert is_nested_deeper(nest(depth), limit) is is_too_deep
    assert is_nested_deeper([1, {"b": "x"}, nest(depth - 1)] if depth else 1, limit) is is_too_deep


def test_what_is_wide_is_not_deep() -> None:
    assert not is_nested_deeper([{"a": [number]} for number in range(10_000)], 3)

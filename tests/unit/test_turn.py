"""Turns at the store: in the order in which they were asked for, and never for ever."""

import threading
import time

import pytest

from bot.errors import Reason, Unavailable
from bot.store.turn import Turn


def test_whoever_came_first_is_next() -> None:
    turn, order = Turn(5.0), []
    waiting = []

    def take(number: int) -> None:
        with turn:
            order.append(number)

    with turn:
        for number in range(5):
            waiting.append(threading.Thread(target=take, args=(number,)))
            waiting[-1].start()
            while len(turn._line) <= number:
                time.sleep(0.001)
        order.append(-1)
    for thread in waiting:
        thread.join()
    assert order == [-1, 0, 1, 2, 3, 4]


def test_whoever_waits_too_long_is_told_so_and_holds_up_nobody() -> None:
    turn = Turn(0.02)
    found: list[Unavailable] = []

    def take() -> None:
        try:
            with turn:
                pass
        except Unavailable as error:
            found.append(error)

    with turn:
        other = threading.Thread(target=take)
        other.start()
        other.join()
    assert [error.reason for error in found] == [Reason.OVERLOADED]
    with turn:
        pass


def test_a_turn_that_ends_in_an_error_is_over() -> None:
    turn = Turn(0.02)
    with pytest.raises(ZeroDivisionError), turn:
        raise ZeroDivisionError
    with turn:
        pass

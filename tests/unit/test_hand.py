"""One thread for quick work: in order, with what each piece returns or raises."""

import asyncio
import gc
import threading

import pytest

from bot.ports.hand import Hand


async def test_pieces_of_work_follow_one_another_on_one_thread():
    hand, done = Hand("hand"), list[int]()
    threads = await asyncio.gather(
        *(hand.do(lambda n=n: (done.append(n), threading.current_thread())[1]) for n in range(50))
    )
    assert done == list(range(50))
    assert {thread.name for thread in threads} == {"hand"}


async def test_what_work_raises_reaches_its_caller_and_the_next_is_done():
    hand = Hand("hand")
    with pytest.raises(ZeroDivisionError):
        await hand.do(lambda: 1 / 0)
    assert await hand.do(lambda: 3) == 3


async def test_work_whose_caller_has_left_is_done_all_the_same():
    hand, gate, done = Hand("hand"), threading.Event(), list[str]()
    left = asyncio.create_task(hand.do(lambda: (gate.wait(5), done.append("left"))))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    gate.set()
    await hand.do(lambda: done.append("next"))
    assert done == ["left", "next"]


async def test_the_thread_ends_with_its_hand_once_the_work_is_done():
    hand, done = Hand("hand"), list[int]()
    thread = await hand.do(threading.current_thread)
    left = asyncio.create_task(hand.do(lambda: done.append(1)))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    del hand, left
    gc.collect()
    await asyncio.to_thread(thread.join, 5)
    assert (thread.is_alive(), done) == (False, [1])

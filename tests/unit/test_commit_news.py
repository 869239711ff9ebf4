"""News of commits: whoever waits for one is woken, and nobody else."""

import asyncio

from bot.engine.commit_news import CommitNews


async def test_news_of_a_commit_ends_the_wait_of_all_who_wait_for_it():
    news = CommitNews()
    waits = [asyncio.create_task(news.wait("a" * 40, 60)) for _ in range(3)]
    other = asyncio.create_task(news.wait("b" * 40, 0.05))
    await asyncio.sleep(0)
    news.tell(["a" * 40, "c" * 40])
    assert await asyncio.gather(*waits) == [True, True, True]
    assert await other is False


async def test_nothing_is_kept_of_those_who_no_longer_wait():
    news = CommitNews()
    task = asyncio.create_task(news.wait("a" * 40, 60))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    news.tell(["a" * 40])
    assert await news.wait("a" * 40, 0.01) is False

"""News of commits: whoever follows one is woken, and nobody else."""

import asyncio

from bot.engine.commit_news import CommitNews


async def test_news_of_a_commit_ends_the_wait_of_all_who_follow_it():
    news = CommitNews()
    with news.follow("a" * 40) as one, news.follow("a" * 40) as two, news.follow("b" * 40) as other:
        waits = [asyncio.create_task(listener.wait(60)) for listener in (one, two)]
        await asyncio.sleep(0)
        news.tell(["a" * 40, "c" * 40])
        assert await asyncio.gather(*waits) == [True, True]
        assert await other.wait(0.01) is False


async def test_news_between_a_question_and_the_wait_is_not_missed_and_counts_once():
    news = CommitNews()
    with news.follow("a" * 40) as listener:
        news.tell(["a" * 40])
        news.tell(["a" * 40])
        assert await listener.wait(60) is True
        assert await listener.wait(0.01) is False


async def test_nothing_is_kept_of_those_who_no_longer_follow():
    news = CommitNews()
    with news.follow("a" * 40) as listener:
        task = asyncio.create_task(listener.wait(60))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    news.tell(["a" * 40])
    with news.follow("a" * 40) as later:
        assert await later.wait(0.01) is False

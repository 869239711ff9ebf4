"""How often a check must say the same before a commit is blamed, and what tells that its answer may be chance.

A check that is red with probability p whatever the commit is red r times at an innocent one and green g times at its
parent in p^r (1-p)^g of all tries: with a red head before it, at most 3.5 % of those with two each, 0.2 % with four.
"""

import re
from collections.abc import Iterable
from typing import Final

#: Enough where the evidence points at the commit and nothing speaks for chance, with as many runs in all as `ENOUGH`.
EXPECTED: Final = 2
ENOUGH: Final = 5
#: What the logs show failing failed once more than it was run: somebody saw it.
SEEN: Final = 3
DOUBTED: Final = 4

_MAX_TEXT: Final = 512 * 1024
_IMPORTS: Final = re.compile(r"^\s*(?:from\s|import\s|use\s|using\s|#include|require\b)")
_CHANCE: Final = re.compile(
    r"(?:(?<![.\w])random|\b(?:random\.(?!seed\b|Random\b)\w+|urandom|randint|randrange|shuffle"
    r"|getrandbits|Math\.random|rand\.\w+|thread_rng|SecureRandom|new\s+Random|Random\.new|mt_rand"
    r"|random_int|srand|rand|Thread|ThreadPoolExecutor|ProcessPoolExecutor|asyncio\.(?:gather|wait|create_task)"
    r"|go\s+func|Promise\.(?:race|any)|Executors\.\w+|CompletableFuture|tokio::spawn|thread::spawn|getpid))(?=\s*[({])"
    r"|\bRANDOM\b|/dev/u?random\b|\bshuf\b|@Retry\w*|@RepeatedTest|retryTimes|\b(?i:flak[ey]{1,2})\b"
)
#: Everybody reads clocks and makes ids; only in a test do they decide what it answers.
_IN_TESTS: Final = re.compile(
    r"\b(?:perf_counter|monotonic|time_ns|time\.time|time\.sleep|asyncio\.sleep|usleep|Thread\.sleep|time\.Sleep"
    r"|setTimeout|setInterval|Date\.now|performance\.now|time\.Now|time\.Since|Time\.now|nanoTime|currentTimeMillis"
    r"|Instant::now|Stopwatch\.\w+|microtime|hrtime|secrets\.\w+|uuid[14]|randomUUID)(?=\s*[({])|\bdate \+%"
)
_TOLD: Final = re.compile(
    r"\bflak(?:e|ey|y|iness)\b|\bintermittent|\bnon-?determinis|\brac(?:e condition|y test)|\bre-?runs? (?:the )?test|"
    r"\bunstable test|\bsometimes fails?\b|\bretry (?:the )?(?:flaky )?tests?\b",
    re.IGNORECASE,
)


def find_chance(text: str, *, is_test: bool) -> str:
    """Return what a piece of code asks that answers differently each time, or that it calls itself flaky; else "".
    Imports alone do not count."""
    for line in text[:_MAX_TEXT].splitlines():
        if _IMPORTS.match(line):
            continue
        found = _CHANCE.search(line) or (_IN_TESTS.search(line) if is_test else None)
        if found:
            return " ".join(found.group(0).split())
    return ""


def tells_of_chance(subject: str) -> bool:
    """Say whether a commit's message calls a test flaky."""
    return _TOLD.search(subject) is not None


def pick_lines(lines: list[str], spans: Iterable[tuple[int, int]], inner: Iterable[tuple[int, int]]) -> str:
    """Return the lines of a file that can have run: those in `spans` (from 1), and those in none of `inner`."""
    inside = {number for first, last in inner for number in range(first, last + 1)}
    ran = {number for first, last in spans for number in range(first, last + 1)}
    return "\n".join(text for number, text in enumerate(lines, 1) if number in ran or number not in inside)

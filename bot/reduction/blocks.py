"""Folds the blocks of one log, in order, several at once; the layout comes from its beginning."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import Final

from bot.reduction.folding import Folded, choose_fold, fold_with_python, split_block
from bot.reduction.layout import Layout, find_layout

BLOCK: Final = 4 * 1024 * 1024
SMALL: Final = 2 * 1024 * 1024
SAMPLE_BYTES: Final = 512 * 1024
AT_ONCE: Final = 2


def sample_layout(blocks: Iterator[bytes]) -> tuple[Layout, Iterator[bytes]]:
    """Return the layout of a log, and all of its blocks again."""
    taken: list[bytes] = []
    size = 0
    for block in blocks:
        taken.append(block)
        size += len(block)
        if size >= SAMPLE_BYTES:
            break
    sample = b"".join(taken)[:SAMPLE_BYTES]
    lines = split_block(sample[: sample.rfind(b"\n") + 1] or sample)
    return find_layout(lines), chain(taken, blocks)


def fold_blocks(blocks: Iterable[bytes], layout: Layout, *, is_light: bool = False) -> Iterator[Folded]:
    """Yield the lines of all blocks folded, in order. At most a few blocks are held; `is_light`: with Python alone."""
    gathered = _gather(blocks)
    if is_light:
        yield from (fold_with_python(block, layout) for block in gathered)
        return
    begun = list(islice(gathered, 2))
    if len(begun) == 1 and len(begun[0]) < SMALL:  # the engine that is quicker costs more than this to start
        yield fold_with_python(begun[0], layout)
    elif begun:
        yield from _fold_at_once(chain(begun, gathered), layout)


def _fold_at_once(blocks: Iterator[bytes], layout: Layout) -> Iterator[Folded]:
    fold = choose_fold()
    waiting: deque[Future[Folded]] = deque()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for block in blocks:
            waiting.append(threads.submit(fold, block, layout))
            if len(waiting) > AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _gather(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Put small blocks together: what lines have in common is found once for each."""
    parts: list[bytes] = []
    size = 0
    for block in blocks:
        if not parts and len(block) >= BLOCK // 2 and block.endswith(b"\n"):
            yield block
            continue
        parts.append(block if block.endswith(b"\n") else block + b"\n")
        size += len(block)
        if size >= BLOCK:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)

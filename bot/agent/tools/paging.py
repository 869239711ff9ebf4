"""One rule for what is too long for an answer: it is shown page by page, and each page says how to see the next."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from bot.agent.arguments import Param
from bot.errors import Reason, Refused

PAGE: Final = 12_000
"""Bytes of a page. Its text is clean already, so that little can be added to it before it is shown."""
MAX_LINE: Final = 1_000

PAGE_PARAM: Final = Param(name="page", about="Which page of a long answer, from 1.", kind="integer", most=10_000)


def show_page(text: str, page: int, clean: Callable[[str], str], *, by: str = PAGE_PARAM.name) -> str:
    """Return one page of a text. It is cleaned whole: what is secret may run over many lines. `by` is the argument that
    turns pages.

    Raises `Refused` where there is no such page.
    """
    pages = list(_split(clean(text).rstrip("\n").split("\n")))
    if page > len(pages):
        raise Refused(f"there is no page {page}; pages: 1 to {len(pages)}", Reason.NOT_FOUND)
    shown = "\n".join(pages[page - 1])
    if len(pages) == 1:
        return shown
    more = f"; {by}={page + 1} goes on" if page < len(pages) else ", the last"
    return f"{shown}\n… page {page} of {len(pages)}{more}"


def count_fitting(lines: Sequence[str]) -> int:
    """Return how many of the lines, from the first, fit into one page: one at least."""
    return len(next(_split(lines), ()))


def cut_line(line: str) -> str:
    """Return a line as it fits into an answer; a long one says how much of it is not shown."""
    if len(line) <= MAX_LINE:
        return line
    return (
        f"{line[:MAX_LINE]}… ({len(line) - MAX_LINE:,} more characters in this line; grep shows those around a match)"
    )


def _split(lines: Sequence[str]) -> Iterator[list[str]]:
    page, size = list[str](), 0
    for line in lines:
        kept = line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…"
        weight = len(kept.encode("utf-8", "replace")) + 1
        if page and size + weight > PAGE:
            yield page
            page, size = [], 0
        page.append(kept)
        size += weight
    yield page

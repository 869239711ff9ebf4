"""What the repository's linters say about a patch, and not about the tree without it."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from bot.agent.inspecting import Linted
from bot.domain.checks.named import CheckKind
from bot.domain.draft import Patch
from bot.domain.evidence import Check
from bot.errors import Rejected, Unavailable
from bot.worker.reproduce import Bench
from bot.worker.trial import Trial

MAX_LINTERS: Final = 2
MAX_LINE: Final = 300
_NUMBER: Final = re.compile(r"\d+")
_PLURAL: Final = re.compile(r"(# [a-z]+?)s\b")
_PLACE: Final = re.compile(r"\s*\d+:\d+\s")


async def lint_patch(bench: Bench, base: str, patch: Patch) -> Linted:
    """Run each linter with the patch, and without it where it is red. The verdict on the patch finds the runs done."""
    if bench.fault:
        return Linted(note=bench.fault)
    await bench.read_checks(base)
    linters = [name for name, spec in bench.checks.items() if spec.kind is CheckKind.LINT][:MAX_LINTERS]
    if not linters:
        return Linted()
    try:
        tree = await bench.checkout.patched_tree(base, patch.text)
        await bench.archive(tree, keep=True)
    except (Rejected, Unavailable):
        return Linted()  # the verdict says why
    findings: list[str] = []
    unjudged: list[str] = []
    for name in linters:
        run = await bench.run(Trial(check=name), tree)
        if run.verdict is Check.UNKNOWN:
            unjudged.append(name)
        elif run.verdict is Check.RED:
            await bench.run(Trial(check=name), base)
            before, after = (bench.outputs.get((name, at), "") for at in (base, tree))
            findings += list_new(before, after)
    return Linted(findings=tuple(findings), note=f"{', '.join(unjudged)} could not be run to its end" * bool(unjudged))


def list_new(before: str, after: str) -> list[str]:
    """Return what a linter says only afterwards. Lines that differ in numbers alone, or in
    a plural after one, are the same finding, moved."""
    known = Counter(_kind(line) for line in _list_lines(before))
    new: list[str] = []
    for line in _list_lines(after):
        known[_kind(line)] -= 1
        if known[_kind(line)] < 0:
            new.append(line[:MAX_LINE])
    return new


def _kind(line: str) -> str:
    return _PLURAL.sub(r"\1", _NUMBER.sub("#", line)).strip()


def _list_lines(output: str) -> Iterator[str]:
    """Yield what stands in the lines; a finding below its file's name ("  12:5  error …") is told with it."""
    heading = ""
    for line in output.splitlines():
        if not any(char.isalpha() for char in line):
            continue
        if _PLACE.match(line) and line[:1].isspace() and heading:
            yield f"{heading}:{line.strip()}"
        else:
            heading = line.strip()
            yield line.rstrip()

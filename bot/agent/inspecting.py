"""What a reader sees at once in an edited file, before anything runs: that it does not parse, or that the linter minds.

The parsers and the linter are the worker's; here is what they say, and how the model is told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.errors import Reason, Refused

MAX_UNPARSED: Final = 2
"""How often edits that do not parse go back untried. Then the sandbox decides: a grammar may be behind its language."""
MAX_SHOWN: Final = 5
MAX_FINDINGS: Final = 20

Edited = Mapping[str, tuple[bytes | None, bytes]]
"""By path, each file as it is and as it would be; None stands for a file that is not there."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A place that does not parse: its line, as it stands there, and what is wrong."""

    path: str
    line: int
    code: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.why}: {self.code.strip()[:160]}"


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What the parsers say about edited files: faults that the edits bring in, and files that nobody could parse.

    `is_refused` says that nothing more is tried with them.
    """

    faults: tuple[Fault, ...] = ()
    unparsed: tuple[str, ...] = ()
    is_refused: bool = False


@dataclass(frozen=True, kw_only=True)
class Linted:
    """What the repository's linters say about a patch and not about the tree without it; `note` says what they could
    not say."""

    findings: tuple[str, ...] = ()
    note: str = ""


def refuse_faults(faults: Sequence[Fault]) -> Refused:
    """Return the answer to edits that do not parse."""
    shown = "\n".join(str(fault) for fault in faults[:MAX_SHOWN])
    more = f"\n… and {len(faults) - MAX_SHOWN} more" if len(faults) > MAX_SHOWN else ""
    text = f"with these edits the file does not parse, so nothing was tried and no repair is used up:\n{shown}{more}"
    again = "Mend the edits and propose again. Should the parser be wrong, propose them again under another title: "
    return Refused(f"{text}\n{again}after {MAX_UNPARSED} such answers the sandbox decides.", Reason.BAD_INPUT)


def tell_inspection(inspection: Inspection, linted: Linted) -> str:
    """Return what is to be said beside the sandbox's verdict, "" where nothing is."""
    parts = []
    if inspection.faults:
        shown = "\n".join(str(fault) for fault in inspection.faults[:MAX_SHOWN])
        parts.append(f"It was tried although it does not parse:\n{shown}")
    if inspection.unparsed:
        parts.append(f"Not parsed, for want of a grammar: {', '.join(inspection.unparsed[:MAX_SHOWN])}.")
    if linted.findings:
        left = len(linted.findings) - MAX_FINDINGS
        more = [f"… and {left} more"] if left > 0 else []
        parts.append("\n".join(["New with this patch, by the linter:", *linted.findings[:MAX_FINDINGS], *more]))
    if linted.note:
        parts.append(f"The linter: {linted.note}.")
    return "\n\n".join(parts)

"""The output of a command of the operator's: an argument list with the time to read, never a shell."""

import os
import re
import shlex
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bot.domain.evidence import LogLine
from bot.domain.logs.logtime import parse_time
from bot.domain.service import LogPlace
from bot.domain.text.letters import to_utf8
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.logs import LogQuery
from connectors.logs.entries import CUT, naming, say_range
from connectors.logs.file_blocks import MAX_LINE
from connectors.logs.process import run_lines

_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z ", re.ASCII)
_TIME_REACH: Final = 16 * 1024


@dataclass(frozen=True, kw_only=True)
class Template:
    """A command that is known. `merges`: its error output is log too. `is_stamped`: it puts a time before each line.

    `is_far`: the words after the host are joined for a shell on another machine, so each is quoted.
    """

    argv: tuple[str, ...]
    merges: bool = False
    is_stamped: bool = False
    is_far: bool = False


TEMPLATES: Final[Mapping[str, Template]] = {
    "docker": Template(
        argv=("docker", "logs", "--timestamps", "--since={since}", "--until={until}", "--", "{path}"),
        merges=True,
        is_stamped=True,
    ),
    "kubectl": Template(
        argv=("kubectl", "logs", "--timestamps", "--since-time={since}", "--tail=-1", "--", "{path}"),
        is_stamped=True,
    ),
    "ssh": Template(
        argv=(
            "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "--", "{path}",
            "journalctl", "--no-pager", "--quiet", "--utc", "--output=short-iso-precise", "--unit={query}",
            "--since=@{since_epoch}", "--until=@{until_epoch}",
        ),
        is_far=True,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Line:
    number: int
    text: str
    at: datetime | None


class Source:
    """`LogSource` over what `place.command` writes: a list of arguments, or the name of one of `TEMPLATES`.

    `{since}`, `{until}` (RFC 3339), `{since_epoch}`, `{until_epoch}`, `{service}`, `{path}` and `{query}` are
    replaced in its words. It gets PATH, LANG and the variables that `place.env` names. `notes` says what the latest
    read left out.
    """

    def __init__(self, place: LogPlace) -> None:
        self._place = place
        first = place.command[0] if place.command else ""
        known = TEMPLATES.get(first) if len(place.command) == 1 else None
        self._template = known or Template(argv=place.command)
        self.notes: list[str] = []

    @property
    def name(self) -> str:
        return self._place.path or (self._place.command[0] if self._place.command else "command")

    def read(self, query: LogQuery) -> Iterator[LogLine]:
        self.notes = []
        with naming(lambda what: self._say(what, query)):
            kept = self._keep(query)
        for line in kept:
            yield LogLine(source=self.name, number=line.number, text=line.text, at=line.at)

    def _keep(self, query: LogQuery) -> deque[_Line]:
        """Return the newest lines in the range. A line without a time goes with the line before it."""
        kept: deque[_Line] = deque()
        env = {name: os.environ[name] for name in self._place.env if name in os.environ}
        used, clock, is_cut, began = 0, None, False, time.monotonic()
        lines = run_lines(self._argv(query), env=env, seconds=query.seconds, merges=self._template.merges)
        try:
            for number, raw in enumerate(lines, 1):
                line = self._read_line(number, raw, query)
                clock = line.at or clock
                if clock is not None and not query.since <= clock < query.until:
                    continue
                kept.append(line)
                used += len(line.text) + 1
                while used > query.max_bytes and kept:
                    used -= len(kept.popleft().text) + 1
                    is_cut = True
        except Unavailable as error:
            if error.reason is not Reason.TIMEOUT or not kept:
                raise
            self.notes.append(f"{self.name}: only what it wrote in {time.monotonic() - began:.0f} s")
        if is_cut:
            self.notes.append(f"{self.name}: only the newest {used:,} bytes were kept")
        return kept

    def _read_line(self, number: int, raw: bytes, query: LogQuery) -> _Line:
        text = to_utf8(raw[:MAX_LINE]).decode("utf-8", "backslashreplace") + (CUT if len(raw) > MAX_LINE else "")
        stamp = _STAMP.match(text) if self._template.is_stamped else None
        if stamp is None:
            return _Line(number=number, text=text, at=parse_time(text[:_TIME_REACH], near=query.until))
        try:
            at = datetime.fromisoformat(stamp[1]).replace(
                tzinfo=UTC, microsecond=int((stamp[2] or "0").ljust(6, "0")[:6])
            )
        except ValueError:
            return _Line(number=number, text=text, at=None)
        return _Line(number=number, text=text[stamp.end() :], at=at)

    def _argv(self, query: LogQuery) -> Sequence[str]:
        if not self._template.argv:
            raise Rejected("no command is configured", Reason.BAD_INPUT)
        values = {
            "since": _say_time(query.since),
            "until": _say_time(query.until),
            "since_epoch": str(int(query.since.timestamp())),
            "until_epoch": str(int(query.until.timestamp()) + 1),
            "service": query.service,
            "path": self._place.path,
            "query": self._place.query,
        }
        words = [_fill(word, values) for word in self._template.argv]
        if not self._template.is_far:
            return words
        far = self._template.argv.index("{path}") + 1
        return [*words[:far], *(shlex.quote(word) for word in words[far:])]

    def _say(self, what: str, query: LogQuery) -> str:
        return say_range(what, query, f"{self._place.path} {self._place.query}".strip())


def _fill(word: str, values: Mapping[str, str]) -> str:
    """Replace the placeholders of a word, once each; a value that would be an option of its own is refused."""
    filled = re.sub(r"\{([a-z_]{1,20})\}", lambda match: values.get(match[1], match[0]), word)
    if filled.startswith("-") and not word.startswith("-"):
        raise Rejected(f'"{filled[:60]}" would be taken for an option', Reason.BAD_INPUT)
    return filled


def _say_time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

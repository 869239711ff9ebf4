"""The systemd journal: this machine's, or that of a folder or a file, read by `journalctl`, newest first."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bot.domain.evidence import LogLine
from bot.domain.service import LogPlace
from bot.domain.text.letters import to_utf8
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.logs import LogQuery
from connectors.logs.entries import Entry, count_nanoseconds, naming, say_range, tell_lines
from connectors.logs.process import run_lines

_MATCH: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,63}=[^\x00-\x1f]{1,500}|\+")
_SECOND: Final = 10**9
MAX_ENTRY: Final = 16 * 1024 * 1024


class Source:
    """`LogSource` over the entries that `place.query` matches, written as for journalctl: "_SYSTEMD_UNIT=shop.service".

    `place.path` is a journal file or a folder of them, "" the journal of this machine. `notes` says what the latest
    read had to leave out.
    """

    def __init__(self, place: LogPlace, program: str = "journalctl") -> None:
        self._place = place
        self._program = program
        self.notes: list[str] = []

    @property
    def name(self) -> str:
        return Path(self._place.path).name or "journal"

    def read(self, query: LogQuery) -> Iterator[LogLine]:
        self.notes = []
        with naming(lambda what: self._say(what, query)):
            kept = self._keep(query)
        yield from tell_lines(self.name, kept)

    def _keep(self, query: LogQuery) -> list[Entry]:
        """Return the entries in the range, newest first, within the query's bytes and, as far as it came, its time."""
        since, until = count_nanoseconds(query.since), count_nanoseconds(query.until)
        kept: list[Entry] = []
        used, unread, began = 0, 0, time.monotonic()
        lines = run_lines(self._argv(since, until), env={}, seconds=query.seconds, longest=MAX_ENTRY)
        try:
            for line in lines:
                entry = _read_entry(line)
                if entry is None:
                    unread += 1
                    continue
                if not since <= entry.at < until:
                    continue
                used += len(entry.text) + 1
                if used > query.max_bytes:
                    self.notes.append(f"{self.name}: only the newest {query.max_bytes:,} bytes were read")
                    lines.close()  # type: ignore[attr-defined] # a generator
                    break
                kept.append(entry)
        except Unavailable as error:
            if error.reason is not Reason.TIMEOUT or not kept:
                raise
            self.notes.append(f"{self.name}: only what was read in {time.monotonic() - began:.0f} s")
        if unread:
            self.notes.append(f"{self.name}: {unread:,} {'entry' if unread == 1 else 'entries'} could not be read")
        return kept

    def _argv(self, since: int, until: int) -> list[str]:
        matches = self._place.query.split()
        wrong = [match for match in matches if _MATCH.fullmatch(match) is None]
        if wrong:
            raise Rejected(f'"{wrong[0][:60]}" is no match; write FIELD=value', Reason.BAD_INPUT)
        where = []
        if self._place.path:
            path = Path(self._place.path)
            where = [f"--directory={path}" if path.is_dir() else f"--file={path}"]
        fixed = ["--output=json", "--all", "--quiet", "--no-pager", "--reverse", "--output-fields=MESSAGE"]
        span = [f"--since=@{since // _SECOND}", f"--until=@{-(-until // _SECOND)}"]
        return [self._program, *fixed, *where, *span, "--", *matches]

    def _say(self, what: str, query: LogQuery) -> str:
        return say_range(what, query, f"{self._place.path} {self._place.query}".strip())


def _read_entry(line: bytes) -> Entry | None:
    """Return an entry; None for a line that is none, as where the journal is damaged."""
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    stamp = value.get("__REALTIME_TIMESTAMP") if isinstance(value, dict) else None
    if not isinstance(stamp, str) or not (stamp.isascii() and stamp.isdecimal() and len(stamp) < 17):
        return None
    message = value.get("MESSAGE")
    message = message[-1] if isinstance(message, list) and message and isinstance(message[-1], str | list) else message
    if isinstance(message, list):
        whole = all(isinstance(byte, int) and 0 <= byte < 256 for byte in message)
        message = to_utf8(bytes(message)).decode("utf-8", "backslashreplace") if whole else None
    return Entry(at=int(stamp) * 1_000, text=message) if isinstance(message, str) else None

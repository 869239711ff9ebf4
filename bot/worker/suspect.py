"""Stage two: which commits of the deployed branch may have caused what the logs show."""

import asyncio
import io
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.domain.checks.reproduction import Reproduce
from bot.domain.evidence import ErrorRecord, Evidence
from bot.domain.investigation import Collected, Job, Suspected
from bot.domain.suspects.blame import read_hunks, read_renames
from bot.domain.suspects.drift import Drift, find_drift, find_package
from bot.domain.suspects.nearness import CUT, Executed, read_aliases
from bot.domain.suspects.reach import Definition, Seed, find_reach
from bot.domain.suspects.spectrum import Spectrum
from bot.domain.suspects.suspicion import (
    Change,
    Clues,
    Place,
    add_reached_words,
    find_line,
    gather_words,
    index_tree,
    locate_frame,
    rank_suspects,
    weigh_by_rarity,
    weigh_records,
)
from bot.domain.suspects.what_changed import list_changes
from bot.domain.text.file_names import is_dependency_file
from bot.ports.workspace import Checkout, Commit
from bot.worker.outline import can_outline, outline
from bot.worker.tools import Tools

MAX_SOURCE = 2 * 1024 * 1024
MAX_PLACES = 40
MAX_SOURCES = 3_000
MAX_MANIFESTS = 40
NEARBY = 3
MAX_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The files of one commit, out of its archive."""

    archive: bytes

    def names(self) -> tuple[str, ...]:
        with tarfile.open(fileobj=io.BytesIO(self.archive)) as tar:
            return tuple(member.name.removeprefix("./") for member in tar if member.isreg())

    def read(self, paths: frozenset[str]) -> dict[str, list[str]]:
        """Return the lines of the named files; a file of more than 2 MiB is left out."""
        found: dict[str, list[str]] = {}
        with tarfile.open(fileobj=io.BytesIO(self.archive)) as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if name in paths and member.isreg() and member.size <= MAX_SOURCE and (file := tar.extractfile(member)):
                    found[name] = file.read().decode("utf-8", "replace").splitlines()
        return found


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What the ranking stands on: the files of the head, and what the failing check executed there, if it was run;
    `spectrum` is how much of that only its failing tests call."""

    head: str
    archive: bytes
    executed: Executed | None = None
    spectrum: Spectrum = field(default_factory=Spectrum)


async def find_suspects(
    job: Job, collected: Collected, *, ground: Ground, commits: Sequence[Commit], tools: Tools
) -> Suspected:
    """Rank the commits, newest first as given, by what was collected."""
    changes = [_change(commit, tools) for commit in commits]
    return await asyncio.to_thread(_rank, job, collected, ground, changes)


async def read_history(checkout: Checkout, branch: str, limit: int) -> tuple[str, Sequence[Commit]]:
    """Return the deployed head and up to `limit` commits from it, newest first."""
    head = await checkout.resolve(branch)
    return head, await checkout.log(head, limit)


def since_green(commits: Sequence[Commit], green: str) -> Sequence[Commit]:
    """Return the commits after the last green one, newest first as given; all where it is not among them."""
    place = next((number for number, commit in enumerate(commits) if commit.sha == green), 0)
    return commits[:place] if place else commits


def _change(commit: Commit, tools: Tools) -> Change:
    return Change(
        sha=commit.sha,
        parents=commit.parents,
        author=tools.clean(commit.author, 80).replace("\n", " "),
        committed_at=commit.committed_at,
        subject=tools.clean(commit.subject, 160).replace("\n", " "),
        files=commit.files,
        diff=commit.diff,
    )


def _rank(job: Job, collected: Collected, ground: Ground, changes: Sequence[Change]) -> Suspected:
    snapshot = Snapshot(archive=ground.archive)
    aliases = read_aliases([read_renames(change.diff) for change in changes])
    places, nearby = _find_places(collected.records, snapshot, aliases)
    code = _read_code(snapshot)
    reach = find_reach(_find_seeds(places, code.definitions), code.definitions, code.sources)
    words = gather_words(collected.records, collected.requests, nearby)
    add_reached_words(words, reach.texts)
    if code.definitions:
        weigh_by_rarity(words, code.pieces())
    clues = Clues(
        places=places,
        words=words,
        first_error=_first_error(collected, job.alert_started_at),
        reach=reach if reach.names else None,
        executed=_trust(ground.executed, places, code.definitions),
        spectrum=ground.spectrum,
    )
    notes: list[str] = []
    if not collected.records and not collected.requests:
        has_check = collected.reproduce is Reproduce.CHECK and bool(job.service.checks)
        where = "the output of a red check" if has_check else "the logs"
        notes.append(f"nothing was found in {where}, so the commits are ranked by time alone")
    elif not places and collected.records:
        notes.append("no stack frame could be found in the repository, so words and time decide")
    if len(changes) >= job.playbook.history:
        notes.append(f"only the last {len(changes)} commits were looked at")
    suspects = rank_suspects(clues, changes)
    return Suspected(
        head=ground.head,
        suspects=suspects,
        notes=tuple(notes),
        code=tuple(_show_code(places, snapshot, code, ground.head)),
        changed=list_changes(changes, suspects, job.told, clues=clues),
        drift=_find_drift(collected, snapshot, changes),
    )


def _find_drift(collected: Collected, snapshot: Snapshot, changes: Sequence[Change]) -> Drift | None:
    """Look for a package that nothing pins, where the error comes out of one."""
    if not any(record.frames and find_package(record.frames[-1].path) for record in collected.records):
        return None
    paths = frozenset(
        sorted(filter(is_dependency_file, snapshot.names()), key=lambda path: path.count("/"))[:MAX_MANIFESTS]
    )
    hunks = (hunk for change in changes for hunk in read_hunks(change.diff) if is_dependency_file(hunk.path))
    return find_drift(
        collected.records,
        {path: "\n".join(lines) for path, lines in snapshot.read(paths).items()},
        changed=(line for hunk in hunks for line in hunk.removed),
        told={piece.kind: piece.text for piece in collected.evidence},
    )


@dataclass(frozen=True, kw_only=True)
class Code:
    """The sources of the head that have an outline, and what they define."""

    sources: Mapping[str, Sequence[str]]
    definitions: Sequence[Definition]

    def pieces(self) -> Iterator[str]:
        """Yield the text of each function."""
        for each in self.definitions:
            if not each.is_class:
                yield "\n".join(self.sources[each.path][each.start - 1 : each.end])


def _read_code(snapshot: Snapshot) -> Code:
    paths = sorted(path for path in snapshot.names() if can_outline(path))[:MAX_SOURCES]
    sources = snapshot.read(frozenset(paths))
    definitions = [
        each for path, lines in sources.items() for each in outline(path, "\n".join(lines).encode("utf-8", "replace"))
    ]
    return Code(sources=sources, definitions=definitions)


def _show_code(places: Sequence[Place], snapshot: Snapshot, code: Code, head: str) -> Iterator[Evidence]:
    """Yield the lines around the nearest places, as they are at the head, with the function that they are in."""
    shown = [place for place in places if place.line][:MAX_SHOWN]
    sources = snapshot.read(frozenset(place.path for place in shown))
    for place in shown:
        lines = sources.get(place.path, [])
        first, last = max(1, place.line - NEARBY), min(len(lines), place.line + NEARBY)
        text = "\n".join(
            f"{'>' if n == place.line else ' '}{n:>5} {lines[n - 1][:200]}" for n in range(first, last + 1)
        )
        name = find_function(place, code.definitions)
        yield Evidence(
            id="", kind="code", cite=f"{place.path}:{place.line} at {head[:12]}", text=f"{name or 'top level'}\n{text}"
        )


def _trust(executed: Executed | None, places: Sequence[Place], definitions: Sequence[Definition]) -> Executed | None:
    """Return what was executed, None where it cannot be all: the innermost frame certainly was."""
    if not executed:
        return None
    first = next((place for place in places if place.is_innermost and place.path in executed), None)
    missing = next((place for place in places if place.is_innermost and place.path.endswith(".py")), None)
    if first is None:
        return None if missing is not None else executed
    name = find_function(first, definitions)
    return executed if not name or name in executed[first.path] or CUT in executed else None


def _find_seeds(places: Sequence[Place], definitions: Sequence[Definition]) -> list[Seed]:
    return [
        Seed(path=each.path, function=find_function(each, definitions), line=each.line, weight=each.weight)
        for each in places
    ]


def find_function(place: Place, definitions: Sequence[Definition]) -> str:
    """Return the innermost function around a place; where it has no line, what its frame calls itself."""
    around = [
        each
        for each in definitions
        if each.path == place.path and not each.is_class and each.start <= place.line <= each.end
    ]
    return max(around, key=lambda each: each.start).name if around else re.split(r"[.:#]+", place.function)[-1]


def _first_error(collected: Collected, alert: datetime) -> datetime:
    """Return when it began, or the most telling error was first seen; the alert's start where no error has a time."""
    if collected.began_at is not None:
        return collected.began_at
    weighed = zip(weigh_records(collected.records), collected.records, strict=True)
    times = [(-weight, record.first_at) for weight, record in weighed if record.first_at is not None]
    return min(times)[1] if times else alert


def _find_places(
    records: Sequence[ErrorRecord], snapshot: Snapshot, aliases: Mapping[str, str]
) -> tuple[tuple[Place, ...], dict[str, list[str]]]:
    """Find the frames in the repository, innermost first, and the source lines around them.

    `aliases` say where files of older commits are at the head: the log may be older than a renaming.
    """
    tree = index_tree(dict.fromkeys([*snapshot.names(), *aliases]))
    found: dict[tuple[str, int, str], Place] = {}
    for record, weight in zip(records, weigh_records(records), strict=True):
        depth = 0
        for frame in reversed(record.frames):
            found_at = locate_frame(frame, tree)
            if found_at is None:
                continue
            path = aliases.get(found_at, found_at)
            place = Place(
                path=path,
                line=frame.line,
                function=frame.function,
                code=frame.code,
                weight=weight * 0.8**depth,
                is_innermost=depth == 0,
            )
            key = (path, frame.line, frame.function)
            if key not in found or found[key].weight < place.weight:
                found[key] = place
            depth += 1
    places = sorted(found.values(), key=lambda place: (-place.weight, place.path, place.line))[:MAX_PLACES]
    sources = snapshot.read(frozenset(place.path for place in places))
    located = tuple(replace(place, line=_locate(place, sources.get(place.path, []))) for place in places)
    nearby: dict[str, list[str]] = {}
    for place in located:
        if place.line:
            around = sources[place.path][max(0, place.line - 1 - NEARBY) : place.line + NEARBY]
            nearby.setdefault(place.path, []).extend(around)
    return located, nearby


def _locate(place: Place, source: Sequence[str]) -> int:
    return find_line(line=place.line, code=place.code, source=source)

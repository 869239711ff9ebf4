"""Which commit may have caused it: frames × words shared by evidence and diff, recency to break ties.

Words weigh most: on real regressions the words shared by evidence and diff found the culprit more often than
stack frames, and frames more often than recency. Nothing here is random: same input, same order.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from bot.domain.evidence import ErrorRecord, FailingRequest, Frame, Suspect
from bot.domain.suspects.blame import LooseHunk, Touch, read_hunks, read_renames, trace_line
from bot.domain.suspects.nearness import Executed, Nearness, may_have_run, measure_nearness, read_aliases
from bot.domain.suspects.reach import Reach
from bot.domain.suspects.spectrum import Spectrum
from bot.domain.text.documents import is_document
from bot.domain.text.file_names import is_test_file
from bot.domain.text.vocabulary import split_words

MAX_SUSPECTS = 10
MAX_WORDS = 2_000
CLOCK_SLACK = timedelta(minutes=2)

_WORDS, _FRAMES, _NEAR, _RECENCY = 0.44, 0.16, 0.36, 0.04
_SHIFT = 0.25
_IN_TEST = 0.4
_OLDEST, _HALF_AGE_DAYS = 0.6, 7.0
_TOUCH = {Touch.CHANGED: 1.0, Touch.NEAR: 0.75, Touch.NONE: 0.25}
_FUNCTION = 0.6
_COMMON_WORDS = 0.3
_SEED_WORDS, _REACHED_WORDS = 0.6, 0.25

_LIBRARY = re.compile(
    r"/lib(?:64)?/python\d|<frozen |/usr/lib/|/node_modules/|/pkg/mod/|\.cargo/registry|/gems/|<string>"
)
_SCHEME = re.compile(r"^(?:file|webpack(?:-internal)?|app|ng)://[^/]*/?(?=/|\.|\w)")
_BUILT = re.compile(r"^(?:.*/)?(?:dist|build|out|lib|\.next/server)/")
_COMPILED = {"js": ("ts", "tsx", "jsx"), "mjs": ("mts", "ts"), "cjs": ("cts", "ts"), "pyc": ("py",)}
_INSTALLED = re.compile(r"/(?:site|dist)-packages/")


@dataclass(frozen=True, kw_only=True)
class Change:
    """One commit as the ranking sees it. Newest first in every list of them."""

    sha: str
    parents: tuple[str, ...]
    author: str
    committed_at: datetime
    subject: str
    files: tuple[str, ...]
    diff: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """A frame found in the repository. `weight` falls from the innermost frame outwards; `line` is 0 when unknown."""

    path: str
    line: int
    function: str
    code: str
    weight: float
    is_innermost: bool = False


@dataclass(frozen=True, kw_only=True)
class Clues:
    """What the evidence says, ready to be held against commits. `words` map to how telling they are."""

    places: tuple[Place, ...] = ()
    words: Mapping[str, float] = field(default_factory=dict)
    first_error: datetime | None = None
    reach: Reach | None = None
    executed: Executed | None = None
    spectrum: Spectrum = field(default_factory=Spectrum)


@dataclass(frozen=True, kw_only=True)
class _Hold:
    """How strongly a change is tied to the stack: a score and the sentence that says why."""

    score: float = 0.0
    reason: str = ""


def index_tree(paths: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Return a repository's paths by their last part."""
    index: dict[str, list[str]] = {}
    for path in paths:
        index.setdefault(path.rsplit("/", 1)[-1], []).append(path)
    return {name: tuple(found) for name, found in index.items()}


def map_path(path: str, tree: Mapping[str, Sequence[str]]) -> str | None:
    """Return the repository file that a frame's path means: the longest common tail, if one file alone has it."""
    installed = _INSTALLED.search(path) is not None
    if _LIBRARY.search(path) and not installed:
        return None
    wanted = path.replace("\\", "/").strip("/").split("/")
    same = {file: _common_tail(file.split("/"), wanted) for file in tree.get(wanted[-1], ())}
    longest = max(same.values(), default=0)
    best = [file for file, common in same.items() if common == longest]
    if len(best) != 1 or (installed and longest < 2):
        return None
    whole = longest in {len(wanted), best[0].count("/") + 1}
    return best[0] if whole or longest > 1 else None


def locate_frame(frame: Frame, tree: Mapping[str, Sequence[str]]) -> str | None:
    """Return the repository file of a frame: as it names it, by the package that its function is in, or as the
    source that it was compiled from."""
    path = _SCHEME.sub("", frame.path)
    if (found := map_path(path, tree)) is not None:
        return found
    name = path.rsplit("/", 1)[-1]
    if "/" not in path and len(parts := re.split(r"[.$]", frame.function)) > 2:
        # Java names a file without its folder; the function has the package.
        for length in range(len(parts) - 1, 0, -1):
            if (found := map_path("/".join([*parts[:length], name]), tree)) is not None:
                return found
    stem, _, suffix = path.rpartition(".")
    others = (map_path(f"{_BUILT.sub('src/', stem)}.{other}", tree) for other in _COMPILED.get(suffix, ()))
    return next((each for each in others if each is not None), None)


def _common_tail(ours: Sequence[str], theirs: Sequence[str]) -> int:
    common = 0
    for left, right in zip(reversed(ours), reversed(theirs), strict=False):
        if left != right:
            break
        common += 1
    return common


def find_line(*, line: int, code: str, source: Sequence[str]) -> int:
    """Return where a frame's code stands now: its own line, else the one line with the same code, else 0."""
    code = code.strip()
    if 0 < line <= len(source) and (not code or source[line - 1].strip() == code):
        return line
    same = [number for number, text in enumerate(source, 1) if text.strip() == code] if code else []
    return same[0] if len(same) == 1 else 0


def weigh_records(records: Sequence[ErrorRecord]) -> list[float]:
    """Return each record's weight, 1 for the most telling: stack traces and frequent errors count more."""
    raw = [math.log2(1 + record.count) * (1.0 if record.frames else 0.4) for record in records]
    top = max(raw, default=1.0) or 1.0
    return [weight / top for weight in raw]


def gather_words(
    records: Sequence[ErrorRecord], requests: Sequence[FailingRequest], sources: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Return the words of the evidence. `sources` maps repository paths of frames to lines near the failing ones."""
    words: dict[str, float] = {}

    def take(text: str, weight: float) -> None:
        for word in split_words(text):
            if len(words) < MAX_WORDS or word in words:
                words[word] = max(words.get(word, 0.0), weight)

    for record, weight in zip(records, weigh_records(records), strict=True):
        take(f"{record.kind} {record.headline}", weight)
        for depth, frame in enumerate(reversed(record.frames[-8:])):
            inside = not _LIBRARY.search(frame.path)
            take(f"{frame.function} {frame.code}", weight * max(0.8**depth, 0.3) * (0.9 if inside else 0.3))
            take(" ".join(PurePosixPath(frame.path).with_suffix("").parts[-2:]), weight * 0.4)
        shown = record.lines[:60] if record.frames else record.lines[:20]
        take("\n".join(line.text for line in shown if not _LIBRARY.search(line.text)), weight * 0.4)
    for request in requests[:5]:
        take(request.target, 0.6)
        take(request.body[:2_000], 0.5)
    for path, lines in sources.items():
        take(PurePosixPath(path).stem, 0.5)
        take("\n".join(lines), 0.35)
    return words


def add_reached_words(words: dict[str, float], texts: Iterable[tuple[str, float]]) -> None:
    """Add the words of the code that the failure can reach: less than what failed, and less with each step."""
    for text, near in sorted(texts, key=lambda each: -each[1]):
        for word in split_words(text):
            if len(words) < MAX_WORDS or word in words:
                weight = _SEED_WORDS if near > 0.95 else _REACHED_WORDS * near
                words[word] = max(words.get(word, 0.0), weight)


def weigh_by_rarity(words: dict[str, float], texts: Iterable[str]) -> None:
    """Let words count less that much of the code uses. `texts` are the code, in pieces of like size."""
    pieces = [frozenset(split_words(text)) for text in texts]
    frequency = Counter(word for piece in pieces for word in piece)
    top = _rarity(0, len(pieces)) or 1.0
    for word in words:
        share = _rarity(frequency[word], len(pieces)) / top
        words[word] *= _COMMON_WORDS + (1 - _COMMON_WORDS) * share


def rank_suspects(clues: Clues, changes: Sequence[Change]) -> tuple[Suspect, ...]:
    """Return the changes most likely to have caused it, most likely first. `changes` are newest first."""
    hunks = {change.sha: read_hunks(change.diff) for change in changes}
    framed = frozenset(place.path for place in clues.places)
    aliases = read_aliases([read_renames(change.diff) for change in changes])
    counts = {
        change.sha: _count_words(change, _pick_run(hunks[change.sha], clues, aliases), framed) for change in changes
    }
    plain = frozenset(change.sha for change in changes if len(change.parents) == 1)
    words = _score_words(clues.words, counts, plain)
    holds = _score_frames(clues.places, changes, hunks)
    suspects: list[tuple[float, int, Suspect]] = []
    for index, change in enumerate(changes):
        word_score, shared = words[change.sha]
        hold = holds.get(change.sha, _Hold())
        recency, age = score_recency(change.committed_at, clues.first_error)
        factor, doubts = _doubt(change, clues.first_error)
        freshness = _OLDEST + (1 - _OLDEST) * recency
        near = (
            measure_nearness(hunks[change.sha], clues.reach, clues.executed, aliases, spectrum=clues.spectrum)
            if clues.reach is not None and change.diff
            else Nearness(score=hold.score)
        )
        shift = _SHIFT if clues.spectrum.weights else 0.0
        known = (_WORDS - shift) * word_score + _FRAMES * hold.score + (_NEAR + shift) * near.score + _RECENCY * recency
        score = factor * freshness * near.factor * known
        told = ([hold.reason] if hold.reason else []) + (
            [f"shares {', '.join(shared)} with the evidence"] if shared and word_score >= 0.15 else []
        )
        told += [near.reason] if near.reason and hold.score < 0.5 else []
        if word_score * _WORDS > hold.score * _FRAMES:
            told.reverse()
        suspects.append((score, index, _suspect(change, score, (*told, *doubts, *age))))
    suspects.sort(key=lambda item: (-round(item[0], 6), item[1]))
    return tuple(suspect for _, _, suspect in suspects[:MAX_SUSPECTS])


def _suspect(change: Change, score: float, reasons: Iterable[str]) -> Suspect:
    return Suspect(
        commit=change.sha,
        author=change.author,
        committed_at=change.committed_at,
        subject=change.subject,
        score=round(score, 4),
        reasons=tuple(reasons),
    )


# --- words ---------------------------------------------------------------------------------------------------------


def _pick_run(hunks: Sequence[LooseHunk], clues: Clues, aliases: Mapping[str, str]) -> list[LooseHunk]:
    return [each for each in hunks if may_have_run(each, clues.reach, clues.executed, aliases)]


def _count_words(change: Change, hunks: Sequence[LooseHunk], framed: frozenset[str]) -> Counter[str]:
    """Count the words of a change. The names of files on the stack are left out: those count as frames."""
    counts: Counter[str] = Counter(split_words(change.subject))
    for hunk in hunks:
        if not hunk.is_cosmetic:
            for line in (*hunk.added, *hunk.removed):
                counts.update(split_words(line))
    for path in set(change.files) - framed:
        counts.update(split_words(PurePosixPath(path).stem))
    return counts


def _score_words(
    wanted: Mapping[str, float], counts: Mapping[str, Counter[str]], plain: frozenset[str]
) -> dict[str, tuple[float, tuple[str, ...]]]:
    """Score by BM25, 1 for the best or for what a good match would be; with the words that told most.

    The `plain` changes set the scale: a merge or a first commit shares words with everything.
    """
    measured = [count for sha, count in counts.items() if sha in plain] or list(counts.values())
    frequency = Counter(word for count in measured for word in count)
    mean = sum(count.total() for count in measured) / max(len(measured), 1) or 1.0
    raw: dict[str, tuple[float, tuple[str, ...]]] = {}
    for sha, count in counts.items():
        penalty = 0.6 + 0.4 * count.total() / mean
        parts = {
            word: weight * _rarity(frequency[word], len(measured)) * count[word] / (count[word] + penalty)
            for word, weight in wanted.items()
            if word in count
        }
        telling = sorted(parts, key=lambda word: (-parts[word], word))
        raw[sha] = (sum(parts.values()), tuple(telling[:4]))
    good = 0.5 * _rarity(1, len(measured)) * sum(sorted(wanted.values())[-4:])
    top = max((score for sha, (score, _) in raw.items() if sha in plain), default=0.0)
    scale = max(top, good) or 1.0
    return {sha: (min(1.0, score / scale), telling) for sha, (score, telling) in raw.items()}


def _rarity(frequency: int, total: int) -> float:
    return math.log(1 + (total - frequency + 0.5) / (frequency + 0.5))


# --- frames --------------------------------------------------------------------------------------------------------


def _score_frames(
    places: Sequence[Place], changes: Sequence[Change], hunks: Mapping[str, Sequence[LooseHunk]]
) -> dict[str, _Hold]:
    best: dict[str, _Hold] = {}
    for place in places:
        touched = _blame(place, changes, hunks)
        for change in changes:
            near = [hunk for hunk in hunks[change.sha] if hunk.path == place.path]
            if not near and place.path not in change.files:
                continue
            hold = _hold(place, touched.get(change.sha, Touch.NONE), near)
            if is_test_file(place.path):
                hold = replace(hold, score=hold.score * _IN_TEST)
            if hold.score > best.get(change.sha, _Hold()).score:
                best[change.sha] = hold
    return best


def _hold(place: Place, touch: Touch, hunks: Sequence[LooseHunk]) -> _Hold:
    name = place.path if not place.line else f"{place.path} line {place.line}"
    frame = "the innermost frame" if place.is_innermost else "a frame of the stack"
    if hunks and all(hunk.is_cosmetic for hunk in hunks):
        return _Hold(score=0.1 * place.weight, reason=f"changes only white space or comments in {place.path}")
    if touch is Touch.CHANGED:
        return _Hold(score=place.weight, reason=f"touches {name}, {frame}")
    if touch is Touch.NEAR:
        return _Hold(score=_TOUCH[touch] * place.weight, reason=f"changes lines next to {name}, {frame}")
    if _is_in_function(place.function, hunks):
        return _Hold(score=_FUNCTION * place.weight, reason=f"changes {place.function}() in {place.path}, {frame}")
    return _Hold(score=_TOUCH[touch] * place.weight, reason=f"touches {place.path}, which is in the stack trace")


def _is_in_function(function: str, hunks: Sequence[LooseHunk]) -> bool:
    """Say whether a change follows a line that names the function, in git's heading or in the hunk."""
    name = function.rsplit(".", 1)[-1].strip("()<> ")
    if len(name) < 2 or not re.fullmatch(r"\w+", name):
        return False
    pattern = re.compile(rf"\b{name}\s*\(")
    for hunk in hunks:
        is_inside = pattern.search(hunk.heading) is not None
        for line in hunk.lines:
            if is_inside and line[0] in "+-":
                return True
            is_inside = is_inside or pattern.search(line) is not None
    return False


def _blame(place: Place, changes: Sequence[Change], hunks: Mapping[str, Sequence[LooseHunk]]) -> dict[str, Touch]:
    """Follow a place's line back through the first parents; where that ends without an answer, compare its code."""
    touched: dict[str, Touch] = {}
    path, line = place.path, place.line
    known = {change.sha: change for change in changes}
    sha = changes[0].sha if changes and line else ""
    while change := known.get(sha):
        own = [hunk for hunk in hunks[sha] if hunk.path == path]
        if own:
            touch, line = trace_line(own, line)
            touched[sha] = touch
            if touch is Touch.CHANGED:
                break
            path = own[0].old_path
        sha = change.parents[0] if change.parents else ""
    code = place.code.strip()
    if Touch.CHANGED not in touched.values() or _is_merge(known, touched):
        for change in changes:
            same = (text.strip() == code for h in hunks[change.sha] if h.path == place.path for text in h.added)
            if len(code) > 5 and len(change.parents) < 2 and any(same):
                touched[change.sha] = Touch.CHANGED
    return touched


def _is_merge(known: Mapping[str, Change], touched: Mapping[str, Touch]) -> bool:
    return any(len(known[sha].parents) > 1 for sha, touch in touched.items() if touch is Touch.CHANGED)


# --- time and doubts -----------------------------------------------------------------------------------------------


def score_recency(at: datetime, first_error: datetime | None) -> tuple[float, tuple[str, ...]]:
    """Return 1 for a change just before the first error, falling with age, and that age in words."""
    if first_error is None:
        return 0.0, ()
    age = first_error - at
    if age < -CLOCK_SLACK:
        return 0.0, ()
    days = max(age.total_seconds(), 0.0) / 86_400
    return _HALF_AGE_DAYS / (_HALF_AGE_DAYS + days), (f"committed {say_span(age)} before it began",)


def _doubt(change: Change, first_error: datetime | None) -> tuple[float, tuple[str, ...]]:
    """Return a factor for what speaks most against a change, and that in words."""
    if not change.parents:
        return 0.1, ("but nothing before it is known",)
    if change.files and all(is_test_file(path) or is_document(path) for path in change.files):
        return 0.15, ("but it changes only tests or documents",)
    if first_error is not None and change.committed_at > first_error + CLOCK_SLACK:
        return 0.25, ("but it was committed after it began",)
    if len(change.parents) > 1:
        return 0.4, ("but it is a merge",)
    return 1.0, ()


def say_span(span: timedelta) -> str:
    """Say a length of time in one unit: "40 s", "12 min", "5 h", "3 days"."""
    seconds = max(int(span.total_seconds()), 0)
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 2 * 3_600:
        return f"{seconds // 60} min"
    if seconds < 2 * 86_400:
        return f"{seconds // 3_600} h"
    return f"{seconds // 86_400} days"

"""A good engineer, scripted: one policy for every incident, told nothing but the conversation.

It is a generator that asks for one tool at a time and gets the answer. Each request of the loop plays it again from the
first message on, so that it keeps no state, and the same conversation always leads to the same next call.
"""

import json
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.model_server import Say

Call = tuple[str, Mapping[str, object]]
Moves = Generator[Call, str, str]
"""Yields calls, gets what the tools answered, and returns its last words."""
Reads = Generator[Call, str, tuple[str, ...]]
Edit = dict[str, str]

_FRAMES = (
    re.compile(r'File "(.+?)", line (\d+), in'),
    re.compile(r"at (?:[^(\n]+ \()?(?:file://)?([\w./-]+\.js):(\d+):\d+"),
    re.compile(r"\s(/\S+\.go):(\d+)"),
    re.compile(r"at [\w.$]+\((\w+\.java):(\d+)\)"),
    re.compile(r"panicked at (\S+\.rs):(\d+):\d+"),
)
_INNERMOST_LAST = _FRAMES[0]
_BLAMED = re.compile(r"^- ([0-9a-f]{12}) .* broke it", re.M)
_SUSPECTED = re.compile(r"^- ([0-9a-f]{12}) \"", re.M)
_FOUND = re.compile(r"^(\S+?):(\d+): (.*)$", re.M)


@dataclass(frozen=True, kw_only=True)
class Site:
    """A line of the repository that a search found."""

    path: str
    line: int
    text: str


@dataclass
class Case:
    """What has been read so far. `symptom` is what failed, as the sandbox or the log tells it; `shown` is `commit`."""

    task: str
    symptom: str = ""
    commit: str = ""
    shown: str = ""
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def removed(self) -> Sequence[str]:
        return [line[1:] for line in self.shown.splitlines() if re.match(r"-(?!--)", line)]

    @property
    def added(self) -> Sequence[str]:
        return [line[1:] for line in self.shown.splitlines() if re.match(r"\+(?!\+\+)", line)]

    def frame(self) -> tuple[str, int]:
        """Return the innermost frame that the symptom shows, its path without the sandbox's folder."""
        for pattern in _FRAMES:
            found = pattern.findall(self.symptom)
            if found:
                path, line = found[-1] if pattern is _INNERMOST_LAST else found[0]
                return path.removeprefix("/w/"), int(line)
        return "", 0

    def read(self, path: str) -> Reads:
        """Read a file, at another path where the answer says that there it is."""
        if path not in self.files:
            answer = yield "read_file", {"path": path}
            hint = re.search(r"There is: ([^,\s]+?)[.,]?(?:\s|$)", answer)
            if answer.startswith("Not done") and hint:
                self.files[path] = yield from self.read(hint[1])
            else:
                self.files[path] = tuple(answer.splitlines()[1:])
        return self.files[path]

    def path_of(self, path: str) -> str:
        """Return the repository's name for a path of a stack trace that was read."""
        text = self.files[path]
        return next(name for name, lines in self.files.items() if lines is text and not name.startswith("/"))


def search(pattern: str) -> Generator[Call, str, list[Site]]:
    answer = yield "grep", {"pattern": pattern}
    return [Site(path=path, line=int(line), text=text) for path, line, text in _FOUND.findall(answer)]


def write_edit(path: str, lines: Sequence[str], changed: Mapping[int, str | None]) -> Edit:
    """Return one edit of a file, from the first changed line to the last, and as much around it as makes it unique."""
    first, last = min(changed), max(changed)
    whole = "\n" + "\n".join(lines) + "\n"
    while True:
        old = "\n".join(lines[first - 1 : last]) + "\n"
        if whole.count("\n" + old) == 1 or (first == 1 and last == len(lines)):
            break
        first, last = max(1, first - 1), min(len(lines), last + 1)
    kept = {number: lines[number - 1] for number in range(first, last + 1)}
    new = [text for _, text in sorted({**kept, **changed}.items()) if text is not None]
    return {"path": path, "old": old, "new": "".join(text + "\n" for text in new)}


def rewrite(case: Case, sites: Iterable[Site], change: Callable[[str], str]) -> Generator[Call, str, list[Edit]]:
    """Return edits that change each of these lines, after reading the files that they are in."""
    places: dict[str, list[int]] = {}
    for site in sites:
        places.setdefault(site.path, []).append(site.line)
    edits = []
    for path, numbers in places.items():
        lines = yield from case.read(path)
        edits.append(write_edit(path, lines, {number: change(lines[number - 1]) for number in numbers}))
    return edits


def propose(title: str, edits: Sequence[Edit]) -> Generator[Call, str, str]:
    """Propose a patch and return the verdict."""
    assert len(title) <= 70
    verdict = yield "propose_patch", {"title": title, "edits": list(edits)}
    return verdict


Craft = Callable[[Case], Generator[Call, str, str | None]]
"""Mends one kind of defect: returns its last words, or None where the case is of another kind."""


def make_engineer(crafts: Sequence[Craft]) -> Callable[[dict, int], Say]:
    """Return the script of a model server."""

    def answer(request: dict, _number: int) -> Say:
        return play(request["messages"], lambda task: _work(task, crafts))

    return answer


def play(messages: Sequence[Mapping[str, str]], begin: Callable[[str], Moves]) -> Say:
    """Play a policy through a conversation, and return what it does next."""
    moves = begin(next(message["content"] for message in messages if message["role"] == "user"))
    try:
        call = next(moves)
        for message in messages:
            if message["role"] == "tool":
                call = moves.send(message["content"])
    except StopIteration as end:
        return Say(text=end.value)
    return Say(calls=((call[0], json.dumps(call[1])),))


def _work(task: str, crafts: Sequence[Craft]) -> Moves:
    case = yield from _look(task)
    for craft in crafts:
        words = yield from craft(case)
        if words is not None:
            return words
    return "I have not found the cause in the log, in the code on the stack, or in the suspected commits."


def _look(task: str) -> Generator[Call, str, Case]:
    """Read what was logged, let it fail again, and read the commit that is blamed."""
    case = Case(task=task)
    log = yield "read_log", {}
    failed = yield "run_check", {"check": "reproduction"}
    case.symptom = failed if "FAILS" in failed.split("\n", 1)[0] else log
    blamed = _BLAMED.search(task)
    if blamed is not None:
        yield from _show(case, blamed[1])
    return case


def find_culprit(case: Case, word: str) -> Generator[Call, str, None]:
    """Where nothing could be run, read the suspected commits until one takes a word away."""
    if case.commit:
        return
    for commit in _SUSPECTED.findall(case.task):
        yield from _show(case, commit)
        if any(re.search(rf"\b{word}\b", line) for line in case.removed):
            return
    case.commit = ""


def _show(case: Case, commit: str) -> Generator[Call, str, None]:
    case.commit, case.shown = commit, (yield "git_show", {"commit": commit})

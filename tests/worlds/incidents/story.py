"""An incident told in one text file: a TOML head, then its repository's history, commit by commit.

`%% commit NAME: SUBJECT` begins a commit, `%% culprit` the one that broke it. `%% file PATH` writes a file,
`%% edit PATH` replaces the lines up to `%% to` by those after it, and `%% shell` adds the HTTP side of a service.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.playbooks.world import Step
from tests.worlds.world import Request

STORIES = Path(__file__).with_name("stories")
SHELLS = {"python": "serve.py", "node": "serve.js"}
_MARK = re.compile(r"%% (commit|culprit|file|edit|to|shell) ?(.*)")


@dataclass(frozen=True, kw_only=True)
class Story:
    """One incident. `log` is one recorded elsewhere: then nothing of the service can be run here.

    `usual` are answered well; `failing` are sent when the alert begins. `starts` is how often a supervisor starts a
    service that does not stay up. `place` is the file and line that a recorded log leads to.
    """

    name: str
    kind: str
    language: str
    alert: Mapping[str, str]
    steps: tuple[Step, ...]
    culprit: int
    run: tuple[str, ...] = ()
    checks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    usual: tuple[Request, ...] = ()
    failing: tuple[Request, ...] = ()
    times: int = 4
    starts: int = 0
    log: str = ""
    place: str = ""

    @property
    def is_recorded(self) -> bool:
        return bool(self.log)


def read_stories() -> tuple[Story, ...]:
    return tuple(read_story(path) for path in sorted(STORIES.glob("*.story")))


def read_story(path: Path) -> Story:
    _, head, text = path.read_text(encoding="utf-8").split("+++\n", 2)
    values = tomllib.loads(head)
    told = list(_tell(text))
    return Story(
        name=path.stem,
        kind=values["kind"],
        language=values["language"],
        alert=values["alert"],
        steps=tuple(step for step, _ in told),
        culprit=next(number for number, (_, is_culprit) in enumerate(told) if is_culprit),
        run=tuple(values.get("run", ())),
        checks={name: tuple(argv) for name, argv in values.get("checks", {}).items()},
        usual=tuple(Request(**each) for each in values.get("usual", ())),
        failing=tuple(Request(**each) for each in values.get("failing", ())),
        times=values.get("times", 4),
        starts=values.get("starts", 0),
        log=values.get("log", ""),
        place=values.get("place", ""),
    )


def _tell(text: str) -> Iterator[tuple[Step, bool]]:
    """Yield each commit with the whole text of the files that it changes, and whether it is the culprit."""
    tree: dict[str, str] = {}
    for verb, rest, parts in _split_commits(text):
        author, _, subject = rest.partition(": ")
        for path, before, after in parts:
            tree[path] = _change(tree, path, before, after)
        changed = {path: tree[path] for path, _, _ in parts}
        yield Step(subject=subject, files=changed, author=author), verb == "culprit"


def _change(tree: Mapping[str, str], path: str, before: str | None, after: str) -> str:
    if before is None:
        return after
    assert tree[path].count(before) == 1, f"{path} holds this {tree[path].count(before)} times:\n{before}"
    return tree[path].replace(before, after)


def _split_commits(text: str) -> Iterator[tuple[str, str, list[tuple[str, str | None, str]]]]:
    """Yield (verb, author and subject, changes); a change is (path, what it replaces or None, the new text)."""
    commits: list[tuple[str, str, list[tuple[str, str | None, str]]]] = []
    for verb, rest, lines in _split_marks(text):
        body = "".join(lines)
        if verb in {"commit", "culprit"}:
            commits.append((verb, rest, []))
            continue
        changes = commits[-1][2]
        if verb == "shell":
            name = SHELLS[rest]
            changes.append((name, None, Path(__file__).with_name(f"{name}.txt").read_text(encoding="utf-8")))
        elif verb == "to":
            path, before, _ = changes.pop()
            changes.append((path, before, body))
        else:
            changes.append((rest, body if verb == "edit" else None, body))
    yield from commits


def _split_marks(text: str) -> Iterator[tuple[str, str, list[str]]]:
    found: tuple[str, str, list[str]] | None = None
    for line in text.splitlines(keepends=True):
        mark = _MARK.fullmatch(line.rstrip("\n"))
        if mark is None:
            assert found is not None, line
            found[2].append(line)
            continue
        if found is not None:
            yield found
        found = (mark[1], mark[2], [])
    assert found is not None
    yield found

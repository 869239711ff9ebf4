"""Git repositories grown from a folder of patch files, one commit each, with the same SHAs for the same `now`.

A patch file is a short head, the commit's message and a git diff:

    Subject: Price an order
    From: Tomasz Wierzba <tomasz@shop.example>
    Age: 24d 5h

    Amounts are whole cents everywhere.

    diff --git a/checkout/money.py b/checkout/money.py
    …

`Age` is counted back from `now`. `Branch: name` puts the commit on a branch (it starts where main stands);
`Merge: name` merges one and needs no diff; `Tag: name` tags the commit; `Regression: yes` marks the one to find.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

_AUTHOR = re.compile(r"(?P<name>[^<>]+) <(?P<email>[^<>]+)>")
_AGE_PART = re.compile(r"(\d+)([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_NO_CONFIG = ("-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false", "-c", "gc.auto=0")
MAIN = "main"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One commit of a history. `merges` names the branch of a merge commit, which has no `diff`."""

    author: str
    email: str
    age: timedelta
    message: str
    diff: str
    branch: str = MAIN
    merges: str = ""
    tag: str = ""
    is_regression: bool = False


@dataclass(frozen=True, kw_only=True)
class History:
    """A grown bare repository: its commits in the order they were made, and the one that broke it."""

    repository: Path
    commits: tuple[str, ...]
    culprit: str

    @property
    def head(self) -> str:
        return self.commits[-1]


def git(*arguments: str, cwd: Path, given: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run git untouched by anybody's configuration and return what it printed. Raises `CalledProcessError`."""
    return subprocess.run(
        ["git", *_NO_CONFIG, *arguments],
        cwd=cwd,
        input=given,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": "/nonexistent",
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            **(env or {}),
        },
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout


def parse_step(text: str) -> Step:
    """Read one patch file. Raises `ValueError` where its head is incomplete."""
    head, _, rest = text.partition("\n\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    author = _AUTHOR.fullmatch(fields.get("From", ""))
    parts = _AGE_PART.findall(fields.get("Age", ""))
    if author is None or not parts or "Subject" not in fields:
        raise ValueError(f"a patch file needs Subject, From and Age: {head!r}")
    start = 0 if rest.startswith("diff --git ") else rest.find("\ndiff --git ") + 1
    has_diff = start > 0 or rest.startswith("diff --git ")
    body = rest[:start] if has_diff else rest
    return Step(
        author=author["name"],
        email=author["email"],
        age=timedelta(**{_UNITS[unit]: int(count) for count, unit in parts}),
        message=f"{fields['Subject']}\n\n{body.strip()}".strip(),
        diff=rest[start:] if has_diff else "",
        branch=fields.get("Branch", MAIN),
        merges=fields.get("Merge", ""),
        tag=fields.get("Tag", ""),
        is_regression=fields.get("Regression") == "yes",
    )


def load_series(folder: Path) -> tuple[Step, ...]:
    """Read a folder's patch files in the order of their names."""
    return tuple(parse_step(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.patch")))


def grow_repository(steps: Sequence[Step], repository: Path, *, now: datetime) -> History:
    """Make the bare `repository`, which must not exist yet, out of `steps`."""
    work = repository.with_name(repository.name + ".growing")
    work.mkdir(parents=True)
    git("init", "--quiet", f"--initial-branch={MAIN}", cwd=work)
    branches, current, made, culprit = {MAIN}, MAIN, [], ""
    for step in steps:
        if step.branch != current:
            git("checkout", "--quiet", *([] if step.branch in branches else ["-b"]), step.branch, cwd=work)
            current = step.branch
            branches.add(current)
        made.append(_commit(step, work, at=now - step.age))
        if step.tag:
            git("tag", step.tag, cwd=work)
        if step.is_regression:
            culprit = made[-1]
    git("clone", "--quiet", "--bare", "--single-branch", "--branch", MAIN, str(work), str(repository), cwd=work.parent)
    git("remote", "remove", "origin", cwd=repository)
    shutil.rmtree(work)
    return History(repository=repository, commits=tuple(made), culprit=culprit)


def _commit(step: Step, work: Path, *, at: datetime) -> str:
    when = f"{int(at.timestamp())} +0000"
    identity = {
        f"GIT_{role}_{field}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in (("NAME", step.author), ("EMAIL", step.email), ("DATE", when))
    }
    if step.merges:
        git("merge", "--quiet", "--no-ff", "-m", step.message, step.merges, cwd=work, env=identity)
    else:
        git("apply", "--index", "--whitespace=nowarn", "-", cwd=work, given=step.diff)
        git("commit", "--quiet", "--file=-", cwd=work, given=step.message, env=identity)
    return git("rev-parse", "HEAD", cwd=work).strip()

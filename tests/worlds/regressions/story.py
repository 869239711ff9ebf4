"""Tells a history in memory, commit by commit, and writes it as a git repository in one go."""

import random
import subprocess
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from bot.demo.history import git

AUTHORS = (
    ("Mara Quist", "mara@team.example"),
    ("Tomasz Wierzba", "tomasz@team.example"),
    ("Ines Ferrer", "ines@team.example"),
    ("Jonas Okafor", "jonas@team.example"),
    ("Lin Aoki", "lin@team.example"),
)
MAIN, SIDE = "refs/heads/main", "refs/heads/side"


@dataclass
class Entry:
    """One commit: what it says, and the files that it changes (None: that it removes)."""

    message: str
    author: tuple[str, str]
    at: datetime
    parents: list[int]
    changes: dict[str, str | None]
    ref: str = MAIN


@dataclass
class Story:
    """A history that is being told. `files` is the state at the tip of the branch that is told at the moment."""

    chance: random.Random
    at: datetime
    step: timedelta
    files: dict[str, str] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    _fork: tuple[int, dict[str, str]] | None = None
    _side_changes: dict[str, str | None] = field(default_factory=dict)

    @property
    def is_on_side(self) -> bool:
        return self._fork is not None

    def commit(self, message: str, changes: dict[str, str | None], *, ref: str | None = None) -> int:
        """Commit on the branch that is told; returns the commit's number."""
        for path, text in changes.items():
            if text is None:
                self.files.pop(path)
            else:
                assert self.files.get(path) != text, f"{message}: {path} does not change"
                self.files[path] = text
        if self.is_on_side and ref is None:
            self._side_changes.update(changes)
        return self._append(message, changes, ref or (SIDE if self.is_on_side else MAIN))

    def _append(self, message: str, changes: dict[str, str | None], ref: str, *merged: int) -> int:
        self.at += self.step * self.chance.uniform(0.2, 1.8)
        parents = [*([self._tips[ref]] if ref in self._tips else []), *merged]
        self.entries.append(
            Entry(
                message=message,
                author=self.chance.choice(AUTHORS),
                at=self.at,
                parents=parents,
                changes=changes,
                ref=ref,
            )
        )
        self._tips[ref] = len(self.entries)
        return len(self.entries)

    @property
    def _tips(self) -> dict[str, int]:
        return self.__dict__.setdefault("tips", {})

    def fork(self) -> None:
        """Go on with a branch beside main."""
        assert not self.is_on_side
        self._fork = (self._tips[MAIN], dict(self.files))
        self._tips[SIDE] = self._tips[MAIN]
        self._side_changes = {}

    def meanwhile(self, message: str, path: str, text: str) -> None:
        """Commit a file that the branch does not touch on main."""
        assert path not in self._side_changes
        self.files[path] = text
        self._append(message, {path: text}, MAIN)

    def merge(self, name: str) -> int:
        """Bring the branch back; main's tree takes what the branch changed."""
        self._fork = None
        return self._append(f"Merge branch '{name}'", dict(self._side_changes), MAIN, self._tips[SIDE])

    def write(self, folder: Path) -> list[str]:
        """Write the repository, with its work tree at the head, and return the ids in the order they were told."""
        folder.mkdir(parents=True)
        git("init", "--quiet", "--initial-branch=main", cwd=folder)
        marks = folder / ".git" / "marks"
        subprocess.run(
            ["git", "fast-import", "--quiet", "--force", f"--export-marks={marks}"],
            cwd=folder, input=b"".join(self._dump()), check=True, env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        )  # fmt: skip
        git("update-ref", "-d", SIDE, cwd=folder)
        git("reset", "--quiet", "--hard", "main", cwd=folder)
        shas = dict(line.split() for line in marks.read_text().splitlines())
        return [shas[f":{number}"] for number in range(1, len(self.entries) + 1)]

    def _dump(self):
        for number, entry in enumerate(self.entries, 1):
            who = f"{entry.author[0]} <{entry.author[1]}> {int(entry.at.timestamp())} +0000"
            message = entry.message.encode()
            yield f"commit {entry.ref}\nmark :{number}\nauthor {who}\ncommitter {who}\n".encode()
            yield b"data %d\n%s\n" % (len(message), message)
            for place, parent in enumerate(entry.parents):
                yield f"{'merge' if place else 'from'} :{parent}\n".encode()
            for path, text in sorted(entry.changes.items()):
                if text is None:
                    yield f"D {path}\n".encode()
                else:
                    content = text.encode()
                    yield b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(content), content)
            yield b"\n"

"""Smaller than a revert: the guilty setting goes back, or the package's version, and the rest of the culprit stays."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from bot.agent.patching import diff_file
from bot.domain.draft import Patch
from bot.domain.entries.entry import Key, Unreadable
from bot.domain.entries.put_back import can_read, find_changed, find_version, is_pin, name_key, put_back, read_entries
from bot.domain.evidence import Check
from bot.domain.investigation import Drafted
from bot.domain.patches.patch import PatchLimits, parse_patch, read_patch, render_file
from bot.domain.text.documents import is_document
from bot.domain.text.file_names import is_lock_file, is_test_file
from bot.errors import Refused, Rejected, Unavailable
from bot.ports.workspace import Commit
from bot.worker.reproduce import Bench
from bot.worker.revert import Judged, Target, draft_revert, verify_patch
from bot.worker.trial import Trial

#: How many entries are tried alone once all of them together mend it.
MAX_ALONE: Final = 6
MAX_FILES: Final = 40
_SETTINGS, _PIN = "settings", "pin"
_LEAST: Final = "so it was preferred to the revert of the whole commit"
_REST: Final = "and the revert of the whole commit does not hold"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One entry that the culprit changed and nobody since; `version` is what a pin named before, "" for none."""

    path: str
    key: Key
    version: str = ""
    was_there: bool = True

    @property
    def name(self) -> str:
        return name_key(self.key)

    def __str__(self) -> str:
        return f"{self.name} in {self.path}"


@dataclass(frozen=True, kw_only=True)
class Group:
    """Entries that may go back together, and the lock files that go with them; `scope` is "settings" or "pin"."""

    scope: str
    items: tuple[Item, ...]
    locks: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        where = ", ".join(dict.fromkeys(item.path for item in self.items)) or ", ".join(self.locks)
        if len(self.items) != 1:
            kind = "packages" if self.scope == _PIN else "settings"
            return f"Put {f'{len(self.items)} {kind} in {where}' if self.items else where} back"
        item = self.items[0]
        name = item.key[-1] if self.scope == _PIN else item.name
        if not item.was_there:
            return f"Take {name} out of {where} again"
        return f"Pin {name} back to {item.version}" if item.version and self.scope == _PIN else f"Put {item} back"


@dataclass(frozen=True, kw_only=True)
class Change:
    """What of a culprit can be put back alone. `texts` are files before it and at the head; it `is_mixed` where it did
    something else too."""

    texts: Mapping[str, tuple[str, str]]
    groups: tuple[Group, ...]
    is_mixed: bool


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What a fix is for: the culprit of what fails at the head, and until when smaller ones are tried."""

    target: Target
    culprit: Commit | None
    head: str
    trial: Trial | None
    has_time: Callable[[], bool]


async def draft_fix(bench: Bench, aim: Aim) -> Judged:
    """Draft what takes the culprit back: the least of it that mends what fails and breaks nothing.

    Where it did several things its settings and packages are tried first, else the revert comes before them.
    """
    change = await _read_change(bench, aim.culprit, aim.head) if aim.culprit and aim.trial else None
    smaller = _Smaller(bench, aim, change) if change and change.groups and aim.trial else None
    if smaller and change and change.is_mixed and (found := await smaller.find(_LEAST)):
        return found
    judged = await draft_revert(bench, aim.target, head=aim.head, trial=aim.trial)
    if smaller is None or change is None or change.is_mixed:
        return judged
    if judged.drafted.patch and judged.verified is None:
        judged = Judged(drafted=judged.drafted, verified=await verify_patch(bench, judged.drafted, aim.trial))
    if judged.verified is not None and judged.verified.is_verified:
        return judged
    return await smaller.find(_REST) or judged


async def _read_change(bench: Bench, culprit: Commit, head: str) -> Change | None:
    """Read what the culprit changed, entry by entry; None where it has no parent or too many files."""
    paths = [path for path in culprit.files if not is_test_file(path) and not is_document(path)]
    if not culprit.parents or not paths or len(paths) > MAX_FILES:
        return None
    texts, items, others = dict[str, tuple[str, str]](), list[Item](), 0
    for path in paths:
        if is_lock_file(path):
            continue
        versions = [await _read(bench, at, path) for at in (culprit.parents[0], culprit.sha, head)]
        before, after, now = versions if can_read(path) else (None, None, None)
        if before is None or after is None or now is None:
            others += 1
            continue
        found = [
            _make_item(path, key, before) for key in await asyncio.to_thread(find_changed, path, before, after, now)
        ]
        others += not found
        items += found
        texts[path] = before, now
    pins = tuple(item for item in items if is_pin(item.path, item.key))
    settings = tuple(item for item in items if item not in pins)
    locks = tuple(path for path in paths if is_lock_file(path))
    groups = [Group(scope=_SETTINGS, items=settings)] if settings else []
    groups += [Group(scope=_PIN, items=pins, locks=locks)] if pins or locks else []
    return Change(texts=texts, groups=tuple(groups), is_mixed=others > 0 or len(groups) > 1)


async def _read(bench: Bench, at: str, path: str) -> str | None:
    try:
        raw = await bench.checkout.read(at, path)
        return raw.decode("utf-8") if raw is not None else None
    except (UnicodeDecodeError, Rejected, Unavailable):
        return None


def _make_item(path: str, key: Key, before: str) -> Item:
    entry = read_entries(path, before).get(key)
    return Item(path=path, key=key, version=find_version(entry.value) if entry else "", was_there=entry is not None)


class _Smaller:
    """Tries what is smaller than the revert, the reproduction first: the suite only for what mends it."""

    def __init__(self, bench: Bench, aim: Aim, change: Change) -> None:
        assert aim.trial is not None
        self._bench = bench
        self._aim = aim
        self._trial = aim.trial
        self._change = change

    async def find(self, why: str) -> Judged | None:
        """Return the first group that holds, with as little of it as that takes; `why` says it is no revert."""
        for group in self._change.groups:
            async with aclosing(self._narrow(group)) as tries:
                async for chosen, patch in tries:
                    drafted = self._describe(chosen, patch, why)
                    verified = await verify_patch(self._bench, drafted, self._trial)
                    if verified.is_verified:
                        return Judged(drafted=drafted, verified=verified)
        return None

    async def _narrow(self, group: Group) -> AsyncGenerator[tuple[Group, Patch]]:
        """Yield what turns red into green, the least first. Packages of one lock file go back together."""
        whole = await self._try(group)
        if whole is None:
            return
        for item in group.items[:MAX_ALONE] if len(group.items) > 1 and not group.locks else ():
            alone = replace(group, items=(item,))
            if patch := await self._try(alone):
                yield alone, patch
        yield group, whole

    async def _try(self, group: Group) -> Patch | None:
        """Return the patch of a group if what failed is green with it."""
        if not self._aim.has_time():
            return None
        try:
            patch = await self._draft(group)
            tree = await self._bench.checkout.patched_tree(self._aim.head, patch.text)
        except (Unreadable, Refused, Rejected, Unavailable):
            return None
        return patch if (await self._bench.run(self._trial, tree)).verdict is Check.GREEN else None

    async def _draft(self, group: Group) -> Patch:
        """Return the patch: entries as they were before the culprit, lock files as git takes its change back."""
        diffs: dict[str, bytes] = {}
        for path in dict.fromkeys(item.path for item in group.items):
            before, now = self._change.texts[path]
            keys = [item.key for item in group.items if item.path == path]
            text = await asyncio.to_thread(put_back, path, before, now, keys)
            diffs[path] = diff_file(path, now.encode(), text.encode())
        if group.locks:
            diffs |= await self._revert_locks(group.locks)
        return parse_patch(b"".join(diffs[path] for path in sorted(diffs)))

    async def _revert_locks(self, locks: Sequence[str]) -> dict[str, bytes]:
        """Return the culprit's lock files as they go back. Raises `Unreadable` where one does not, or not whole."""
        revert = await self._bench.checkout.revert(self._aim.target.commit, self._aim.head)
        if revert is None or any(note.partition(": ")[0] in locks for note in revert.partial):
            raise Unreadable
        found = frozenset(revert.existing)
        patch = parse_patch(revert.diff, PatchLimits(), allowed_existing=lambda path, char: (path, ord(char)) in found)
        diffs = {file.change.path: render_file(file) for file in read_patch(patch) if file.change.path in locks}
        if len(diffs) != len(locks):
            raise Unreadable
        return diffs

    def _describe(self, group: Group, patch: Patch, why: str) -> Drafted:
        put = tuple(self._clean(name, 200) for name in (*map(str, group.items), *group.locks))
        commit, words = self._aim.target.commit[:12], self._trial.words
        note = (
            f"only {_list(put)} {'goes' if len(put) == 1 else 'go'} back to what it was before {commit}; the rest of "
            f"that commit stays: with that {self._trial.subject} {words.works}, {why}"
        )
        return Drafted(
            base=self._aim.head,
            patch=patch.text,
            title=self._clean(group.title, 120),
            culprit=None,
            notes=(note,),
            scope=group.scope,
            put_back=put,
        )

    def _clean(self, text: str, limit: int) -> str:
        return self._bench.tools.clean(text, limit).replace("\n", " ")


def _list(names: Sequence[str]) -> str:
    shown = [*names[:4], *([f"{len(names) - 4} more"] if len(names) > 4 else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"

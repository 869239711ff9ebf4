"""Which patches need a second person, and why. Names and changed lines decide; nothing is run."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.draft import ChangeKind, FileChange, Patch, Risk
from bot.domain.patches.file import FileDiff
from bot.domain.patches.names import covers_path, show
from bot.domain.patches.patch import read_patch
from bot.domain.patches.sight import find_unreadable, say_added_hidden
from bot.domain.text.file_names import is_build_file, is_ci, is_dependency_file, is_migration, is_policy, is_test_file

_ASSERTION: Final = re.compile(
    r"\bassert\w*\b|\bself\.(assert|fail)\w*\(|\bexpect\w*\s*\(|\.should\b|\bt\.(Error|Fatal|Fail)\w*\(|\bpytest\.raises\b"
    r"|\brequire\.\w+\(|\bverify\s*\(|\bXCTAssert\w*|\bpytest\.(warns|fail)\b"
)
_TEST_CASE: Final = re.compile(
    r"^\s*(async\s+)?def test_?\w*|^\s*func Test\w*\(|^\s*(it|test|describe)(\.each\S*)?\s*\(|@Test\b|#\[(\w+::)?test\]"
    r"|^\s*class Test\w+"
)
_SKIP: Final = re.compile(
    r"@?(pytest\.)?mark\.(skip|skipif|xfail)\b|\bpytest\.(skip|xfail|importorskip)\b|\bunittest\.(skip\w*|expectedFailure)"
    r"|@(skip\w*|expectedFailure)\b|\bself\.skipTest\(|\bSkipTest\b|\b(it|test|describe|suite|context)\.(skip|only|todo|fixme|failing)\b"
    r"|^\s*(xit|xdescribe|xtest|fit|fdescribe)\s*\(|\b[tb]\.Skip(Now|f)?\(|@(Disabled|Ignore)\b|#\[ignore|\bcollect_ignore"
    r"|__test__\s*=\s*False|\bGTEST_SKIP\b|^\s*pending\b"
)


@dataclass(frozen=True, kw_only=True)
class RiskFacts:
    """What is known beside the patch. Paths are folders, files or patterns ("src/auth/**"); none = no such rule."""

    is_verified: bool
    is_pure_revert: bool = False
    service_paths: tuple[str, ...] = ()
    auth_paths: tuple[str, ...] = ()
    max_lines: int = 200
    max_files: int = 10


def touches_ci_or_policy(patch: Patch) -> bool:
    """Say whether the patch touches what decides how it is judged; break-glass never covers that."""
    return any(is_ci(path) or is_policy(path) for change in patch.files for path in _paths(change))


def classify_risk(patch: Patch, *, facts: RiskFacts) -> Risk:
    """Return every reason for a second person, each naming its file. A verified pure revert is held only by CI and
    policy files and by what nobody can read: it brings back what was reviewed before."""
    diffs = read_patch(patch)
    guarded = [reason for diff in diffs for reason in (*_guard_reasons(diff.change), *say_added_hidden(diff))]
    if facts.is_pure_revert and facts.is_verified:
        return Risk(reasons=tuple(guarded))
    reasons = guarded + [reason for diff in diffs for reason in _file_reasons(diff, facts)]
    return Risk(reasons=tuple(dict.fromkeys(reasons + list(_whole_reasons(patch, facts)))))


def _paths(change: FileChange) -> Sequence[str]:
    return (change.path, change.old_path) if change.old_path else (change.path,)


def _guard_reasons(change: FileChange) -> Iterator[str]:
    for path in _paths(change):
        if is_ci(path):
            yield f"changes a CI file: {show(path)}"
        elif is_policy(path):
            yield f"changes a policy file: {show(path)}"
    if change.binary is not None:
        yield f"holds a binary file nobody can read: {show(change.path)}"


def _file_reasons(diff: FileDiff, facts: RiskFacts) -> Iterator[str]:
    for path in _paths(diff.change):
        yield from _name_reasons(path, facts)
    if diff.change.mode:
        yield f"changes the mode of {show(diff.change.path)}: {diff.change.mode}"
    if diff.change.kind is ChangeKind.ADDED and diff.new_mode == "100755":
        yield f"adds a program: {show(diff.change.path)}"
    yield from find_unreadable(diff)
    if any(is_test_file(path) for path in _paths(diff.change)):
        yield from _test_reasons(diff)


def _name_reasons(path: str, facts: RiskFacts) -> Iterator[str]:
    if is_dependency_file(path):
        yield f"changes dependencies: {show(path)}"
    if is_build_file(path):
        yield f"changes a build script: {show(path)}"
    if is_migration(path):
        yield f"changes a database migration: {show(path)}"
    if any(covers_path(pattern, path) for pattern in facts.auth_paths):
        yield f"changes authentication: {show(path)}"
    if facts.service_paths and not any(covers_path(pattern, path) for pattern in facts.service_paths):
        yield f"changes a file outside the service's paths: {show(path)}"


def _test_reasons(diff: FileDiff) -> Iterator[str]:
    change, path = diff.change, show(diff.change.path)
    if change.kind is ChangeKind.DELETED:
        yield f"removes a test file: {path}"
        return
    if change.old_path and is_test_file(change.old_path) and not is_test_file(change.path):
        yield f"moves a test file to where it no longer runs: {show(change.old_path)} → {path}"
    removed, added = diff.texts(b"-"), diff.texts(b"+")
    for what, pattern in (("tests", _TEST_CASE), ("assertions", _ASSERTION)):
        less = _count(pattern, removed) - _count(pattern, added)
        if less > 0:
            yield f"removes {what} from {path} ({less} fewer)"
    if _count(_SKIP, added) > _count(_SKIP, removed):
        yield f"skips tests in {path}"
    if _changed_assertions(removed, added):
        yield f"changes what {path} asserts"


def _count(pattern: re.Pattern[str], lines: Sequence[str]) -> int:
    return sum(1 for line in lines if pattern.search(line))


def _changed_assertions(removed: Sequence[str], added: Sequence[str]) -> bool:
    """An assertion that is replaced may now accept the fault: people look at it."""
    old = {line.strip() for line in removed if _ASSERTION.search(line)}
    return bool(old - {line.strip() for line in added})


def _whole_reasons(patch: Patch, facts: RiskFacts) -> Iterator[str]:
    lines = patch.added + patch.removed
    if lines > facts.max_lines:
        yield f"changes {lines} lines (more than {facts.max_lines})"
    if len(patch.files) > facts.max_files:
        yield f"changes {len(patch.files)} files (more than {facts.max_files})"
    if not facts.is_verified:
        yield "was not verified in the sandbox"

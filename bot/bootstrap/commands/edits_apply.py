"""`edits apply`: edits of one file from a terminal, made as the agent makes them: all of them, or none."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any, Final

import typer

from bot.bootstrap.commands.named_files import read_named
from bot.domain.text.unseen import make_harmless
from bot.errors import NightshiftError, Reason, Refused
from bot.render.words import write_count

APPLIED, UNREADABLE, WRONG, REFUSED = 0, 1, 2, 3
MAX_EDITS: Final = 8 * 1024 * 1024
JSON_VERSION: Final = 1
_SHAPE: Final = 'a list like [{"old": "exact lines of the file", "new": "what takes their place"}]'


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What came of the edits: the file's new bytes and the patch that makes them, or why nothing was done."""

    count: int = 0
    text: bytes = b""
    diff: bytes = b""
    error: str = ""
    code: int = APPLIED


def add_command(app: typer.Typer) -> None:
    """Add the command to the group of commands for edits."""
    app.command("apply")(apply_named)


def apply_named(
    file: Annotated[Path, typer.Option(help="The file; where there is none, one edit with an empty `old` makes it.")],
    edits: Annotated[str, typer.Option(help="The edits: JSON, the name of a file that holds it, or - for stdin.")],
    write: Annotated[bool, typer.Option("--write", help="Write the file instead of printing it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Apply edits to a file as the agent does: exactly, or not at all, and then say why."""
    applied = apply_to_file(file, edits)
    if write and not applied.code:
        applied = _write(file, applied)
    if as_json:
        sys.stdout.write(json.dumps(_as_json(file, applied, written=write and not applied.code), indent=2) + "\n")
    elif applied.error:
        sys.stderr.write(f"nightshift: {make_harmless(applied.error)}\n")
    elif write:
        sys.stdout.write(f"{make_harmless(str(file))}: {write_count(applied.count, 'edit')} applied\n")
    else:
        sys.stdout.buffer.write(applied.text)
    sys.exit(applied.code)


def apply_to_file(file: Path, edits: str) -> Applied:
    """Return what the edits make of the file. Raises nothing that a person could have caused."""
    from bot.agent.edits import Edit  # noqa: PLC0415 -- keeps --help fast
    from bot.agent.patching import MAX_FILE, build_patch  # noqa: PLC0415 -- keeps --help fast
    from bot.domain.patches.patch import apply_hunks, read_patch  # noqa: PLC0415 -- keeps --help fast

    try:
        given = _read_edits(file, edits)
    except Refused as error:
        code = UNREADABLE if error.reason in {Reason.NOT_FOUND, Reason.TOO_LARGE} else WRONG
        return Applied(error=str(error), code=code)
    try:
        before = read_named(file, most=MAX_FILE) if file.exists() or file.is_symlink() else None
    except Refused as error:
        return Applied(error=str(error), code=UNREADABLE)
    try:
        wanted = [Edit(old=edit["old"], new=edit["new"]) for edit in given]
        patch = build_patch({file.name: before}, {file.name: wanted})
        after = apply_hunks(read_patch(patch)[0], before or b"")
    except NightshiftError as error:
        return Applied(error=str(error), code=REFUSED)
    return Applied(count=len(given), text=after, diff=patch.text)


def _read_edits(file: Path, edits: str) -> Sequence[dict[str, Any]]:
    """Return the edits, checked as the agent's arguments are. Raises `Refused`."""
    from bot.agent.arguments import Param, ToolSpec, read_arguments  # noqa: PLC0415 -- keeps --help fast

    members = (
        Param(name="path", about=""),
        Param(name="old", about="", is_required=True),
        Param(name="new", about="", is_required=True),
    )
    spec = ToolSpec(name="edits", about="", params=(Param(name="edits", about="", kind="array", items=members),))
    text = _read_text(edits).strip()
    whole = text if text.startswith("{") and '"edits"' in text else f'{{"edits":{text or "null"}}}'
    try:
        given = read_arguments(spec, whole).get("edits")
    except Refused as error:
        why = str(error).partition(". Call it")[0]
        raise Refused(f"The edits cannot be used: {why}; give {_SHAPE}.", Reason.BAD_INPUT) from None
    if not given:
        raise Refused(f"There are no edits; give {_SHAPE}.", Reason.BAD_INPUT)
    for edit in given:
        path = Path(edit.get("path") or file.name)
        if file.absolute().parts[-len(path.parts) :] != path.parts and path != file:
            raise Refused(f"An edit is for {str(path)[:200]}, and not for {file}.", Reason.BAD_INPUT)
    return list(given)


def _read_text(edits: str) -> str:
    if edits.lstrip()[:1] in {"[", "{"}:
        return edits
    if edits == "-":
        raw = sys.stdin.buffer.read(MAX_EDITS + 1)
        if len(raw) > MAX_EDITS:
            raise Refused(f"The edits have more than {MAX_EDITS // 2**20} MiB.", Reason.TOO_LARGE)
    elif not edits.strip() or "\n" in edits or len(edits) > os.pathconf("/", "PC_PATH_MAX"):
        raise Refused(f"The edits are not JSON; give {_SHAPE}.", Reason.BAD_INPUT)
    else:
        raw = read_named(Path(edits), most=MAX_EDITS)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused("The edits are not UTF-8 text.", Reason.BAD_INPUT) from None


def _write(file: Path, applied: Applied) -> Applied:
    """Put the new text in the file's place at once, with its mode; what it was stays until then."""
    target = file.resolve()
    place = target.with_name(f".{target.name}.{token_hex(4)}")
    try:
        place.write_bytes(applied.text)
        place.chmod(target.stat().st_mode & 0o7777 if target.exists() else 0o644)
        place.replace(target)
    except OSError as error:
        place.unlink(missing_ok=True)
        return Applied(error=f"{file} cannot be written: {error.strerror or error}.", code=UNREADABLE)
    return applied


def _as_json(file: Path, applied: Applied, *, written: bool) -> dict[str, Any]:
    is_applied = not applied.code
    return {
        "version": JSON_VERSION,
        "file": str(file),
        "applied": is_applied,
        "written": written,
        "edits": applied.count,
        "error": applied.error or None,
        "text": applied.text.decode("utf-8") if is_applied else None,
        "diff": applied.diff.decode("utf-8") if is_applied else None,
    }

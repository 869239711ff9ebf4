"""`backup` and `restore`: the SQLite store in one file."""

from pathlib import Path

from bot.errors import Reason, Refused
from bot.ports.clock import SystemClock
from bot.settings import Settings
from bot.store.backup import restore_backup, write_backup


def run_backup(settings: Settings, target: Path) -> str:
    """Copy the store, whether Nightshift runs or not, and say what was copied."""
    _require_sqlite(settings, "pg_dump")
    manifest = write_backup(settings.server.state_dir, target, SystemClock().now())
    row, _, head = manifest.audit.partition(":")
    return f"Written to {target}. The audit trail ends at row {row}, {head[:12]}…; keep it: {manifest.audit}"


def run_restore(settings: Settings, archive: Path) -> str:
    """Put a backup in the place of the store of a Nightshift that does not run."""
    _require_sqlite(settings, "pg_restore")
    if not archive.is_file():
        raise Refused(f"There is no file {archive}.", Reason.NOT_FOUND)
    state = settings.server.state_dir
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    manifest, kept = restore_backup(archive, state, SystemClock().now())
    old = f" The store that was there is now in {kept}." if kept else ""
    made = f"{manifest.created_at:%Y-%m-%d %H:%M} UTC"
    return f"Restored to {state}: the store of {made}.{old} Start Nightshift; open incidents go on from there."


def _require_sqlite(settings: Settings, tool: str) -> None:
    if settings.database_url is not None:
        raise Refused(f"The store is in PostgreSQL; use {tool} for it.", Reason.BAD_INPUT)

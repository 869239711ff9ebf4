"""`nightshift approval`: fetch the statement of an approval, and check one offline with nothing but its files."""

from pathlib import Path
from urllib.parse import quote

from bot.bootstrap.commands.client import AdminClient
from bot.bootstrap.commands.named_files import read_named
from bot.domain.approvals.statement import Statement, statement_digest, verify_message, verify_statement

MAX_FILE = 64 * 1024 * 1024


def export_statement(client: AdminClient, incident: str, digest: str) -> bytes:
    """Return the statement's bytes as they were stored when the patch was approved."""
    return client.get_bytes(f"/v1/incidents/{quote(incident, safe='')}/patches/{quote(digest, safe='')}/statement")


def check_files(statement: Path, patch: Path, message: Path | None) -> str:
    """Check a statement against a patch and, if given, a commit message; return what it says. Raises `Refused`."""
    document = read_named(statement, most=MAX_FILE)
    found = verify_statement(document, patch=read_named(patch, most=MAX_FILE))
    if message is not None:
        text = read_named(message, most=MAX_FILE).decode("utf-8", errors="replace")
        verify_message(text, statement=document, patch_digest=found.digest)
    return _tell(found, statement_digest(document), has_message=message is not None)


def _tell(found: Statement, digest: str, *, has_message: bool) -> str:
    lines = [
        f"The statement holds: sha256:{digest}",
        f"patch    sha256:{found.digest} of {found.incident}",
        f"base     {found.base}",
        f"target   {found.target}",
        f"policy   {found.policy_version}, {found.needs} needed, valid until {found.expires_at:%Y-%m-%d %H:%M:%S} UTC",
        *(f"approved {vote.at:%Y-%m-%d %H:%M:%S} UTC by {vote.person} in {vote.channel}" for vote in found.votes),
    ]
    if found.glass is not None:
        lines.append(f"break-glass by {found.glass.person}: {found.glass.reason}")
    if has_message:
        lines.append("The commit message names this statement and this patch.")
    return "\n".join("".join(char if char.isprintable() else "?" for char in line) for line in lines)

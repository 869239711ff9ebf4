"""`page test`: every contact of a person rings once, through the running Nightshift."""

from typing import Any

from bot.bootstrap.commands.client import AdminClient


def run_page_test(client: AdminClient, person: str) -> tuple[str, bool]:
    """Return what each contact answered, line by line, and whether all took it."""
    answers: list[dict[str, Any]] = client.post("/v1/page-tests", {"person": person})["contacts"]
    if not answers:
        return f"{person} has no contacts, and is paged in chat alone; see docs/paging.md.", False
    width = max(len(answer["contact"]) for answer in answers)
    lines = [f"{_tell(answer['ok'])}  {answer['contact']:{width}}  {answer['text']}" for answer in answers]
    return "\n".join(lines), all(answer["ok"] for answer in answers)


def _tell(is_ok: bool) -> str:
    return "ok  " if is_ok else "mend"

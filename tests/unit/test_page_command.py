"""`nightshift page test`: one line for each contact, and an exit code that a script can trust."""

import pytest
from typer.testing import CliRunner

from bot import cli

TAKEN = {"contact": "push", "ok": True, "text": "taken"}
DEAD = {"contact": "by-phone", "ok": False, "text": "twilio://… answered 401"}


class Client:
    """A running Nightshift whose contacts answer this."""

    def __init__(self, *contacts: dict[str, object]) -> None:
        self.contacts = contacts

    def post(self, path: str, body: dict[str, str]) -> dict[str, object]:
        assert (path, body) == ("/v1/page-tests", {"person": "ana"})
        return {"contacts": list(self.contacts)}


@pytest.mark.parametrize(
    ("contacts", "said", "code"),
    [
        ((TAKEN,), "ok    push  taken\n", 0),
        ((TAKEN, DEAD), "ok    push      taken\nmend  by-phone  twilio://… answered 401\n", 1),
        ((), "ana has no contacts, and is paged in chat alone; see docs/paging.md.\n", 1),
    ],
)
def test_it_says_what_each_answered(monkeypatch, contacts, said, code):
    monkeypatch.setattr(cli, "_client", lambda _config: Client(*contacts))
    result = CliRunner().invoke(cli.app, ["page", "test", "ana"])
    assert (result.output, result.exit_code) == (said, code)

"""Texts a run asks for while it works: files read here, the rest through the front process, each once."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.ci_logs.log import CILog
from bot.domain.evidence import LogLine
from bot.domain.investigation import Job, LogRead
from bot.domain.service import LogPlace, Service
from bot.errors import Refused
from bot.ports.desk import CILogWanted, LogsWanted, Told
from bot.worker.library import MAX_KEPT, Library
from bot.worker.tools import Tools
from connectors.logs import file as file_logs
from tests.worldkit import NOW, PLAYBOOK

LOKI = LogPlace(kind="loki", query='{app="shop"}')
SHA = "c" * 40
YESTERDAY = NOW - timedelta(days=1)
TOOLS = Tools(
    log_source=lambda place: file_logs.Source("app.log", place.path), workspaces=None, sandbox=None,
    prepare_toolchain=None, redact=lambda text: text.replace("hunter2", "[redacted]"),
    redact_lines=lambda lines: [text.replace("hunter2", "[redacted]") for text in lines],
)  # fmt: skip


class Front:
    """Answers with what it was told to, and counts."""

    def __init__(self, told: Told) -> None:
        self.told, self.asked = told, []

    async def __call__(self, question) -> Told:
        self.asked.append(question)
        return self.told


def make(front: Front, *logs: LogPlace) -> Library:
    service = Service(name="shop", repository="/srv/shop.git", logs=logs)
    job = Job(
        run="INC-1:1", incident="INC-1", service=service, playbook=PLAYBOOK, title="T", alert_started_at=NOW, now=NOW,
        folder="/n",
    )  # fmt: skip
    return Library(job, TOOLS, front)


def far(*texts: str) -> Told:
    lines = tuple(LogLine(source="loki", number=n, text=text) for n, text in enumerate(texts, 1))
    return Told(logs=(LogRead(place=LOKI, lines=lines),))


async def test_files_and_servers_are_read_over_the_time_asked_for(tmp_path):
    log = tmp_path / "app.log"
    log.write_text(f"{YESTERDAY:%Y-%m-%dT%H:%M:%SZ} ERROR yesterday\n{NOW:%Y-%m-%dT%H:%M:%SZ} ERROR hunter2 today\n")
    front = Front(far("far hunter2"))
    library = make(front, LogPlace(kind="file", path=str(log)), LOKI)
    since, until = YESTERDAY - timedelta(hours=1), YESTERDAY + timedelta(hours=1)
    told = (await library.query_logs(since, until)).reduced()
    assert "ERROR yesterday" in told
    assert "today" not in told
    assert "loki:1  far [redacted]" in told
    assert front.asked == [LogsWanted(since=since, until=until)]


async def test_each_text_is_read_once_and_only_a_few_are_kept():
    front = Front(far("x"))
    library = make(front, LOKI)
    for _ in range(3):
        await library.query_logs(YESTERDAY, NOW)
    assert len(front.asked) == 1
    for n in range(MAX_KEPT):
        await library.query_logs(YESTERDAY, NOW + timedelta(seconds=n + 1))
    await library.query_logs(YESTERDAY, NOW)
    assert len(front.asked) == MAX_KEPT + 2


async def test_a_server_that_cannot_be_asked_is_named_beside_what_the_files_hold(tmp_path):
    log = tmp_path / "app.log"
    log.write_text(f"{YESTERDAY:%Y-%m-%dT%H:%M:%SZ} ERROR yesterday\n")
    front = Front(Told(fault="no log server is configured for shop"))
    both = await make(front, LogPlace(kind="file", path=str(log)), LOKI).query_logs(YESTERDAY, NOW)
    assert "ERROR yesterday" in both.reduced()
    assert both.faults == ['({app="shop"} could not be read: no log server is configured for shop)']
    with pytest.raises(Refused, match="no log server is configured"):
        await make(front, LOKI).query_logs(YESTERDAY, NOW)


async def test_a_ci_log_is_reduced_to_what_the_last_green_one_has_not():
    noise = "".join(f"step {n} ok\n" for n in range(200))
    red = f"=== tests ===\n{noise}KeyError: 'hunter2'\n"
    front = Front(Told(ci_log=CILog(ci="cloud", sha=SHA, text=red, green={"tests": noise})))
    logs = await make(front).read_ci_log(SHA)
    assert logs.reduced().startswith("CI log of tests, line 201 (what the last green run did not write)\n")
    assert "KeyError: '[redacted]'" in logs.reduced()
    assert "step 7 ok" not in logs.reduced()
    assert "ci:2  step 0 ok" in logs.find(None, page=3)
    assert front.asked == [CILogWanted(sha=SHA)]


@pytest.mark.parametrize(
    ("told", "part"),
    [
        (Told(fault='No CI is called "cloud" any more'), "No CI is called"),
        (Told(ci_log=CILog(ci="cloud", sha=SHA, text=" \n")), f"CI keeps no log of {SHA[:12]}"),
        (Told(), "CI keeps no log"),
    ],
)
async def test_a_ci_log_that_is_not_there_says_so(told, part):
    with pytest.raises(Refused, match=part):
        await make(Front(told)).read_ci_log(SHA)


async def test_a_green_log_says_that_nothing_failed_or_none_was_green():
    lines = "".join(f"step {n} ok\n" for n in range(200))
    log = CILog(ci="cloud", sha=SHA, text=f"=== tests ===\n{lines}")
    told = (await make(Front(Told(ci_log=log))).read_ci_log(SHA)).reduced()
    assert "no green run of it is kept" in told
    compared = replace(log, green={"tests": lines})
    assert "step 199 ok" in (await make(Front(Told(ci_log=compared))).read_ci_log(SHA)).reduced()

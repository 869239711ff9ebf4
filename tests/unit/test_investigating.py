"""Findings under a deadline: what has answered is shown, what hangs is named, and what comes late is taken in."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from threading import Event

import pytest

from bot.domain.conclusion import conclude
from bot.domain.evidence import LogLine
from bot.domain.investigation import Collected, Confirmed, Suspected, is_preliminary
from bot.domain.service import LogPlace
from bot.engine import investigating as module
from bot.engine.gathering import Asked, Gathering
from bot.engine.green_logs import GreenLogs
from bot.engine.investigating import Investigating
from bot.engine.tools import Tools as EngineTools
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.logs import LogQuery
from bot.services import triage
from bot.worker.collect import collect
from bot.worker.tools import Tools
from tests.worldkit import BASE, NOW, PLAYBOOK, make_rules, make_world, quiet  # noqa: F401 -- `quiet` is a fixture

LOKI = LogPlace(kind="loki", query='{app="checkout"}')
JOURNAL = LogPlace(kind="journald", query="_SYSTEMD_UNIT=checkout.service")
STORE = LogPlace(kind="elasticsearch", path="checkout-*")
COMMAND = LogPlace(kind="command", command=("docker",), path="checkout-1")
FILE = LogPlace(kind="file", path="/var/log/checkout.log")
FAILED = '10.0.0.1 - - [04/Mar/2026:03:11:00 +0000] "GET /total?cart=7 HTTP/1.1" 500 12'
FIRST, ALL, SOON = 0.4, 20, 5


def say(place: LogPlace, *texts: str) -> list[LogLine]:
    return [LogLine(source=place.kind, number=n, text=text, at=NOW) for n, text in enumerate(texts, 1)]


class Source:
    """A place with lines, or a fault, `after` some seconds; `free` lets one that hangs end with the test."""

    def __init__(self, place: LogPlace, told=(), *, after: float = 0, free: Event | None = None) -> None:
        self.place, self.told, self.after, self.name, self.free = place, told, after, place.kind, free or Event()
        self.is_read = False

    def read(self, query: LogQuery) -> Iterator[LogLine]:
        self.free.wait(self.after)
        self.is_read = True
        if isinstance(self.told, Exception):
            raise self.told
        return iter(say(self.place, *self.told))


class Worker:
    """Collects for real; a suspect is confirmed where `culprit` is given and there is something to run."""

    def __init__(self, sources: dict[LogPlace, Source], culprit: str | None) -> None:
        self.tools = Tools(
            log_source=lambda place: sources[place], workspaces=None, sandbox=None, prepare_toolchain=None,
            redact=str, redact_lines=list,
        )  # fmt: skip
        self.culprit = culprit
        self.began = 0.0
        self.calls = 0
        self.first_at: float | None = None

    async def investigate(self, job):
        self.calls += 1
        done = [result for result in job.done if not is_preliminary(result)]
        collected = next((result for result in done if isinstance(result, Collected)), None)
        if collected is None:
            collected = await asyncio.to_thread(collect, job, self.tools)
            self.first_at = self.first_at or time.monotonic() - self.began
            yield collected
        if not any(isinstance(result, Suspected) for result in done):
            yield Suspected(head=BASE, suspects=())
        if collected.pending and not collected.has_lead:
            return
        if not any(isinstance(result, Confirmed) for result in done):
            culprit = self.culprit if collected.requests else None
            yield Confirmed(culprit=culprit, request=None, runs=(), how="tried")


class Night:
    """One incident whose logs lie in these places."""

    def __init__(self, folder, *sources: Source, culprit: str | None = None, localize=None, seconds=ALL) -> None:
        self.places = {source.place: source for source in sources}
        service = replace(make_rules().services["checkout"], logs=tuple(self.places))
        book = replace(PLAYBOOK, first_seconds=FIRST, evidence_seconds=seconds)
        rules = make_rules(services={"checkout": service}, playbooks=(book,))
        self.world = make_world(folder, rules, opened=True)
        self.worker = Worker(self.places, culprit)
        self.localize = localize or (lambda job: asyncio.sleep(0, job))

    async def investigate(self) -> float:
        """Run the investigation; return how long it took."""
        tools = EngineTools(
            investigator=self.worker, workspaces=None, ci={}, folder=self.world.path, redact=str,
            open_log=lambda place: self.places[place],
        )  # fmt: skip
        self.worker.began = time.monotonic()
        place = self.world.store, self.world.rules, tools
        await Investigating(*place, green=GreenLogs(*place), localize=self.localize).run(self.plan())
        return time.monotonic() - self.worker.began

    def plan(self):
        with self.world.unit() as work:
            return triage.plan_job(work, "INC-1", run="INC-1:1", folder="/nowhere", rules=self.world.rules)

    def stored(self, kind: type):
        with self.world.unit() as work:
            return next((one for one in work.investigations.of("INC-1:1") if isinstance(one, kind)), None)

    def findings(self) -> str:
        """Return the claims, and the evidence that they cite."""
        with self.world.unit() as work:
            findings, evidence = conclude(work.investigations.of("INC-1:1"))
        cited = {piece for finding in findings for piece in finding.evidence}
        texts = [finding.claim for finding in findings] + [f"{e.cite} {e.text}" for e in evidence if e.id in cited]
        return "\n".join(texts)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, "SHOWING", 0.1)
    monkeypatch.setattr(module, "SLACK", 0.1)
    monkeypatch.setattr(module, "LEAST", 0.1)
    monkeypatch.setattr(module, "GRACE", 0.1)


@pytest.fixture
def hang():
    free = Event()
    yield lambda place: Source(place, after=30, free=free)
    free.set()


async def test_sources_that_hang_one_that_is_dead_and_one_that_speaks_nonsense_hold_nothing_up(tmp_path, hang):
    dead = Unavailable("Elasticsearch failed (503), asked for the log of checkout", Reason.SERVER_ERROR)
    night = Night(
        tmp_path, hang(LOKI), hang(JOURNAL), Source(STORE, dead),
        Source(COMMAND, ValueError("nonsense")), Source(FILE, [FAILED]), culprit=BASE,
    )  # fmt: skip
    took = await night.investigate()
    assert night.worker.first_at < SOON
    assert took < SOON, "the cause is known: nobody waits for the rest"
    collected = night.stored(Collected)
    assert collected.lines_read == 1
    assert night.stored(Confirmed).culprit == BASE
    assert not is_preliminary(collected)
    findings = night.findings()
    for said in (
        'loki log {app="checkout"} could not be read between 2026-03-04 02:40:05 UTC and 2026-03-04 03:13:06 UTC',
        "UTC: no answer in 0 s",
        "Elasticsearch failed (503)", "ValueError while reading it", "Not all of the evidence is in",
    ):  # fmt: skip
        assert said in findings
        assert any(said in note for note in collected.notes) or said.startswith("Not all")


async def test_what_is_slow_is_taken_in_where_the_first_look_led_to_nothing(tmp_path, hang):
    night = Night(tmp_path, Source(LOKI, [FAILED], after=FIRST + 0.1), Source(FILE, ["well"]), culprit=BASE)
    assert await night.investigate() < SOON
    assert night.worker.first_at < SOON
    assert night.stored(Collected).lines_read == 2
    assert night.stored(Confirmed).culprit == BASE
    assert "could not be read" not in night.findings()
    stages = night.world.texts("stage")
    assert stages[0] == "Logs read, for now"
    assert stages.count("Logs read") == 1


async def test_what_was_tried_without_the_late_evidence_is_tried_again_with_it(tmp_path):
    night = Night(tmp_path, Source(LOKI, ["ERROR: late"], after=FIRST), Source(FILE, [FAILED]))
    await night.investigate()
    assert night.world.texts("stage") == [
        "Logs read, for now", "Suspects ranked", "Suspects tried in the sandbox",
        "Logs read", "Suspects ranked", "Suspects tried in the sandbox",
    ]  # fmt: skip


async def test_what_comes_while_the_cause_is_found_is_in_the_findings(tmp_path):
    night = Night(tmp_path, Source(LOKI, ["ERROR: also seen"], after=FIRST * 0.7), Source(FILE, [FAILED]), culprit=BASE)
    confirm = night.worker.investigate

    async def slowly(job):
        async for result in confirm(job):
            if isinstance(result, Confirmed):
                while not night.places[LOKI].is_read:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.05)
            yield result

    night.worker.investigate = slowly
    await night.investigate()
    assert night.stored(Collected).lines_read == 2
    assert night.world.texts("stage").count("Suspects tried in the sandbox") == 1


async def test_with_nothing_but_a_source_that_hangs_it_ends_in_time_and_says_so(tmp_path, hang):
    night = Night(tmp_path, hang(LOKI), seconds=0.5)
    assert await night.investigate() < SOON
    assert night.worker.first_at < SOON
    assert "No log could be read" in night.findings()
    assert night.stored(Confirmed) is not None, "what can be tried without a log was tried"


async def test_a_file_that_hangs_is_named_like_any_other(tmp_path, hang):
    night = Night(tmp_path, hang(FILE), Source(LOKI, [FAILED]), culprit=BASE)
    await night.investigate()
    assert night.worker.first_at < SOON
    assert night.stored(Confirmed).culprit == BASE
    assert "file log /var/log/checkout.log could not be read" in night.findings()


async def test_a_repository_that_hangs_holds_no_finding_up(tmp_path):
    night = Night(tmp_path, Source(FILE, [FAILED]), localize=lambda job: asyncio.sleep(30, job), seconds=0.6)
    with pytest.raises(Unavailable, match="repository of checkout did not answer in"):
        await night.investigate()
    assert night.worker.first_at < SOON
    assert night.stored(Collected).lines_read == 1
    assert night.stored(Suspected) is None


async def test_where_everything_answers_the_worker_is_asked_once(tmp_path):
    night = Night(tmp_path, Source(LOKI, [FAILED]), Source(FILE, ["well"]), culprit=BASE)
    await night.investigate()
    assert night.worker.calls == 1
    assert night.stored(Confirmed).culprit == BASE


async def test_after_a_kill_nothing_that_is_whole_is_read_again(tmp_path):
    night = Night(tmp_path, Source(LOKI, [FAILED]), culprit=BASE)
    await night.investigate()
    night.places[LOKI].told = Rejected("asked again", Reason.BAD_INPUT)
    before = night.stored(Collected)
    await night.investigate()
    assert night.stored(Collected) == before


async def test_after_a_kill_a_first_look_is_taken_anew(tmp_path):
    night = Night(tmp_path, Source(LOKI, [FAILED]), culprit=BASE)
    with night.world.unit() as work:
        early = Collected(records=(), requests=(), evidence=(), lines_read=0, pending=("loki log",))
        triage.record_stage(work, "INC-1", run="INC-1:1", result=early)
    await night.investigate()
    assert night.stored(Collected).lines_read == 1
    assert night.stored(Confirmed).culprit == BASE


async def test_a_mistake_in_one_source_stops_no_other(tmp_path):
    async def fail():
        raise KeyError("mine")

    job = Night(tmp_path, Source(FILE)).plan()
    asked = Asked(name="mine", ask=fail(), lack=lambda job, why: replace(job, title=why))
    async with Gathering([asked]) as sources:
        assert (await sources.look(job, seconds=1)).title == "KeyError while reading it"

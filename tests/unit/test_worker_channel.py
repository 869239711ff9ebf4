"""The socket between front process and worker: whatever the worker does, the front answers, and starts it again."""

import asyncio
import os
import signal
import socket
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from bot.agent.cleaning import redact_value
from bot.domain.ci_logs.log import CIFailure, CILog, find_failure
from bot.domain.investigation import Collected, Drafted, Job, Suspected
from bot.domain.runs.image import read_image
from bot.domain.runs.transcript import Budget
from bot.domain.service import Service
from bot.errors import LimitReached, NightshiftError, Reason, Refused, Rejected, Unavailable
from bot.ports.desk import AlikeWanted, PlaybookWanted, RunsWanted, Told
from bot.ports.drafter import ModelJob
from bot.ports.model import ModelPlace, ModelTry, TryResult
from bot.worker import client as module
from bot.worker import server
from bot.worker.client import WorkerClient
from bot.worker.messages import (
    ANSWERS,
    MAX_FRAME,
    ORDERS,
    Answer,
    AnswerFrame,
    AskFront,
    Cancel,
    CIRead,
    Draft,
    Ended,
    FrontTold,
    Investigate,
    ModelAsked,
    OrderFrame,
    Plot,
    Plotted,
    ReadCI,
    StageDone,
    read_frame,
    write_frame,
)
from bot.worker.plots import Plots
from bot.worker.server import Able, serve_worker
from tests.images import PNG
from tests.unit.test_plot import change, metric
from tests.worldkit import BASE, NOW, PLAYBOOK, quiet  # noqa: F401 -- `quiet` is a fixture

JOB = Job(
    run="INC-1:1",
    incident="INC-1",
    service=Service(name="checkout", repository="/srv/git/checkout.git"),
    playbook=PLAYBOOK,
    title="ünïcode 😀",
    alert_started_at=NOW,
    now=NOW,
    folder="/nowhere",
)
MODEL_JOB = ModelJob(job=JOB, place=ModelPlace(url="http://gpu", name="m"), budget=Budget())
COLLECTED = Collected(records=(), requests=(), evidence=(), lines_read=3, notes=("hunter2 was logged",))
FULL = ModelTry(server=0, result=TryResult.BUSY)
BROKEN = ModelTry(server=1, result=TryResult.FAILED, is_open=True)
SUSPECTED = Suspected(head=BASE, suspects=())
DRAFTED = Drafted(base=BASE, patch=b"\x00\xff\xfe not text", title="t", culprit=None)

FAKE = textwrap.dedent(
    """
    import os, signal, socket, sys, time
    channel = socket.socket(fileno=int(sys.argv[-1]))
    how, *rest = sys.argv[1:-1]
    def receive(size):
        data = b""
        while len(data) < size:
            part = channel.recv(size - len(data))
            if not part:
                sys.exit(0)
            data += part
        return data
    def order():
        return receive(int.from_bytes(receive(4), "big"))
    while how == "silent":
        order()
    if how == "die":
        order()
        os.kill(os.getpid(), signal.SIGKILL)
    if how in {"say", "babble"}:
        order()
        for text in rest:
            channel.sendall(bytes.fromhex(text))
        if how == "babble":
            time.sleep(60)
        while True:
            order()
    if how == "watch":
        while True:
            with open(rest[0], "ab") as file:
                file.write(order() + b"\\n")
    """
)


def frame(answer: Answer) -> bytes:
    body = ANSWERS.dump_json(AnswerFrame(answer=answer))
    return len(body).to_bytes(4, "big") + body


def hide(answer: Answer) -> Answer:
    return redact_value(answer, lambda text: text.replace("hunter2", "[redacted]"))


@asynccontextmanager
async def worker(*how: str | bytes) -> AsyncIterator[WorkerClient]:
    """A client whose worker behaves as told."""
    words = [word.hex() if isinstance(word, bytes) else word for word in how]
    argv = [sys.executable, "-S", "-c", FAKE, *words]
    client = WorkerClient(argv, memory_bytes=2 << 30, redact=hide)
    try:
        yield client
    finally:
        await client.close()


async def investigate(client: WorkerClient, job: Job = JOB) -> list[object]:
    async with asyncio.timeout(10):
        return [result async for result in client.investigate(job)]


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(5):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.01)


class TestAnswers:
    async def test_of_model_servers_are_handed_on(self):
        told = []
        async with worker("say", frame(ModelAsked(call=1, tried=BROKEN)), frame(Ended(call=1))) as client:
            await client.draft(MODEL_JOB, None, ask=None, on_try=told.append)
        assert [(one.server, one.result.value, one.is_open) for one in told] == [(1, "failed", True)]

    async def test_come_back_in_order_cleaned_of_secrets(self):
        said = [StageDone(call=1, collected=COLLECTED), StageDone(call=1, drafted=DRAFTED), Ended(call=1)]
        async with worker("say", *map(frame, said)) as client:
            assert await investigate(client) == [replace(COLLECTED, notes=("[redacted] was logged",)), DRAFTED]

    async def test_to_somebody_else_s_call_are_dropped(self):
        said = [StageDone(call=2, suspected=SUSPECTED), StageDone(call=1, collected=COLLECTED), Ended(call=1)]
        async with worker("say", *map(frame, said)) as client:
            assert len(await investigate(client)) == 1

    @pytest.mark.parametrize(
        ("ended", "kind"),
        [
            (
                Ended(call=1, reason=Reason.UNREACHABLE, text="hunter2 is down", may_retry=True, retry_after=7.0),
                Unavailable,
            ),
            (Ended(call=1, reason=Reason.TIMEOUT, text="hunter2 is slow"), LimitReached),
            (Ended(call=1, reason=Reason.BUDGET, text="hunter2 is spent"), LimitReached),
            (Ended(call=1, reason=Reason.NOT_FOUND, text="hunter2 is not there"), Refused),
            (Ended(call=1, reason=Reason.SERVER_ERROR, text="hunter2 crashed"), Rejected),
        ],
    )
    async def test_that_say_why_it_failed_become_errors_of_ours(self, ended, kind):
        async with worker("say", frame(ended)) as client:
            with pytest.raises(NightshiftError) as caught:
                await investigate(client)
        assert type(caught.value) is kind
        assert caught.value.reason is ended.reason
        assert "[redacted]" in str(caught.value)
        assert "hunter2" not in str(caught.value)

    async def test_to_a_question_of_a_tool_come_from_who_draws_up_the_answer(self):
        asking = AskFront(call=1, number=7, question=PlaybookWanted(name="hunter2"))
        asked = []

        async def ask(question):
            asked.append(question)
            return Told(fault="there is none")

        async with worker("say", frame(asking), frame(Ended(call=1))) as client:
            await client.draft(MODEL_JOB, None, ask=ask, on_try=print)
        assert asked == [PlaybookWanted(name="[redacted]")]

    async def test_to_more_questions_than_an_honest_run_has_are_refused(self, monkeypatch):
        monkeypatch.setattr(module, "MAX_ASKED", 2)
        asked = []

        async def ask(question):
            asked.append(question)
            return Told()

        questions = [frame(AskFront(call=1, number=n, question=AlikeWanted(text="x"))) for n in range(5)]
        async with worker("say", *questions, frame(Ended(call=1))) as client:
            await client.draft(MODEL_JOB, None, ask=ask, on_try=print)
        assert len(asked) == 2

    async def test_are_none_to_a_question_outside_of_a_model_s_run(self):
        async with worker("say", frame(AskFront(call=1, number=1, question=AlikeWanted(text="x")))) as client:
            with pytest.raises(Rejected):
                await investigate(client)

    async def test_to_a_ci_log_are_what_it_shows_failing_cleaned_of_secrets(self):
        failure = CIFailure(cite="c", job="j", attempt=1, is_marked=True, records=(), lines=("hunter2 is wrong",))
        async with worker("say", frame(CIRead(call=1, failure=failure)), frame(Ended(call=1))) as client:
            read = await client.read_ci(CILog(ci="cloud", sha=BASE, text="x"))
        assert read.lines == ("[redacted] is wrong",)

    async def test_to_metrics_are_pictures_byte_for_byte(self):
        async with worker("say", frame(Plotted(call=1, pictures=(PNG, b"hunter2"))), frame(Ended(call=1))) as client:
            assert await client.plot((), ()) == (PNG, b"hunter2")

    async def test_of_no_or_two_results_are_rejected(self):
        for odd in (StageDone(call=1), StageDone(call=1, collected=COLLECTED, suspected=SUSPECTED)):
            async with worker("say", frame(odd)) as client:
                with pytest.raises(Rejected):
                    await investigate(client)


class TestAWorkerThatDies:
    async def test_by_kill_9_in_the_middle_is_unavailable_and_started_again(self):
        async with worker("silent") as client:
            asking = asyncio.create_task(investigate(client))
            while client.pid is None:
                await asyncio.sleep(0.005)
            first = client.pid
            os.kill(first, signal.SIGKILL)
            with pytest.raises(Unavailable) as trouble:
                await asking
            assert trouble.value.retry_after is not None
            again = asyncio.create_task(investigate(client))
            async with asyncio.timeout(5):
                while client.pid == first:
                    await asyncio.sleep(0.005)
            os.kill(client.pid, signal.SIGKILL)
            with pytest.raises(Unavailable):
                await again

    async def test_that_was_replaced_is_ended_too_when_the_front_closes(self, monkeypatch):
        monkeypatch.setattr("bot.worker.client.LAST_SECONDS", 60)
        monkeypatch.setattr("bot.worker.client.CLOSE_SECONDS", 0.05)
        pids = []
        async with worker("babble", b"\x00\x00\x00\x04junk") as client:
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await investigate(client)
                pids.append(client.pid)
        assert len(set(pids)) == 2
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    async def test_tells_everybody_who_waits(self):
        async with worker("die") as client:
            outcomes = await asyncio.gather(*(investigate(client) for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3

    async def test_at_its_start_is_unavailable(self):
        client = WorkerClient([sys.executable, "-c", "raise SystemExit(3)"], memory_bytes=1 << 30, redact=hide)
        with pytest.raises(Unavailable):
            await investigate(client)
        await client.close()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x00\x00\x00\x04junk",
        b"\x00\x00\x00\x02{}",
        b"\x00\x00\x00\x00",
        (MAX_FRAME + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff",
        b'\x00\x00\x00\x1b{"answer":{"call":"one"}}   ',
        b"\x00\x00\x00\x0a" + b"[" * 10,
        frame(StageDone(call=1, collected=COLLECTED)).replace(b'"lines_read":3', b'"lines_read":x'),
    ],
    ids=["text", "empty object", "empty", "too large", "huge", "wrong type", "cut", "number"],
)
async def test_a_worker_that_talks_nonsense_is_unavailable_and_ended(nonsense, monkeypatch):
    monkeypatch.setattr(module, "LAST_SECONDS", 0.01)
    async with worker("babble", nonsense) as client:
        with pytest.raises(Unavailable):
            await investigate(client)
        assert client.pid is not None
        await until_gone(client.pid)


def _target(descriptor: Path) -> Path | None:
    """Return what a descriptor names, None where it was closed since it was listed."""
    try:
        return descriptor.readlink()
    except FileNotFoundError:
        return None


class TestWhatTheWorkerGets:
    async def test_no_variable_no_file_and_a_memory_limit(self, monkeypatch, tmp_path):
        monkeypatch.setenv("NIGHTSHIFT_ALERT_TOKEN", "hunter2")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
        with (tmp_path / "nightshift.db").open("wb") as database:
            os.set_inheritable(database.fileno(), True)
            async with worker("silent") as client:
                asking = asyncio.create_task(investigate(client))
                async with asyncio.timeout(5):
                    while not self._has_begun(client.pid):
                        await asyncio.sleep(0.005)
                process = Path(f"/proc/{client.pid}")
                environ = process.joinpath("environ").read_bytes()
                names = {entry.split(b"=")[0] for entry in environ.split(b"\0") if entry}
                files = {str(item) for fd in process.joinpath("fd").iterdir() if (item := _target(fd)) is not None}
                limits = process.joinpath("limits").read_text()
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        assert names == {b"PATH", b"LANG", b"PYTHONPATH"}
        assert b"hunter2" not in environ
        assert not any("nightshift.db" in name for name in files)
        assert str(2 << 30) in limits

    def _has_begun(self, pid: int | None) -> bool:
        if pid is None:
            return False
        with suppress(OSError):
            return b"silent" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"prlimit")[0]
        return False

    async def test_the_job_whole_and_a_cancel_when_nobody_waits_any_more(self, tmp_path):
        orders = tmp_path / "orders"
        orders.touch()
        async with worker("watch", str(orders)) as client:
            asking = asyncio.create_task(investigate(client))
            async with asyncio.timeout(5):
                while not orders.read_bytes():
                    await asyncio.sleep(0.005)
                asking.cancel()
                while len(orders.read_bytes().splitlines()) < 2:
                    await asyncio.sleep(0.005)
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert client.pid is not None
        first, second = (ORDERS.validate_json(line).order for line in orders.read_bytes().splitlines())
        assert first == Investigate(call=1, job=JOB)
        assert second == Cancel(call=1)

    async def test_its_end_when_the_front_closes(self, tmp_path):
        orders = tmp_path / "orders"
        orders.touch()
        async with worker("watch", str(orders)) as client:
            asking = asyncio.create_task(investigate(client))
            async with asyncio.timeout(5):
                while not orders.read_bytes():
                    await asyncio.sleep(0.005)
        await until_gone(client.pid)
        with pytest.raises(Unavailable):
            await asking


class Scripted:
    """An investigator that does what the job's title says."""

    def __init__(self) -> None:
        self.running: set[str] = set()

    async def investigate(self, job: Job) -> AsyncIterator[object]:
        self.running.add(job.run)
        try:
            yield COLLECTED
            if job.title == "hang":
                await asyncio.Event().wait()
            if job.title == "crash":
                raise ZeroDivisionError
            if job.title == "retry":
                raise Unavailable("later", Reason.UNREACHABLE, 3.0)
            yield DRAFTED
        finally:
            self.running.discard(job.run)

    async def draft(self, job: ModelJob, store, *, ask, on_try) -> None:
        """Be a drafter too: with a second model two tries, then no answer."""
        if job.place.second is not None:
            on_try(FULL)
            on_try(BROKEN)
            raise Unavailable("The model server failed", Reason.SERVER_ERROR)
        self.told = await asyncio.gather(ask(AlikeWanted(text="one")), ask(RunsWanted(shas=(BASE,))))

    async def read_ci(self, log: CILog, *, workflow: str = "") -> CIFailure | None:
        return find_failure(log.text.split("\n"), workflow=workflow, green=log.green)


class Far:
    """The front's end of the socket, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scripted: Scripted) -> None:
        self.reader, self.writer, self.scripted = reader, writer, scripted

    async def order(self, order) -> None:
        await write_frame(self.writer, ORDERS.dump_json(OrderFrame(order=order)))

    async def answer(self) -> Answer:
        async with asyncio.timeout(5):
            body = await read_frame(self.reader)
        assert body is not None
        return ANSWERS.validate_json(body).answer


class TestTheWorkersSide:
    @pytest.fixture
    async def far(self):
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        scripted = Scripted()
        serving = asyncio.create_task(
            serve_worker(theirs, Able(investigator=scripted, drafter=scripted, ci_reader=scripted, plotter=Plots()))
        )
        reader, writer = await asyncio.open_connection(sock=ours)
        yield Far(reader, writer, scripted)
        writer.close()
        async with asyncio.timeout(5):
            await serving
        assert not scripted.running

    async def test_each_stage_is_reported_when_it_is_done(self, far):
        await far.order(Investigate(call=7, job=JOB))
        assert [await far.answer() for _ in range(3)] == [
            StageDone(call=7, collected=COLLECTED),
            StageDone(call=7, drafted=DRAFTED),
            Ended(call=7),
        ]

    async def test_questions_are_answered_by_their_number(self, far):
        await far.order(Draft(call=4, job=MODEL_JOB))
        first, second = await far.answer(), await far.answer()
        assert (first.question, second.question) == (AlikeWanted(text="one"), RunsWanted(shas=(BASE,)))
        await far.order(FrontTold(call=4, number=99, told=Told(fault="nobody asked")))
        await far.order(FrontTold(call=4, number=second.number, told=Told(fault="two")))
        await far.order(FrontTold(call=4, number=first.number, told=Told(fault="one")))
        assert await far.answer() == Ended(call=4)
        assert [told.fault for told in far.scripted.told] == ["one", "two"]

    async def test_a_front_that_does_not_answer_is_a_fault(self, far, monkeypatch):
        monkeypatch.setattr(server, "ASK_SECONDS", 0.0)
        await far.order(Draft(call=4, job=MODEL_JOB))
        said = [await far.answer() for _ in range(3)]
        assert said[-1] == Ended(call=4)
        assert "did not answer" in far.scripted.told[0].fault

    async def test_metrics_are_drawn_as_png(self, far):
        await far.order(Plot(call=6, metrics=(metric(),), changed=(change(5),)))
        drawn, ended = await far.answer(), await far.answer()
        assert read_image(drawn.pictures[0], "errors.png").media_type == "image/png"
        assert (len(drawn.pictures), ended) == (1, Ended(call=6))

    async def test_requests_to_model_servers_are_told_before_the_end(self, far):
        place = ModelPlace(url="http://gpu", name="m", second=ModelPlace(url="http://other", name="small"))
        await far.order(Draft(call=5, job=ModelJob(job=JOB, place=place, budget=Budget())))
        assert [await far.answer() for _ in range(3)] == [
            ModelAsked(call=5, tried=FULL),
            ModelAsked(call=5, tried=BROKEN),
            Ended(call=5, reason=Reason.SERVER_ERROR, text="The model server failed", may_retry=True),
        ]

    async def test_a_ci_log_is_read_against_the_green_one(self, far):
        log = CILog(ci="cloud", sha=BASE, text="=== tests ===\nwell\nKeyError: 'rate'\n", green={"tests": "well"})
        await far.order(ReadCI(call=3, log=log, workflow=""))
        read = await far.answer()
        assert isinstance(read, CIRead)
        assert (read.failure.lines, read.failure.is_compared) == (("KeyError: 'rate'",), True)
        assert await far.answer() == Ended(call=3)

    async def test_jobs_run_side_by_side_and_one_can_be_cancelled(self, far):
        await far.order(Investigate(call=1, job=replace(JOB, run="a", title="hang")))
        assert await far.answer() == StageDone(call=1, collected=COLLECTED)
        await far.order(Investigate(call=2, job=replace(JOB, run="b")))
        assert [(await far.answer()).call for _ in range(3)] == [2, 2, 2]
        assert far.scripted.running == {"a"}
        await far.order(Cancel(call=1))
        await far.order(Cancel(call=99))
        async with asyncio.timeout(5):
            while far.scripted.running:
                await asyncio.sleep(0)

    @pytest.mark.parametrize(
        ("title", "ended"),
        [
            ("crash", Ended(call=1, reason=Reason.SERVER_ERROR, text="ZeroDivisionError")),
            ("retry", Ended(call=1, reason=Reason.UNREACHABLE, text="later", may_retry=True, retry_after=3.0)),
        ],
    )
    async def test_a_failure_is_reported_and_the_next_job_is_served(self, far, title, ended):
        await far.order(Investigate(call=1, job=replace(JOB, title=title)))
        assert await far.answer() == StageDone(call=1, collected=COLLECTED)
        assert await far.answer() == ended
        await far.order(Investigate(call=2, job=JOB))
        assert (await far.answer()).call == 2

    async def test_when_the_front_is_gone_everything_stops(self, far):
        await far.order(Investigate(call=1, job=replace(JOB, title="hang")))
        await far.answer()
        assert far.scripted.running


async def test_a_frame_of_a_megabyte_arrives_whole():
    ours, theirs = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=ours)
    far_reader, far_writer = await asyncio.open_connection(sock=theirs)
    body = os.urandom(1 << 20)
    _, received = await asyncio.gather(write_frame(writer, body), read_frame(far_reader))
    assert received == body
    writer.write(b"\x00\x00")
    writer.close()
    assert await read_frame(far_reader) is None, "a frame that ends within its length is no frame"
    far_writer.close()

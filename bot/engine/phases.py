"""Durable phases over dbos: one starts with the commit that asks for it and ends where a person or a clock must act.

dbos is a process-wide singleton that runs one workflow function here; which phase it is comes as an argument.
A phase's work is one step that picks up its own stored rows, so running it again after a kill repeats nothing.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer
from sqlalchemy import Engine as Database
from sqlmodel import Session

from bot.engine.attempts import Attempts
from bot.engine.stillness import Stillness, spare
from bot.errors import NightshiftError, Unavailable
from bot.ports.faults import reach

APP_VERSION: Final = "phases-1"
EXECUTOR: Final = "local"
WORKFLOW: Final = "nightshift_phase"
LONGEST_WAIT: Final = 30.0

QUEUES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("escalate", "expire", "watch", "watching", "unanswered"), "timers"),
    **dict.fromkeys(("follow", "ci", "propose", "look", "merge", "green", "suggest", "plot"), "outside"),
    **dict.fromkeys(("deploy", "deployed", "release", "rollback"), "outside"),
    "revert": "triage",
}
"""Phase → queue; the others have one of their own name. Each queue is asked for work once a poll: 14 took 16 % of
a core while nothing happened, 5 took 5 to 10 % on the same, slow machine (measured)."""

_SHARED: Final[DBOSConfig] = {"sys_db_pool_size": 8, "sys_db_idle_transaction_timeout_sec": 5.0}
"""Few connections, and none that holds rows while its process stands still."""

log = structlog.get_logger(__name__)
Handler = Callable[[Mapping[str, str]], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One kind of phase. `run` may be repeated; `failed` is told when it cannot be done, with the reason.

    At least `together` phases of this kind may run at once, more where its queue is shared; `patience` is how long, in
    seconds, `Unavailable` is retried.
    """

    name: str
    run: Handler
    failed: Callable[[Mapping[str, str], str], Awaitable[None]]
    together: int = 4
    patience: float = 3600.0


_phases: dict[str, Phase] = {}
_attempts: Final = Attempts()


@DBOS.workflow(name=WORKFLOW)
async def _run_phase(phase: str, args: dict[str, str]) -> None:
    await DBOS.run_step_async({"name": phase}, _attempt, phase, args)


async def _attempt(name: str, args: dict[str, str]) -> None:
    await _attempts.run(_carry_out(name, args))


async def _carry_out(name: str, args: dict[str, str]) -> None:
    """Run a phase until it is done or given up. Nothing is raised: the store holds the outcome."""
    phase = _phases[name]
    log_args = {key: value for key, value in args.items() if key in {"incident", "run", "level"}}
    bound = structlog.contextvars.bind_contextvars(phase=name, **log_args)
    try:
        reach(f"phase.{name}.before")
        await _retry(phase, args)
        reach(f"phase.{name}.after")
    except NightshiftError as error:
        log.warning("phase_failed", reason=error.reason, error=str(error))
        await phase.failed(args, str(error))
    except Exception as error:
        log.exception("phase_crashed")
        await phase.failed(args, f"Nightshift made a mistake ({type(error).__name__}); its log says more.")
    finally:
        structlog.contextvars.reset_contextvars(**bound)


async def _retry(phase: Phase, args: Mapping[str, str]) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + phase.patience
    wait = 0.5
    while True:
        try:
            await phase.run(args)
        except Unavailable as error:
            pause = max(wait, error.retry_after or 0.0)
            if loop.time() + pause > deadline:
                raise
            log.info("phase_waits", seconds=pause, error=str(error))
            await asyncio.sleep(pause)
            wait = min(wait * 2, LONGEST_WAIT)
        else:
            return


def queue_of(phase: str) -> str:
    return QUEUES.get(phase, phase)


class SessionPhases:
    """`bot.ports.work.Phases` inside one transaction."""

    def __init__(self, session: Session, client: DBOSClient) -> None:
        self._session = session
        self._client = client

    def enqueue(self, phase: str, key: str, args: Mapping[str, str], *, delay: timedelta | None = None) -> None:
        options: dict[str, Any] = {
            "workflow_name": WORKFLOW,
            "queue_name": queue_of(phase),
            "workflow_id": f"{phase}:{key}",
            "app_version": APP_VERSION,
        }
        if delay is not None:
            options["delay_seconds"] = max(delay.total_seconds(), 0.0)
        self._client.enqueue_in_transaction(self._session, options, phase, dict(args))  # type: ignore[arg-type] # a TypedDict built step by step


class Engine:
    """The phases of one process. Make it before the store, `launch` it when everything else is ready.

    `executor` names this process: always the same on SQLite, where a restart takes up its own phases, and new at
    each start where several processes share a database and take over from each other.
    """

    def __init__(self, database: Database, *, poll_seconds: float, executor: str = EXECUTOR) -> None:
        self._poll_seconds = poll_seconds
        self._runs = threading.Lock()
        self._is_running = False
        self._stillness = Stillness(str(database.url.database)) if database.dialect.name == "sqlite" else None
        url = database.url.render_as_string(hide_password=False)
        self._dbos = DBOS(
            config={
                "name": "nightshift",
                "system_database_url": url,
                "application_version": APP_VERSION,
                "executor_id": executor,
                "serializer": DBOSPortableJSONSerializer(),
                "log_level": "WARNING",
                "max_executor_threads": 32,
                "scheduler_polling_interval_sec": 3600.0,
                **(_SHARED if database.dialect.name == "postgresql" else {}),
            }
        )
        self._client = DBOSClient(system_database_engine=database, serializer=DBOSPortableJSONSerializer(), lazy=True)

    def phases_of(self, session: Session) -> SessionPhases:
        return SessionPhases(session, self._client)

    async def launch(self, *phases: Phase) -> None:
        """Start running phases, first those that a killed process left behind."""
        _attempts.open()
        _phases.clear()
        _phases.update({phase.name: phase for phase in phases})
        DBOS.launch()
        if self._stillness is not None:
            spare(self._dbos._sys_db, self._stillness)  # noqa: SLF001 -- there is no public way; see stillness.py
        together: dict[str, int] = {}
        for phase in phases:
            together[queue_of(phase.name)] = max(together.get(queue_of(phase.name), 0), phase.together)
        for queue, count in together.items():
            await DBOS.register_queue_async(queue, worker_concurrency=count, polling_interval_sec=self._poll_seconds)
        with self._runs:
            self._is_running = True

    def take_over(self, find_dead: Callable[[Set[str]], Set[str]]) -> int:
        """Put back in line the running phases of executors that are dead; return how many executors that were.

        `find_dead` gets the executors that own running phases. For a thread of its own: it waits for the database.
        """
        with self._runs:
            if not self._is_running:
                return 0
            running = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
            dead = find_dead({phase.executor_id for phase in running if phase.executor_id})
            if dead:
                # private, but conditional on the dead executors' ids; the public way would restart what was cancelled
                DBOS._recover_pending_workflows(sorted(dead))  # noqa: SLF001 -- see above; pinned, and held by a test
            return len(dead)

    async def close(self, seconds: float) -> None:
        """Let running phases end for up to `seconds`; the rest is taken up at the next start, or by another process."""
        await asyncio.to_thread(self._stop_taking_over, seconds)
        await _attempts.close(seconds)
        if self._stillness is not None:
            self._stillness.end_rest()
        await asyncio.to_thread(DBOS.destroy)
        self._client.destroy()
        if self._stillness is not None:
            self._stillness.close()
        # dbos put its own default executor into the loop and has shut it down now.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="after-engine"))

    def _stop_taking_over(self, seconds: float) -> None:
        """Wait for a take-over that runs, but for no outage: dbos would sit it out, and the process could not end."""
        self._is_running = False
        if self._runs.acquire(timeout=seconds):
            self._runs.release()

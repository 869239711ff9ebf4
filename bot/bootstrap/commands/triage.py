"""`triage` and `suspects`: the worker's own stages on a log and a repository, without server, chat or configuration."""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bot.agent.redaction import load_redactor
from bot.bootstrap.command import Command, read_command, read_setup
from bot.bootstrap.commands.triage_desk import TerminalDesk
from bot.bootstrap.commands.triage_metrics import add_metrics, find_metrics
from bot.bootstrap.commands.triage_model import ask_model, find_model
from bot.bootstrap.rules import find_playbooks
from bot.bootstrap.tool_servers import make_shelf
from bot.domain.alert import Alert
from bot.domain.checks.reproduction import Reproduce
from bot.domain.checks.testing import name_files, widen
from bot.domain.ci_logs.log import find_last_green
from bot.domain.evidence import LogLine
from bot.domain.investigation import Job, Stage, StageResult, is_preliminary
from bot.domain.logs.records import has_record
from bot.domain.playbook import Playbook, choose_playbook
from bot.domain.service import LogPlace, Service
from bot.errors import LimitReached, Reason, Refused, Rejected
from bot.ports.logs import LogQuery, LogSource
from bot.ports.workspace import Checkout
from bot.render.report import ModelAnswer, Report, is_mended, list_report, list_suspects, tell_report, tell_suspects
from bot.settings import Settings, load_settings
from bot.worker.investigate import Investigation
from bot.worker.tools import Tools
from connectors.alerts import alertmanager
from connectors.logs import file as file_logs
from connectors.sandboxes.ladder import choose_sandbox
from connectors.sandboxes.toolchain import prepare_toolchain
from connectors.workspaces.git_borrow import BORROWED, BorrowingGit

CHECK: Final = "run"
SUITE: Final = "suite"
MENDED, UNMENDED, UNCONFIRMED = 0, 3, 4
_EVER: Final = (datetime(1970, 1, 2, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC))
_CUT_OFF: Final = "the repository is a shallow clone, so older commits were not looked at: git fetch --unshallow"
_NO_CHECK: Final = (
    "nothing was run: name the check that is red with --run CMD, then the commit that broke it is confirmed"
)
_FORM: Final = (
    'It must be in the form of Alertmanager\'s webhook: {"alerts": [{"status": "firing", "labels": {"alertname": "…"}, '
    '"startsAt": "2026-11-20T14:00:00Z"}]}.'
)
_STAGES: Final = ("collect", "suspect", "confirm", "draft", "verify")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What somebody has in hand. `run` is the check that is red, `suite` what must stay green, `good` a commit that
    was well, `setup` the command that fills a toolchain, `prometheus` a server of metrics, `config` the bot's
    configuration, `model_url` a model's server, `profile` how it works; each may be empty. With `use_model` the model
    that is named drafts where nothing else holds."""

    repository: Path
    logs: tuple[Path, ...]
    alert: Path | None = None
    run: str = ""
    suite: str = ""
    setup: str = ""
    good: str = ""
    prometheus: str = ""
    config: Path | None = None
    model_url: str = ""
    profile: str = ""
    commits: int = 250
    seconds: int = 300
    as_json: bool = False
    use_model: bool = False


class WholeLog:
    """A log file that is read around the alert, and whole where that shows no error: whoever names it means it. Of
    another time than the alert's it has what was written then."""

    def __init__(self, path: Path, began_at: datetime) -> None:
        self._source = file_logs.Source(path.name, str(path))
        self._began_at = began_at
        self.notes: list[str] = []

    @property
    def name(self) -> str:
        return self._source.name

    def read(self, query: LogQuery) -> Iterator[LogLine]:
        lines = list(self._source.read(query))
        if query.since <= self._began_at <= query.until and not has_record(lines):
            whole = list(self._source.read(replace(query, since=_EVER[0], until=_EVER[1])))
            if len(whole) > len(lines):
                what = "lines of any time were" if self._source.notes else "all of it was"
                self.notes.append(f"{self.name}: {what} read, since no error is near the alert")
                lines = whole
        self.notes += self._source.notes
        yield from lines


def run_triage(case: Case) -> int:
    """Print what is to be known of an alert. Returns 0 with a verified patch, 3 with a culprit, 4 with neither."""
    report = asyncio.run(_look_into(case, Stage.VERIFY))
    _print(json.dumps(list_report(report), indent=2) if case.as_json else tell_report(report))
    if not report.is_confirmed:
        return UNCONFIRMED
    return MENDED if report.is_mended else UNMENDED


def run_suspects(case: Case) -> int:
    """Print the ranking. Returns 0, or 4 where no commit could be ranked."""
    report = asyncio.run(_look_into(case, Stage.SUSPECT))
    _print(json.dumps(list_suspects(report), indent=2) if case.as_json else tell_suspects(report))
    return 0 if report.has_suspects else UNCONFIRMED


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


async def _look_into(case: Case, last: Stage) -> Report:
    began = time.monotonic()
    alert = _read_alert(case.alert) if case.alert else None
    commands = _read_commands(case)
    named = load_settings(case.config) if case.config else None
    playbooks = find_playbooks(named or Settings())
    playbook = _choose_playbook(case, alert, playbooks)
    usual = playbook.agent
    model = find_model(named, url=case.model_url, profile=case.profile, usual=usual) if case.use_model else None
    answer: ModelAnswer | None = None
    seconds: dict[str, float] = {}
    results: list[StageResult] = []
    with tempfile.TemporaryDirectory(prefix="nightshift-triage-") as name:
        folder = Path(name)
        workspaces = BorrowingGit()
        checkout = await workspaces.open(str(case.repository), folder / "named")
        notes = [_CUT_OFF] if (folder / "named" / "shallow").is_file() else []
        notes += [_NO_CHECK] if last is Stage.VERIFY and not case.run else []
        green = await _find_green(case, alert, checkout)
        job = _plan_job(case, alert, commands, folder=folder, playbook=playbook, green=green)
        metrics = find_metrics(case.prometheus, named, job.service.name) if last is Stage.VERIFY else None
        job, said = await add_metrics(job, metrics)
        notes += said
        secrets = [*(model.secrets if model else ()), *(metrics.secrets if metrics else ())]
        secrets += named.secrets() if named else ()
        began_at = job.alert_started_at
        tools = await _make_tools(
            case, commands, workspaces=workspaces, checkout=checkout, secrets=secrets, began_at=began_at
        )
        shelf = make_shelf(named, tools.redact) if named and model else None
        try:
            await _take_stages(job, tools, last=last, results=results, seconds=seconds, began=began)
        except LimitReached as error:
            notes.append(f"it was not finished: {error}")
            await _rank_unrun(job, tools, results=results, seconds=seconds, began=began)
        if model and not is_mended(results) and last is Stage.VERIFY:
            left = case.seconds - (time.monotonic() - began)
            desk = TerminalDesk(
                metrics=metrics.source if metrics else None,
                playbooks=playbooks,
                shelf=shelf,
            )
            answer = await ask_model(replace(job, done=tuple(results)), tools, model, seconds=left, desk=desk)
            seconds["model"] = time.monotonic() - began
    return Report(
        title=job.title,
        service=job.service.name,
        repository=str(case.repository),
        began_at=job.alert_started_at,
        results=results,
        seconds={**seconds, "whole": time.monotonic() - began},
        model=answer,
        notes=notes,
    )


async def _take_stages(
    job: Job, tools: Tools, *, last: Stage, results: list[StageResult], seconds: dict[str, float], began: float
) -> None:
    """Add each stage's result, up to the last one, and when it was there. Raises `LimitReached`."""
    async with aclosing(Investigation(tools=tools).investigate(replace(job, done=tuple(results)))) as stages:
        async for result in stages:
            if is_preliminary(result):
                continue
            stage = _STAGES[len(results)]
            results.append(result)
            seconds[stage] = time.monotonic() - began
            if stage == last.value:
                break


async def _rank_unrun(
    job: Job, tools: Tools, *, results: list[StageResult], seconds: dict[str, float], began: float
) -> None:
    """Rank by the log alone where the check took all the time before anything could be ranked by what it says."""
    if len(results) == 1:
        unrun = replace(job, service=replace(job.service, checks={}))
        with suppress(LimitReached):
            await _take_stages(unrun, tools, last=Stage.SUSPECT, results=results, seconds=seconds, began=began)


def _read_alert(file: Path) -> Alert:
    """Return the first alert that fires of a delivery in Alertmanager's form."""
    try:
        group = alertmanager.Source(alertmanager.Settings()).parse(_unwrap(file.read_bytes()))
    except OSError as error:
        raise Rejected(f"{file} cannot be read: {error.strerror}", Reason.NOT_FOUND) from error
    except Refused as error:
        raise Refused(f"{file} cannot be read as an alert: {str(error).rstrip('.')}. {_FORM}", error.reason) from error
    return next((alert for alert in group.alerts if alert.status.value == "firing"), group.alerts[0])


def _unwrap(body: bytes) -> bytes:
    """Return the delivery itself where somebody kept it as the "payload" of a note of their own."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return body
    inner = said.get("payload") if isinstance(said, dict) and "alerts" not in said else None
    return json.dumps(inner).encode() if isinstance(inner, dict) else body


def _read_commands(case: Case) -> Mapping[str, Command]:
    if not case.run:
        return {}
    has_toolchain = bool(case.setup)
    check = read_command(case.run, case.repository, has_toolchain=has_toolchain)
    if case.suite:
        return {CHECK: check, SUITE: read_command(case.suite, case.repository, has_toolchain=has_toolchain)}
    whole = widen(check.argv)
    return {CHECK: check, **({SUITE: replace(check, argv=whole)} if whole else {})}


async def _find_green(case: Case, alert: Alert | None, checkout: Checkout) -> str:
    """Return the whole id of the commit that was well: as asked for, else as the alert names it."""
    if case.good:
        return await checkout.resolve(case.good)
    return find_last_green(alert.labels, alert.annotations) if alert else ""


def _plan_job(
    case: Case,
    alert: Alert | None,
    commands: Mapping[str, Command],
    *,
    folder: Path,
    playbook: Playbook,
    green: str,
) -> Job:
    labels, now = dict(alert.labels) if alert else {}, datetime.now(UTC)
    began_at = alert.starts_at if alert else _read_end(case, now)
    service = Service(
        name=labels.get("service") or case.repository.resolve().name,
        repository=str(case.repository),
        branch=BORROWED,
        logs=tuple(LogPlace(kind="file", path=str(path)) for path in case.logs),
        checks={name: command.argv for name, command in commands.items()},
        setup=read_setup(case.setup),
        env=commands[CHECK].env if commands else {},
    )
    title = (alert.annotations.get("summary") or labels.get("alertname", "")) if alert else ""
    return Job(
        run="triage:1",
        incident="triage",
        service=service,
        playbook=playbook,
        title=title or f"What broke {service.name}",
        source_url=alert.source_url if alert else "",
        alert_started_at=began_at,
        now=max(now, began_at + timedelta(seconds=1)),
        folder=str(folder),
        labels={**labels, "check": CHECK},
        green_sha=green,
        within=float(case.seconds),
    )


def _choose_playbook(case: Case, alert: Alert | None, playbooks: Sequence[Playbook]) -> Playbook:
    """Return the playbook that the bot would choose, with the check that was named in the place of its reproduction."""
    plain = Playbook(name="triage", title="Triage from the terminal", when={})
    chosen = choose_playbook(playbooks, alert.labels if alert else {}) or plain
    has_kind = bool(chosen.when) and not case.run  # else only a check can be run: no service is named here
    return replace(
        chosen,
        evidence=("logs", "changes"),
        history=case.commits,
        seconds=case.seconds,
        evidence_seconds=case.seconds,
        reproduce=chosen.reproduce if has_kind else Reproduce.CHECK,
    )


def _read_end(case: Case, now: datetime) -> datetime:
    """Return when the newest of the logs was last written to: without an alert, that is when it was seen."""
    times = [datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in case.logs if path.is_file()]
    return max(times, default=now)


async def _make_tools(
    case: Case,
    commands: Mapping[str, Command],
    *,
    workspaces: BorrowingGit,
    checkout: Checkout,
    secrets: Sequence[str],
    began_at: datetime,
) -> Tools:
    redactor = load_redactor(secrets, b"terminal")

    async def prepare(service: Service, folder: Path) -> Path | None:
        return await prepare_toolchain(service.setup, folder / "toolchains", service.name)

    def open_log(place: LogPlace) -> LogSource:
        return WholeLog(Path(place.path), began_at)

    each = list(commands.values())
    return Tools(
        log_source=open_log,
        workspaces=workspaces,
        sandbox=await choose_sandbox(),
        redact=redactor.redact,
        redact_lines=redactor.redact_lines,
        prepare_toolchain=prepare,
        readable=tuple(dict.fromkeys(folder for command in each for folder in command.readable)),
        laid_over=await _find_unstored(case, commands, checkout),
        files={name: content for command in each for name, content in command.files.items()},
    )


async def _find_unstored(case: Case, commands: Mapping[str, Command], checkout: Checkout) -> dict[str, bytes]:
    """Return what the check names in the work tree and the head does not hold like that: a test not yet committed."""
    head = await checkout.resolve(BORROWED)
    found: dict[str, bytes] = {}
    for name in name_files(commands[CHECK].argv) if commands else ():
        place = case.repository / name
        try:
            content = await asyncio.to_thread(place.read_bytes)
        except OSError:
            continue
        if await checkout.read(head, name) != content:
            found[name] = content
    return found

"""The playbook for what no other answers: when it is taken, and what of a log it lets run."""

from datetime import timedelta
from pathlib import Path

import pytest

from bot.bootstrap.rules import load_playbooks, load_rules
from bot.domain.checks.reproduction import Reproduce
from bot.domain.evidence import Check, CheckRun, ErrorRecord, Frame, LogLine, Suspect
from bot.domain.incident import RunState
from bot.domain.investigation import Collected, Confirmed, Job
from bot.domain.playbook import Playbook, choose_playbook
from bot.domain.service import Service
from bot.engine.compose import Composer
from bot.render.links import Links
from bot.settings import load_settings
from bot.worker.collect import _sort_out
from bot.worker.revert import choose_target
from bot.worker.seek import seek
from tests.worldkit import NOW, alert, group, make_rules, make_world, quiet  # noqa: F401 -- `quiet` is a fixture

GENERAL = Playbook(name="general", title="G", when={}, otherwise=True, is_shipped=True, reproduce=Reproduce.LOG)
SERVICE = Service(
    name="checkout", repository="/r.git", run=("serve", "{port}"), checks={"style": ("s",), "tests": ("t",)}
)


def make_job(*done) -> Job:
    return Job(
        run="INC-1:1", incident="INC-1", service=SERVICE, playbook=GENERAL, title="T", alert_started_at=NOW,
        now=NOW + timedelta(seconds=1), folder="/n", done=done,
    )  # fmt: skip


def make_collected(*kinds: str, reproduce: Reproduce = Reproduce.LOG) -> Collected:
    frames = (Frame(path="shop/cart.py", line=3, function="total"),)
    records = tuple(ErrorRecord(headline=kind, kind=kind, frames=frames, lines=()) for kind in kinds)
    return Collected(records=records, requests=(), evidence=(), lines_read=9, reproduce=reproduce)


class FakeBench:
    """Gives each trial the output it was told; a red one has some."""

    fault = ""
    service = SERVICE

    def __init__(self, **outputs: str) -> None:
        self._told = outputs
        self.outputs: dict[tuple[str, str], str] = {}
        self.asked: list[str] = []

    async def run(self, trial, at) -> CheckRun:
        self.asked.append(trial.name)
        output = self._told.get(trial.name, "")
        verdict = Check.RED if output else Check.GREEN
        return CheckRun(name=trial.name, at=at, verdict=verdict, seconds=0.1, output=output)


class TestChoice:
    def test_people_s_own_go_first_also_where_as_many_labels_match(self):
        shipped = Playbook(name="a", title="A", when={"alertname": ".*"}, is_shipped=True)
        own = Playbook(name="b", title="B", when={"alertname": ".*"})
        assert choose_playbook([GENERAL, shipped, own], {"alertname": "X"}) is own
        assert choose_playbook([GENERAL, shipped], {"alertname": "X"}) is shipped
        mine = Playbook(name="z", title="Z", when={}, otherwise=True)
        assert choose_playbook([GENERAL, mine], {}) is mine
        assert choose_playbook([GENERAL, mine, shipped], {"alertname": "X"}) is shipped

    def test_it_can_be_switched_off_and_people_s_own_stays(self, tmp_path):
        head = '+++\nname = "{0}"\ntitle = "T"\notherwise = true\n+++\n'
        (tmp_path / "last.md").write_text(head.format("last"))
        on, off = names(tmp_path, is_on=True), names(tmp_path, is_on=False)
        assert on - off == {"general"}
        assert "last" in off
        (tmp_path / "general.md").write_text(head.format("general"))
        assert "general" in names(tmp_path, is_on=False)

    def test_the_status_says_which_playbook_it_is(self, tmp_path):
        world = make_world(tmp_path, make_rules(playbooks=load_playbooks(())))
        world.receive(group(alert("DiskFull")))
        assert world.incident().run_state is RunState.QUEUED
        message = Composer(world.store, world.rules, Links()).compose(world.promised("status")[-1], "web")
        assert "playbook: general, as no other answers this alert" in str(message)


def names(folder: Path, *, is_on: bool) -> set[str]:
    file = folder / "nightshift.toml"
    file.write_text(f'playbook_dirs = ["{folder}"]\ngeneral_playbook = {"true" if is_on else "false"}\n')
    return {playbook.name for playbook in load_rules(load_settings(file)).playbooks}


class TestWhatTheLogShows:
    @pytest.mark.parametrize(
        ("lines", "kind"),
        [
            (('"POST /pay HTTP/1.1" 500 12',), Reproduce.REQUEST),
            (("checkout.service: Main process exited, code=exited, status=1/FAILURE",), Reproduce.START),
            (("Traceback (most recent call last):", '  File "a.py", line 2, in run', "KeyError: 5"), Reproduce.LOG),
        ],
    )
    def test_the_log_says_what_is_run(self, lines, kind):
        log = [LogLine(source="app.log", number=number, text=text) for number, text in enumerate(lines, 1)]
        collected = _sort_out(make_job(), log, [], "between then and now")
        assert collected.reproduce is kind
        assert make_job(collected).reproduce is kind

    async def test_a_check_that_fails_with_the_error_of_the_log_counts_and_no_other(self):
        bench = FakeBench(style="too long", tests="KeyError: 900")
        found = await seek(bench, (), "f" * 40, job=make_job(make_collected("KeyError")))
        assert found.trial is not None
        assert found.trial.check == "tests"
        bench = FakeBench(style="too long", reproduction="KeyError: 900")
        found = await seek(bench, (), "f" * 40, job=make_job(make_collected("KeyError")))
        assert found.trial is not None
        assert found.trial.kind is Reproduce.START
        found = await seek(FakeBench(style="too long"), (), "f" * 40, job=make_job(make_collected("KeyError")))
        assert found.trial is None
        assert "error of the log (KeyError); the check style fails with another" in found.why

    async def test_where_the_log_shows_nothing_to_run_nothing_is_run_and_nothing_drafted(self):
        bench = FakeBench(tests="KeyError: 900")
        job = make_job(make_collected())
        found = await seek(bench, (), "f" * 40, job=job)
        assert (found.trial, bench.asked) == (None, [])
        confirmed = Confirmed(culprit=None, request=None, runs=(), how=found.why, reproduce=job.reproduce)
        suspect = Suspect(commit="c" * 40, subject="S", author="A", committed_at=NOW, score=99.0, reasons=("newest",))
        assert choose_target(confirmed, [suspect], [], kind=job.reproduce).commit == ""
        assert choose_target(confirmed, [suspect], [], kind=Reproduce.REQUEST).commit == suspect.commit

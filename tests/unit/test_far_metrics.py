"""Metrics on their way: which are asked for, how they are fetched, what the worker makes of them, and who sees it."""

import importlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from bot.bootstrap.doctor.outside import check_metrics
from bot.bootstrap.metric_source import open_metrics
from bot.bootstrap.platforms import make_platforms
from bot.domain.chat import ChatLimits, File, Message
from bot.domain.conclusion import conclude
from bot.domain.evidence import ErrorRecord, LogLine
from bot.domain.investigation import Collected, Job
from bot.domain.metrics.metric import MAX_QUERIES, MetricQuery, MetricRead, Over, Series, Threshold, Turn
from bot.domain.playbook import parse_playbook
from bot.domain.service import Service
from bot.engine import far_metrics
from bot.engine.far_metrics import fetch_metrics
from bot.errors import ConfigError, Reason, Refused, Rejected, Unavailable
from bot.ports.metrics import MetricAnswer, MetricQuestion
from bot.render.plot_svg import write_plots
from bot.render.progress import render_findings, render_status
from bot.settings import load_settings
from bot.settings_sections import SECRET_NAME
from bot.store.codec import dump_stage, load_stage
from bot.worker.collect import collect
from bot.worker.messages import ORDERS, Investigate, OrderFrame
from bot.worker.metrics import add_metrics
from bot.worker.tools import Tools
from tests.unit.test_playbook import make_incident
from tests.worldkit import NOW, PLAYBOOK, quiet  # noqa: F401 -- `quiet` is a fixture

RULE = "http://prometheus.evil.example/graph?g0.expr=errors%7Bjob%3D%22shop%22%7D+%3E+0.02&g0.tab=1"
LATENCY = MetricQuery(name="latency", title="Latency", expr='latency{service="$service"}', unit="seconds")
POD = MetricQuery(name="pod", title="Memory", expr='memory{pod="$pod"}')
TOOLS = Tools(
    log_source=None, workspaces=None, sandbox=None, prepare_toolchain=None,
    redact=lambda text: text.replace("hunter2", "[redacted]"),
    redact_lines=lambda lines: [text.replace("hunter2", "[redacted]") for text in lines],
)  # fmt: skip
NOTHING = Collected(records=(), requests=(), evidence=(), lines_read=0)


def make_job(*metrics: MetricQuery, **more: object) -> Job:
    given = {
        "run": "INC-1:1", "incident": "INC-1", "service": Service(name="shop", repository="/shop", metrics=metrics),
        "playbook": PLAYBOOK, "title": "T", "alert_started_at": NOW - timedelta(minutes=5), "now": NOW, "folder": "/n",
        "labels": {"alertname": "ShopErrors", "job": "shop"}, "source_url": RULE,
    }  # fmt: skip
    return Job(**{**given, **more})


class Server:
    """A metric server in memory. `answer` makes what is answered, or raises."""

    name = "memory"

    def __init__(self, answer: Callable[[MetricQuestion], MetricAnswer] | None = None) -> None:
        self.asked: list[MetricQuestion] = []
        self._answer = answer or (lambda question: MetricAnswer(series=(jump(question),)))

    def read(self, question: MetricQuestion) -> MetricAnswer:
        self.asked.append(question)
        return self._answer(question)

    def check(self) -> str:
        return "it answers"


def jump(question: MetricQuestion, **labels: str) -> Series:
    """Return a series that jumps from 0.1 % to 14 % two minutes before the alert."""
    turn = (NOW - timedelta(minutes=7)).timestamp()
    count = int((question.until - question.since).total_seconds() / question.step)
    times = [question.until.timestamp() - n * question.step for n in reversed(range(count))]
    return Series(labels=labels, points=tuple((at, 0.14 if at >= turn else 0.001) for at in times))


def hand_over(job: Job) -> Job:
    order = ORDERS.validate_json(ORDERS.dump_json(OrderFrame(order=Investigate(call=1, job=job)))).order
    assert isinstance(order, Investigate)
    return order.job


async def look(job: Job, server: Server) -> Collected:
    fetched = hand_over(replace(job, metrics=await fetch_metrics(job, server)))
    return add_metrics(fetched, NOTHING, TOOLS)


class TestAsking:
    async def test_the_rule_and_the_named_queries_are_asked_over_the_time_that_logs_are_read(self):
        server = Server()
        reads = await fetch_metrics(make_job(LATENCY), server)
        assert sorted(each.expr for each in server.asked) == ['errors{job="shop"}', 'latency{service="shop"}']
        assert [read.query.name for read in reads] == ["rule", "latency"]
        assert reads[0].query.threshold == Threshold(over=Over.ABOVE, value=0.02)
        job = make_job()
        assert {each.since for each in server.asked} == {job.log_span[0]}
        assert {each.until for each in server.asked} == {NOW}, "what lies ahead has no values"

    async def test_the_rule_under_a_name_of_yours_is_asked_once_with_its_threshold(self):
        server, named = Server(), replace(LATENCY, expr='errors{job="$job"}')
        (read,) = await fetch_metrics(make_job(named), server)
        assert len(server.asked) == 1
        assert (read.query.title, read.query.unit) == ("Latency", "seconds")
        assert read.query.threshold == Threshold(over=Over.ABOVE, value=0.02)

    async def test_a_label_that_the_alert_lacks_costs_its_query_alone(self):
        server = Server()
        collected = await look(make_job(POD, LATENCY, source_url=""), server)
        assert len(server.asked) == 1
        assert [metric.query.name for metric in collected.metrics] == ["latency"]
        assert collected.notes == ("the metric “Memory” could not be read: the alert has no label pod",)

    async def test_a_playbook_s_queries_come_after_and_no_more_than_eight_are_asked(self):
        metrics = [replace(LATENCY, name=f"q{n}", expr=f"q{n}") for n in range(6)]
        playbook = replace(PLAYBOOK, metrics=(*(replace(LATENCY, expr=f"p{n}") for n in range(4)), metrics[0]))
        server = Server()
        reads = await fetch_metrics(make_job(*metrics, playbook=playbook), server)
        assert len(server.asked) == MAX_QUERIES
        assert [read.fault for read in reads if read.fault] == ["only 8 queries are asked"] * 3
        assert {each.max_bytes for each in server.asked} == {far_metrics.MAX_BYTES // MAX_QUERIES}

    @pytest.mark.parametrize(
        "job",
        [
            make_job(LATENCY, playbook=replace(PLAYBOOK, evidence=("logs", "changes"))),
            make_job(LATENCY, done=(NOTHING,)),
            make_job(source_url=""),
        ],
    )
    async def test_nobody_is_asked_where_there_is_nothing_to_ask_for(self, job):
        server = Server(lambda _: pytest.fail("asked"))
        assert await fetch_metrics(job, server) == ()
        assert await fetch_metrics(make_job(LATENCY), None) == ()

    async def test_values_that_began_lately_are_looked_at_again_and_closer(self):
        born = (NOW - timedelta(seconds=20)).timestamp()

        def answer(question: MetricQuestion) -> MetricAnswer:
            points = tuple(point for point in jump(question).points if point[0] >= born)
            return MetricAnswer(series=(Series(points=points),))

        server = Server(answer)
        (read,) = await fetch_metrics(make_job(), server)
        assert [each.step for each in server.asked] == [15.0, 1.0]
        assert (read.step, len(read.series[0].points)) == (1.0, 21)
        assert read.since == NOW - timedelta(seconds=22), "most of the empty time before is left out"

    async def test_a_closer_look_that_fails_costs_nothing(self):
        def answer(question: MetricQuestion) -> MetricAnswer:
            if question.step < 15:
                raise Unavailable("gone", Reason.UNREACHABLE)
            return MetricAnswer(series=(Series(points=((question.until.timestamp(), 1.0),)),))

        (read,) = await fetch_metrics(make_job(), Server(answer))
        assert (read.fault, read.step) == ("", 15.0)

    async def test_of_a_rule_that_names_too_much_only_what_fires_is_asked(self):
        def answer(question: MetricQuestion) -> MetricAnswer:
            if ">" not in question.expr:
                raise Rejected("without end", Reason.TOO_LARGE)
            return MetricAnswer(series=(jump(question),))

        (read,) = await fetch_metrics(make_job(), Server(answer))
        assert (read.query.expr, read.fault) == ('errors{job="shop"} > 0.02', "")

    async def test_one_that_is_refused_is_a_note_and_the_others_count(self):
        def answer(question: MetricQuestion) -> MetricAnswer:
            if question.expr.startswith("errors"):
                raise Rejected("Prometheus at p:9090 refuses hunter2 (400), asked for errors", Reason.BAD_INPUT)
            return MetricAnswer(series=(jump(question),))

        collected = await look(make_job(LATENCY), Server(answer))
        assert [metric.query.name for metric in collected.metrics] == ["latency"]
        (note,) = collected.notes
        assert note.startswith("the metric “ShopErrors (its rule)” could not be read: Prometheus at p:9090 refuses")
        assert "hunter2" not in note

    async def test_a_slow_one_is_not_waited_for_and_all_are_asked_at_once(self, monkeypatch):
        monkeypatch.setattr(far_metrics, "SECONDS", 0.05)
        monkeypatch.setattr(far_metrics, "SLACK", 0.05)
        free = threading.Event()
        server = Server(lambda _: free.wait(5) and MetricAnswer())
        began = time.monotonic()
        reads = await fetch_metrics(make_job(*(replace(LATENCY, expr=f"q{n}") for n in range(7))), server)
        assert time.monotonic() - began < 2
        free.set()
        assert {read.fault.partition(",")[0] for read in reads} == {"no answer within 0.05 s"}
        assert len(server.asked) == far_metrics.TOGETHER

    def test_the_whole_of_it_takes_ten_seconds_at_most(self):
        assert far_metrics.SECONDS + far_metrics.SLACK <= 10


class TestTelling:
    async def test_a_metric_is_evidence_a_finding_and_what_a_plot_needs(self):
        collected = await look(make_job(), Server())
        (metric,), (piece,) = collected.metrics, collected.evidence
        assert (piece.id, piece.kind, piece.cite) == ("E1", "metric", "metric rule")
        first, *_, last = piece.text.splitlines()
        assert first.startswith("ShopErrors (its rule) crossed its threshold (> 0.02) at ")
        assert "2 min before the alert: 0.001 before, 0.14 at its peak" in first
        assert 'asked for errors{job="shop"} > 0.02' in piece.text
        assert "▁▁▁" in last
        assert "first 0.001, peak 0.14 at" in last
        (finding, _) = conclude((collected,))[0]
        assert (finding.claim, finding.confidence, finding.evidence) == (metric.claim, "confirmed", ("E1",))
        assert finding.refuted_by
        assert collected.began_at == metric.turned_at

    async def test_errors_in_the_logs_are_told_first_and_say_themselves_when_it_began(self):
        line = LogLine(source="app.log", number=3, text="KeyError", at=NOW)
        record = ErrorRecord(headline="KeyError", kind="KeyError", frames=(), lines=(line,), first_at=NOW)
        job = make_job()
        read = replace(job, metrics=await fetch_metrics(job, Server()))
        collected = add_metrics(read, replace(NOTHING, records=(record,), lines_read=1), TOOLS)
        assert collected.began_at is None
        assert [finding.claim.split()[0] for finding in conclude((collected,))[0]] == ["KeyError,", "ShopErrors"]

    async def test_what_stayed_as_it_was_is_evidence_on_which_nothing_rests(self):
        flat = Server(lambda question: MetricAnswer(series=(Series(points=((question.until.timestamp(), 0.01),)),)))
        collected = await look(make_job(), flat)
        assert collected.metrics[0].turn is Turn.STAYED
        assert all("E1" not in finding.evidence for finding in conclude((collected,))[0])
        assert collected.began_at is None

    async def test_no_data_says_which_query_and_range(self):
        collected = await look(make_job(), Server(lambda _: MetricAnswer()))
        (note,) = collected.notes
        assert note == (
            "the metric “ShopErrors (its rule)” has no value between 02:37:05 and 03:12:05 UTC, "
            'asked for errors{job="shop"}'
        )

    async def test_at_most_six_series_are_kept_the_alert_s_own_first(self):
        def answer(question: MetricQuestion) -> MetricAnswer:
            return MetricAnswer(
                series=tuple(jump(question, job=job) for job in (*"abcdefgh", "shop")), notes=("partial",)
            )

        collected = await look(make_job(), Server(answer))
        (metric,) = collected.metrics
        assert (len(metric.series), metric.left_out, metric.series[0].labels["job"]) == (6, 3, "shop")
        assert 'this is job="shop", the first of 9 series' in collected.evidence[0].text
        assert "partial" in collected.evidence[0].text

    async def test_no_secret_and_no_hidden_character_gets_through(self):
        def answer(question: MetricQuestion) -> MetricAnswer:
            labels = {"hunter2": "hunter2\u202e\x1b[31m", "a": "x" * 500}
            return MetricAnswer(series=(jump(question, **labels),), notes=("hunter2 said so",))

        query = MetricQuery(name="hunter2", title="hunter2\u202e", expr="hunter2")
        collected = await look(make_job(query, source_url=""), Server(answer))
        (file,) = write_plots(collected.metrics, ())
        for text in (str(collected), file.text, file.name):
            assert "hunter2" not in text
            assert "\u202e" not in text
            assert "\x1b" not in text
        assert len(collected.metrics[0].series[0].labels["a"]) <= 80

    async def test_it_is_stored_and_read_again_as_it_was(self):
        collected = await look(make_job(LATENCY), Server())
        stage, body = dump_stage(collected)
        assert load_stage(stage.value, body) == collected
        body.pop("metrics")
        assert load_stage(stage.value, body).metrics == ()

    async def test_the_messages_say_it_in_words_and_in_a_line_of_bars(self):
        collected = await look(make_job(), Server())
        incident = make_incident()
        status = render_status(incident, [collected], running=None, failed=None, now=NOW)
        assert "✓ ShopErrors (its rule) crossed its threshold" in str(status.blocks)
        found = render_findings(incident, *conclude((collected,)))
        assert found.headline.startswith("ShopErrors (its rule) crossed its threshold")
        assert "E1 metric rule: ▁▁▁" in str(found.blocks)

    def test_the_collecting_stage_tells_them(self):
        read = MetricRead(query=LATENCY, since=NOW, until=NOW, step=1.0, fault="it is down")
        collected = collect(make_job(playbook=replace(PLAYBOOK, evidence=("metrics",)), metrics=(read,)), TOOLS)
        assert collected.notes == ("the metric “Latency” could not be read: it is down",)


class TestWhoSeesPictures:
    PLAIN = ChatLimits(
        text=4000, buttons=10, can_edit=True, can_thread=True, can_answer_privately=True, has_forms=True, files=True
    )

    def test_a_platform_that_shows_none_keeps_the_other_files(self):
        picture = File(name="a.svg", media_type="image/svg+xml", text="<svg/>")
        book = File(name="a.md", media_type="text/markdown", text="x")
        message = Message(incident="INC-1", slot="findings", headline="H", files=(picture, book))
        assert self.PLAIN.fit(message).files == (book,)
        assert replace(self.PLAIN, shows_svg=True).fit(message) is message
        without = replace(message, files=(book,))
        assert self.PLAIN.fit(without) is without


CONFIG = """
[services.shop]
repository = "/shop"
{service}
{more}
"""
NAMED = (
    'metrics.errors = {query = \'rate(e{service="$service"}[5m])\', title = "Errors", unit = "ratio", threshold = 1}'
)


def settings_of(folder, service: str = NAMED, more: str = '[connections.prometheus]\nurl = "http://p:9090"'):
    file = folder / "nightshift.toml"
    file.write_text(CONFIG.format(service=service, more=more))
    return load_settings(file)


class TestConfiguration:
    def test_queries_are_named_and_the_connection_is_no_ci(self, tmp_path, monkeypatch):
        monkeypatch.setenv("NIGHTSHIFT_PROMETHEUS_TOKEN", "s3cr3t-prometheus")
        settings = settings_of(tmp_path)
        (query,) = settings.service_map()["shop"].metrics
        assert query == MetricQuery(
            name="errors", title="Errors", expr='rate(e{service="$service"}[5m])', unit="ratio",
            threshold=Threshold(over=Over.ABOVE, value=1.0),
        )  # fmt: skip
        assert open_metrics(settings).name == "prometheus"
        assert "s3cr3t-prometheus" in settings.secrets()
        assert set(make_platforms(settings).ci) == {"local"}

    def test_a_query_alone_makes_the_connection_needed_and_a_variable_is_enough(self, tmp_path, monkeypatch):
        with pytest.raises(ConfigError, match=r"connections\.prometheus\.url"):
            open_metrics(settings_of(tmp_path, more=""))
        monkeypatch.setenv("NIGHTSHIFT_PROMETHEUS_URL", "http://p:9090")
        assert open_metrics(settings_of(tmp_path, more="")) is not None

    def test_without_either_there_is_none(self, tmp_path):
        assert open_metrics(settings_of(tmp_path, service="", more="")) is None

    def test_the_redactor_knows_every_secret_by_its_name(self):
        for field, info in importlib.import_module("connectors.metrics.prometheus").Settings.model_fields.items():
            assert bool(SECRET_NAME.search(field)) is (SecretStr.__name__ in str(info.annotation)), field

    @pytest.mark.parametrize(
        ("metrics", "says"),
        [
            ('metrics.errors = { query = "" }', "is empty"),
            ('metrics.errors = { query = "sum(" }', "brackets"),
            ("metrics.errors = { query = 'x[$__interval]' }", r"\$label outside"),
            ('metrics.errors = { title = "x" }', "is missing"),
            ('metrics.errors = { query = "x", unit = "seventeen letters" }', "unit of at most 16"),
            ('metrics.errors = { query = "x", below = true }', "has none"),
            ('metrics.errors = { query = "x", threshold = inf }', "finite number"),
            ('metrics."a/b" = { query = "x" }', "is no name"),
            ('metrics.errors = { query = "x", extra = 1 }', "is not a setting"),
            ("\n".join(f'metrics.q{n} = {{ query = "x{n}" }}' for n in range(9)), "at most 8"),
        ],
    )
    def test_a_query_that_cannot_be_asked_is_refused_at_the_start(self, tmp_path, metrics, says):
        with pytest.raises(ConfigError, match=says):
            settings_of(tmp_path, service=metrics)

    async def test_the_doctor_says_what_is_there(self, tmp_path):
        (found,) = await check_metrics(settings_of(tmp_path, service="", more=""))
        assert (found.is_ok, found.text) == (True, "no server is configured; alerts are not plotted")
        gone = settings_of(tmp_path, more='[connections.prometheus]\nurl = "http://127.0.0.1:9"')
        (found,) = await check_metrics(gone)
        assert not found.is_ok
        assert found.text.startswith("Prometheus at 127.0.0.1:9 cannot be reached")


HEAD = '+++\nname = "a"\ntitle = "b"\nwhen = {alertname = "x"}\n%s\n+++\ntext\n'


class TestPlaybooks:
    def test_a_playbook_names_queries(self):
        playbook = parse_playbook(
            HEAD % 'metrics = [{title = "Pods", query = \'up{pod=~"$pod-.*"}\', threshold = 5, below = true}]'
        )
        (query,) = playbook.metrics
        assert (query.name, query.title, query.expr) == ("a-1", "Pods", 'up{pod=~"$pod-.*"}')
        assert query.threshold == Threshold(over=Over.BELOW, value=5.0)
        assert "metrics" in playbook.evidence

    @pytest.mark.parametrize(
        ("metrics", "says"),
        [
            ("1", "list of tables"),
            ('["up"]', "list of tables"),
            ('[{query = "up"}]', "query 1 needs a title"),
            ('[{title = "a"}]', "query 1 has a query that is empty"),
            ('[{title = "a", query = 1}]', "wrong kind of query"),
            ('[{title = "a", query = "up", threshold = true}]', "wrong kind of threshold"),
            ('[{title = "a", query = "up", threshold = nan}]', "threshold that is a number"),
            ('[{title = "a", query = "up", below = 1}]', "wrong kind of below"),
            ('[{title = "a", query = "up", host = "evil"}]', "knows no 'host'"),
            ("[{title = \"a\", query = '$pod'}]", "outside of the quotes"),
            (f'[{", ".join(9 * [chr(123) + chr(125)])}]', "at most 8"),
        ],
    )  # fmt: skip
    def test_a_head_with_a_query_that_cannot_be_asked_is_refused_at_its_line(self, metrics, says):
        with pytest.raises(Refused, match=f"line 5: metrics.*{says}"):
            parse_playbook(HEAD % f"metrics = {metrics}")

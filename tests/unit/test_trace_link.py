"""The links to traces: where they lead, and which trace an error names."""

from dataclasses import replace

import pytest

from bot.domain.chat import Link, Message
from bot.domain.evidence import ErrorRecord, Evidence, LogLine
from bot.domain.investigation import Collected
from bot.domain.service import Service
from bot.domain.traces.links import find_trace, link_trace, link_traces
from bot.engine.compose import Composer
from bot.errors import ConfigError
from bot.ports.work import Effect, EffectState
from bot.render.links import Links
from bot.settings import load_settings
from tests.worldkit import NOW, World, make_rules, make_world

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
WINDOW = "https://tempo.example/explore?service={service}&from={from_ms}&to={to_ms}"
ONE = "https://tempo.example/trace/{trace_id}"
SERVICE = Service(name="check out&x", repository="r", traces=WINDOW, trace=ONE)


def record(text: str) -> ErrorRecord:
    lines = (LogLine(source="app.log", number=7, text=text),)
    return ErrorRecord(headline="KeyError: 'a'", kind="KeyError", frames=(), lines=lines)


@pytest.mark.parametrize(
    "text",
    [
        f'{{"level": "error", "trace_id": "{TRACE}", "span_id": "00f067aa0ba902b7"}}',
        f"level=error traceID={TRACE} msg=no",
        f"ERROR [trace.id={TRACE.upper()}] no",
        f"traceparent: 00-{TRACE}-00f067aa0ba902b7-01",
        f"dd.trace_id={TRACE} dd.span_id=1",
        f"trace id: {TRACE}",
    ],
)
def test_a_trace_is_found_in_the_forms_that_logs_write_it(text):
    assert find_trace([record("nothing"), record(text), record(f"trace_id={'0' * 32}")]) == TRACE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Traceback (most recent call last):",
        f"retrace_id={TRACE}",
        f"trace_id={TRACE}0",
        "trace_id=4bf92f35",
        f"trace_id=javascript:{TRACE}",
        f"trace_id=../../{TRACE}",
        f"span_id={TRACE}",
    ],
)
def test_nothing_else_is_taken_for_a_trace(text):
    assert not find_trace([record(text)])


def test_a_long_hostile_line_is_searched_at_once():
    assert not find_trace([record("trace_id " * 20_000 + "trace" * 20_000)])


def test_places_are_filled_in_and_quoted():
    assert link_traces(SERVICE, NOW).startswith("https://tempo.example/explore?service=check%20out%26x&from=")
    start, end = (int(part.split("=")[1]) for part in link_traces(SERVICE, NOW).split("&")[1:])
    assert (start + end) / 2 == NOW.timestamp() // 1 * 1000
    assert end - start == 60 * 60 * 1000
    assert link_trace(SERVICE, NOW, TRACE) == f"https://tempo.example/trace/{TRACE}"


def show(world: World, what: str) -> Message:
    payload = {"what": what, "incident": "INC-1", "arg": ""}
    effect = Effect(key="k", target="chat:web", seq=1, state=EffectState.INTENDED, payload=payload)
    message = Composer(world.store, world.rules, Links()).compose(effect, "web")
    assert message is not None
    return message


def links(message: Message) -> dict[str, str]:
    return {block.label: block.url for block in message.blocks if isinstance(block, Link)}


@pytest.fixture
def world(tmp_path) -> World:
    world = make_world(tmp_path, opened=True)
    checkout = replace(make_rules().services["checkout"], traces=WINDOW, trace=ONE)
    world.rules = make_rules(services={"checkout": checkout})
    found = record(f"KeyError trace_id={TRACE}")
    with world.unit() as work:
        seen = Evidence(id="E1", kind="error", cite="app.log:7", text="KeyError: 'a'")
        work.investigations.add(
            work.incidents.get("INC-1").run,
            Collected(records=(found,), requests=(), evidence=(seen,), lines_read=1),
        )
    return world


def test_the_card_links_to_the_traces_of_its_time_and_the_findings_to_the_error_s_own(world):
    assert links(show(world, "card"))["Traces"].startswith("https://tempo.example/explore?service=checkout&from=")
    assert links(show(world, "findings"))[f"Trace {TRACE[:8]}"] == f"https://tempo.example/trace/{TRACE}"


def test_without_an_address_there_is_no_link(world):
    world.rules = make_rules()
    assert "Traces" not in links(show(world, "card"))
    assert not links(show(world, "findings"))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('traces = "https://t.example/{whom}"', "{whom} is not known here: from, from_ms"),
        ('traces = "https://t.example/{trace_id}"', "{trace_id} is not known here"),
        ('trace = "https://t.example/"', "{trace_id} must stand in it"),
        ('trace = "javascript:alert({trace_id})"', "write a whole address"),
    ],
)
def test_an_address_that_could_never_work_is_named_with_what_to_do(tmp_path, line, what):
    path = tmp_path / "nightshift.toml"
    path.write_text(f'[services.shop]\nrepository = "/srv/shop.git"\n{line}\n')
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    (problem,) = caught.value.problems
    assert problem.where == f"services.shop.{line.split()[0]}"
    assert what in problem.what

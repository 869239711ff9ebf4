"""Playbook files nobody meant well: each is refused with its line, at once, and in few words."""

import time

import pytest

from bot.domain.checks.reproduction import Reproduce
from bot.domain.playbook import Playbook, parse_playbook
from bot.errors import Refused
from bot.render.playbook import MAX_TEXT, check_text, render_text
from tests.unit.test_playbook import make_incident

HEAD = 'name = "a"\ntitle = "b"\nwhen = {alertname = "x"}\n'


def file(more: str, head: str = HEAD) -> str:
    return f"+++\n{head}{more}\n+++\ntext\n"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('reproduce = "shell"', "one of request, start, slow, check"),
        ("reproduce = true", "one of request, start, slow, check"),
        ('reproduce = ["start"]', "one of request, start, slow, check"),
        ("start_seconds = 0", "whole number from 1 to 600"),
        ("start_seconds = 1e3", "whole number from 1 to 600"),
        ("start_seconds = 99999999999999999999", "whole number from 1 to 600"),
        ("tries = -5", "whole number from 2 to 50"),
        ("tries = true", "whole number from 2 to 50"),
        ("slow_floor_ms = 0", "whole number from 1 to 60000"),
        ("slow_factor = nan", "a number from 1.2 to 100"),
        ("slow_factor = inf", "a number from 1.2 to 100"),
        ("slow_factor = 1.0", "a number from 1.2 to 100"),
        ('slow_factor = "3"', "a number from 1.2 to 100"),
        ("stay_up_seconds = -0.1", "a number from 0 to 60"),
        ("stay_up_seconds = false", "a number from 0 to 60"),
        ("slow_factor = 3", "belongs to slow"),
        ("stay_up_seconds = 3", "belongs to start"),
        ("tries = 3", "belongs to slow or check"),
        ("command = 'rm -rf /'", "unknown key 'command'"),
        ("__class__ = 1", "unknown key '__class__'"),
    ],
)
def test_a_value_that_means_harm_or_nothing_is_refused_at_its_line(more, words):
    with pytest.raises(Refused) as caught:
        parse_playbook(file(more))
    assert str(caught.value).startswith("playbook line 5:")
    assert words in str(caught.value)


def test_a_key_of_another_kind_is_refused():
    with pytest.raises(Refused, match=r'line 6: start_seconds means nothing with reproduce = "check"'):
        parse_playbook(file('reproduce = "check"\nstart_seconds = 5'))


@pytest.mark.parametrize(
    "text",
    [
        file("deep = " + "[" * 5_000),
        file("deep = " + "{a=" * 5_000),
        file("look_back = " + "9" * 5_000),
        file("look_back = 2026-99-99"),
        file('name = "again"'),
        file("[when]\nalertname = 'y'"),
        file("when.alertname = 'y'"),
        file("x" * 60_000 + " = 1"),
        file("", head='name = "a"\ntitle = "b"\n[when]\n"' + "l" * 60_000 + '" = "x"\n'),
        file("", head='name = "../../etc/passwd"\ntitle = "b"\nwhen = {a = "x"}\n'),
        file("", head='name = "a"\ntitle = "b"\nwhen = {a = "' + "(a+)+" * 100 + '"}\n'),
        file("", head='name = "a"\ntitle = "b"\nwhen = {a = "(a*)*\\\\1"}\n'),
        file("", head='name = "a"\ntitle = "b"\nwhen = {a = "x{1001}"}\n'),
        file("", head='name = "a"\ntitle = "\\u0000"\nwhen = {a = {b = "x"}}\n'),
        "+++\n" * 2,
        "+++\n\0\n+++\n",
        "+++" + "\u2028" * 10 + "name",
        "+++\n" + "#" * 70_000,
        "\ufeff\ufeff+++\n+++\n",
        "",
    ],
    ids=range(20),
)
def test_a_file_that_cannot_be_a_playbook_is_refused_at_once_and_in_few_words(text):
    began = time.thread_time()
    with pytest.raises(Refused) as caught:
        parse_playbook(text)
    assert time.thread_time() - began < 1
    assert "playbook line " in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "text",
    [
        "{{ cycler.__init__.__globals__ }}",
        "{{ incident.labels.__class__ }}",
        "{{ lipsum.__globals__['os'].popen('id').read() }}",
        "{% for a in range(10**9) %}x{% endfor %}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os }}",
        "{{ incident.title.format_map(incident) }}{{ incident.nobody }}",
    ],
)
def test_a_text_reaches_nothing_and_ends(text):
    playbook = Playbook(name="a", title="b", when={}, text=text)
    began = time.process_time()
    with pytest.raises(Refused, match="cannot be rendered"):
        render_text(playbook, make_incident())
    assert time.process_time() - began < 1


def test_a_text_that_grows_is_cut():
    playbook = Playbook(name="a", title="b", when={}, text="{% for a in range(99999) %}xxxxxxxx{% endfor %}")
    assert len(render_text(playbook, make_incident())) <= MAX_TEXT


def test_a_text_with_an_unclosed_block_is_refused_before_anybody_needs_it():
    with pytest.raises(Refused, match="line 1"):
        check_text(Playbook(name="a", title="b", when={}, text="{% for a in b %}"))


def test_the_kinds_read_what_is_theirs():
    slow = parse_playbook(file('reproduce = "slow"\nslow_factor = 3\nslow_floor_ms = 100\ntries = 7'))
    assert (slow.reproduce, slow.slow_factor, slow.slow_floor_ms, slow.tries) == (Reproduce.SLOW, 3.0, 100, 7)
    start = parse_playbook(file('reproduce = "start"\nstart_seconds = 5\nstay_up_seconds = 0.5'))
    assert (start.reproduce, start.start_seconds, start.stay_up_seconds) == (Reproduce.START, 5, 0.5)
    assert parse_playbook(file("")).reproduce is Reproduce.REQUEST

"""PromQL: a label's value stays a value whatever it holds, and a rule is cut where it compares."""

import ast
import re
import time

import pytest
import re2

from bot.domain.metrics.metric import Over, Threshold
from bot.domain.metrics.promql import MAX_QUERY, fault_of_query, fill_query, find_rule, split_rule
from bot.errors import Refused

HOSTILE = (
    'a"} or vector(1) #',
    "a'} or vector(1) #",
    "`",
    "\\",
    '\\"',
    "a\nb",
    "a\r\u2028b",
    ".*",
    "a|b",
    "^$",
    "[a-z]+",
    "(?i)x",
    "{{ $labels.x }}",
    "$service",
    "${service}",
    "\x00",
    "\u202eevil\u200b",
    "日本 🚒",
    "\ud800",
    "x" * 1_000,
    "\\u0022",
    "} or up{",
)
"""Values of an alert's labels."""
STRING = re.compile(r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""")


def unquote(text: str) -> str:
    """Read a text as Go does; Python's rules are the same for the escapes that may be there."""
    assert set(re.findall(r"\\(.)", re.sub(r"\\\\", "", text))) <= set("\"'uU")
    return ast.literal_eval(text)


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_value_stays_inside_its_quotes_and_is_itself_alone(value, quote):
    query = f"up{{a={quote}$v{quote}, b=~{quote}^(x|${{v}})${quote}}} > 1"
    filled = fill_query(query, {"v": value, "service": "other"})
    literal, regex = STRING.findall(filled)
    assert STRING.sub("_", filled) == "up{a=_, b=~_} > 1"
    meant = value.replace("\ud800", "\ufffd")
    assert unquote(literal) == meant
    pattern = re2.compile(unquote(regex).encode())
    assert pattern.fullmatch(meant.encode())
    assert not pattern.fullmatch(b"anything else")
    assert filled.isprintable()


def test_what_the_alert_lacks_or_is_too_long_is_refused():
    for labels in ({}, {"pod": ""}, {"pod": "x" * 1_001}):
        with pytest.raises(Refused, match="label pod"):
            fill_query('up{pod="$pod"}', labels)


def test_a_query_without_labels_goes_as_it_is():
    query = 'label_replace(up{a=~"x$"}, "b", "$1", "a", "(.*)") # "$not"\n'
    assert fill_query(query, {}) == query


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ('sum(rate(x{a="$b",c=~"5..|$d"}[5m])) by (e)', ""),
        (' x{a=~"b$"} ', ""),
        ("", "is empty"),
        ("  \n", "is empty"),
        ("x" * (MAX_QUERY + 1), "is longer than"),
        ('x{a="b}', "never closed"),
        ("x{a=`b}", "never closed"),
        ("sum(x", "brackets"),
        ("sum(x]", "brackets"),
        ("x)", "brackets"),
        ("x[$__rate_interval]", "outside of the quotes"),
        ('x{$a="b"}', "outside of the quotes"),
        ("x{a=`$b`}", "outside of the quotes"),
        ('label_replace(x, "a", "$b", "c", "(.*)")', "outside of the quotes"),
    ],
)
def test_a_query_that_cannot_be_asked_is_known_at_the_start(query, fault):
    assert fault in fault_of_query(query)
    assert bool(fault) is bool(fault_of_query(query))


@pytest.mark.parametrize(
    ("rule", "plotted", "threshold"),
    [
        ('a{b="c"} > 0.02', 'a{b="c"}', (Over.ABOVE, 0.02)),
        ("sum by (x) (rate(a[5m])) / b >= 1e3", "sum by (x) (rate(a[5m])) / b", (Over.FROM, 1000.0)),
        ("(a > (1)) and on (x) b < 3", "a", (Over.ABOVE, 1.0)),
        ("a / b > 0.9 unless c", "a / b", (Over.ABOVE, 0.9)),
        ("0.5 < a", "a", (Over.ABOVE, 0.5)),
        ("5 >= a", "a", (Over.DOWN_TO, 5.0)),
        ("up == 0", "up", (Over.EQUAL, 0.0)),
        ("a != bool -1", "a", (Over.OTHER, -1.0)),
        ("a > on (x) group_left b", "a", None),
        ("a > 1024 * 1024", "a", None),
        ('a{b=~"x > 1"}', 'a{b=~"x > 1"}', None),
        ("a > 1 or b > 2", "a > 1 or b > 2", None),
        ("1 < a < 5", "1 < a < 5", None),
        ("absent(up > 1)", "absent(up > 1)", None),
        ('"open > 1', '"open > 1', None),
        ("> 1", "> 1", None),
        ("a >", "a >", None),
        ("((a)", "((a)", None),
        ("", "", None),
    ],
)
def test_of_a_rule_the_side_is_plotted_that_has_values_while_nothing_fires(rule, plotted, threshold):
    expected = Threshold(over=threshold[0], value=threshold[1]) if threshold else None
    assert split_rule(rule) == (plotted, expected)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://prometheus:9090/graph?g0.expr=a%7Bb%3D%22c%22%7D+%3E+1&g0.tab=1", 'a{b="c"} > 1'),
        ("https://evil.example/?g0.expr=up", "up"),
        ("?g0.expr=a%0Ab", "a\nb"),
        ("?g0.expr=a%00b", ""),
        ("?g0.expr=a%1Bb", ""),
        ("https://grafana.example/alerting/grafana/x/view", ""),
        ("http://[::1/?g0.expr=up", ""),
        ("http://p/?" + "&".join("a=1" for _ in range(100)) + "&g0.expr=up", ""),
        ("http://p/?g0.expr=" + "a" * 40_000, ""),
        ("", ""),
    ],
)
def test_only_the_expression_of_an_alert_s_address_counts(url, rule):
    assert find_rule(url) == rule


@pytest.mark.parametrize(
    "text",
    [
        "(" * 4_000,
        '"' * 4_000,
        "a>" * 2_000,
        "\\" * 4_000,
        "and " * 1_000,
        f"{'(' * 2_000}a{')' * 2_000}",
        "$a" * 2_000,
    ],
)
def test_hostile_rules_are_read_at_once(text):
    began = time.perf_counter()
    split_rule(text)
    fault_of_query(text)
    assert time.perf_counter() - began < 0.5

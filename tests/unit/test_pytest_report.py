"""Failures as pytest prints them become records with frames."""

from bot.domain.evidence import LogLine
from bot.domain.logs.records import find_records

LONG = """
=================================== FAILURES ===================================
____________________________ TestPrices.test_total _____________________________

self = <tests.test_prices.TestPrices object at 0x7f10>

    def test_total(self):
>       assert total(1) == 2

tests/test_prices.py:12:
_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _

key = 1

    def total(key):
>       return rates[key]
E       KeyError: 1

shop/prices.py:4: KeyError
------------------------------ Captured log call -------------------------------
ERROR    shop:prices.py:3 not of this stack
=========================== short test summary info ============================
FAILED tests/test_prices.py::TestPrices::test_total - KeyError: 1
========================= 1 failed, 2 passed in 0.03s ==========================
"""

SHORT = """
__________________________________ test_name ___________________________________
tests/test_name.py:8: in test_name
    assert full("a") == "A B"
E   AssertionError: assert 'A' == 'A B'
E     - A B
E     + A
____________________________ ERROR collecting test_b.py ____________________________
tests/test_b.py:1: in <module>
    from shop import gone
E   ImportError: cannot import name 'gone' from 'shop' (/w/shop/__init__.py)
"""


def read(text):
    return find_records([LogLine(source="log", number=n, text=line) for n, line in enumerate(text.splitlines(), 1)])


def test_long_report_gives_the_stack_from_the_test_to_the_line_that_raised():
    (record,) = read(LONG)
    assert record.kind == "KeyError"
    assert record.headline == "KeyError: 1"
    places = [(frame.path, frame.line, frame.function, frame.code) for frame in record.frames]
    assert places == [
        ("tests/test_prices.py", 12, "test_total", "assert total(1) == 2"),
        ("shop/prices.py", 4, "total", "return rates[key]"),
    ]


def test_short_report_gives_each_failure_with_what_it_said():
    broken, wrong = sorted(read(SHORT), key=lambda record: record.kind, reverse=True)
    assert (broken.kind, broken.frames[-1].code) == ("ImportError", "from shop import gone")
    assert wrong.headline == "AssertionError: assert 'A' == 'A B'\n- A B\n+ A"
    assert (wrong.frames[-1].path, wrong.frames[-1].line) == ("tests/test_name.py", 8)


def test_summary_alone_still_names_the_test():
    (record,) = read("FAILED tests/test_a.py::test_rate[eu] - ValueError: no rate\n1 failed in 0.1s\n")
    assert (record.kind, record.headline) == ("ValueError", "ValueError: no rate")
    assert (record.frames[0].path, record.frames[0].line, record.frames[0].function) == (
        "tests/test_a.py",
        0,
        "test_rate",
    )


def test_rules_of_underscores_that_are_no_report_are_no_error():
    assert read("________ hello ________\nnothing here\n______ bye ______\n") == ()

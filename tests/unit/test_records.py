import json
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.evidence import ErrorRecord, LogLine
from bot.domain.logs import records
from bot.domain.logs.records import MAX_RECORDS, find_records, has_record, parse_time

PYTHON = """\
2026-11-20 13:42:31,000 INFO app: ready
2026-11-20 13:42:32,123 ERROR app: Exception on /checkout [POST]
Traceback (most recent call last):
  File "/app/web.py", line 12, in handle
    return view(request)
           ^^^^^^^^^^^^^
  File "/app/shop/price.py", line 40, in total
    rate = RATES[currency]
KeyError: 'XAF'
2026-11-20 13:42:33,123 INFO app: next"""

CAUSED = """\
Traceback (most recent call last):
  File "low.py", line 1, in load
    raw
KeyError: 'k'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "high.py", line 2, in start
    load()
app.errors.ConfigError: bad"""

HANDLED = CAUSED.replace(
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)

NODE = """\
TypeError: Cannot read properties of undefined (reading 'x')
    at total (/app/price.js:10:5)
    at async Object.<anonymous> (file:///app/web.js:3:1)
    at /app/main.js:9:1
    at process.next (node:internal/task_queues:95:5) {
  code: 'X'
}"""

JAVA = """\
2026-11-20 13:42:32.100 ERROR [main] c.e.App - failed
java.lang.RuntimeException: outer
\tat shop.App.run(App.java:12)
\tat java.base/shop.App.main(App.java:5)
Caused by: java.lang.NullPointerException: inner
\tat shop.Price.total(Price.java:40)
\t... 2 more
2026-11-20 13:42:33.100 INFO ok"""

DOTNET = """\
System.IOException: outer
 ---> System.NullReferenceException: inner
   at Shop.Price.Total(String c) in /src/Price.cs:line 40
   --- End of inner exception stack trace ---
   at Shop.Web.Do() in /src/Web.cs:line 3"""

GO = """\
2026/11/20 13:42:32 http: panic serving 127.0.0.1:5: runtime error: index out of range [5] with length 3
goroutine 5 [running]:
net/http.(*conn).serve.func1()
\t/usr/local/go/src/net/http/server.go:1850 +0xbf
panic({0x1, 0x2})
\t/usr/local/go/src/runtime/panic.go:890 +0x262
main.total(...)
\t/app/price.go:12
main.handle({0x1, 0x2}, 0x3)
\t/app/web.go:30 +0x1d

goroutine 6 [select]:
main.other()
\t/app/other.go:1 +0x1"""

RUBY = """\
/app/price.rb:12:in `total': undefined method `+' for nil (NoMethodError)
\tfrom /app/web.rb:3:in `call'
\tfrom /app/main.rb:1:in `<main>'"""

RAILS = """\
F, [2026-11-20T13:42:32.1 #1] FATAL -- :
NoMethodError (undefined method `foo' for nil):

app/models/price.rb:12:in `total'
app/controllers/web.rb:3:in `create'"""

PHP = """\
[20-Nov-2026 13:42:32 UTC] PHP Fatal error:  Uncaught TypeError: bad argument in /app/price.php:12
Stack trace:
#0 /app/web.php(34): total(NULL)
#1 /app/index.php(3): App\\Web->run()
#2 {main}
  thrown in /app/price.php on line 12"""

RUST = """\
thread 'main' panicked at src/price.rs:10:5:
index out of bounds: the len is 3 but the index is 5
stack backtrace:
   0: rust_begin_unwind
             at /rustc/abc/library/std/src/panicking.rs:645:5
   1: app::total
             at ./src/price.rs:10:5
   2: app::main
             at ./src/main.rs:4:5"""

ALL = (PYTHON, CAUSED, NODE, JAVA, DOTNET, GO, RUBY, RAILS, PHP, RUST)


def lines_of(text: str, source: str = "app.log") -> list[LogLine]:
    return [
        LogLine(source=source, number=number, text=line, at=parse_time(line))
        for number, line in enumerate(text.split("\n"), start=1)
    ]


def only(lines: Sequence[LogLine]) -> ErrorRecord:
    records = find_records(lines)
    assert len(records) == 1, records
    return records[0]


@pytest.mark.parametrize(
    ("text", "kind", "innermost", "outermost"),
    [
        (PYTHON, "KeyError", ("/app/shop/price.py", 40, "total"), ("/app/web.py", 12, "handle")),
        (CAUSED, "app.errors.ConfigError", ("low.py", 1, "load"), ("high.py", 2, "start")),
        (HANDLED, "app.errors.ConfigError", ("high.py", 2, "start"), ("low.py", 1, "load")),
        (NODE, "TypeError", ("/app/price.js", 10, "total"), ("node:internal/task_queues", 95, "process.next")),
        (JAVA, "java.lang.RuntimeException", ("Price.java", 40, "shop.Price.total"), ("App.java", 5, "shop.App.main")),
        (DOTNET, "System.IOException", ("/src/Price.cs", 40, "Shop.Price.Total"), ("/src/Web.cs", 3, "Shop.Web.Do")),
        (GO, "runtime error", ("/app/price.go", 12, "main.total"), ("/app/web.go", 30, "main.handle")),
        (RUBY, "NoMethodError", ("/app/price.rb", 12, "total"), ("/app/main.rb", 1, "<main>")),
        (RAILS, "NoMethodError", ("app/models/price.rb", 12, "total"), ("app/controllers/web.rb", 3, "create")),
        (PHP, "TypeError", ("/app/price.php", 12, ""), ("/app/index.php", 3, "App\\Web->run")),
        (RUST, "panic", ("./src/price.rs", 10, "app::total"), ("./src/main.rs", 4, "app::main")),
    ],
    ids=["python", "python-cause", "python-handling", "node", "java", "dotnet", "go", "ruby", "rails", "php", "rust"],
)  # fmt: skip
def test_a_trace_is_one_record_with_its_innermost_frame_last(
    text: str, kind: str, innermost: tuple[str, int, str], outermost: tuple[str, int, str]
) -> None:
    record = only(lines_of(text))
    assert record.kind == kind
    last, first = record.frames[-1], record.frames[0]
    assert (last.path, last.line, last.function) == innermost
    assert (first.path, first.line, first.function) == outermost


@pytest.mark.parametrize("key", ["exc_info", "msg"])
def test_an_error_line_before_a_json_line_with_a_trace_is_an_error_of_its_own(key: str) -> None:
    told = json.dumps({"level": "error", key: PYTHON})
    for before in ('level=error msg="cart 0 failed"', "ERROR cart 0 failed"):
        with_frames, plain = find_records(lines_of(f"{before}\n{told}\n"))
        assert [frame.line for frame in with_frames.frames]
        assert plain.headline == "cart 0 failed"


def test_a_line_with_a_folded_trace_is_not_announced_by_the_error_before_it() -> None:
    folded = 'level=error stack="' + PYTHON.replace("\n", r"\n").replace('"', r"\"") + '"'
    assert len(find_records(lines_of(f"ERROR cart 0 failed\n{folded}\n"))) == 2


def test_the_line_that_announces_a_trace_belongs_to_its_record() -> None:
    record = only(lines_of(PYTHON))
    assert record.cite == "app.log:2"
    assert len(record.lines) == 8
    assert record.headline == "KeyError: 'XAF'"
    assert record.frames[-1].code == "rate = RATES[currency]"
    assert record.first_at == parse_time("2026-11-20 13:42:32,123")


@pytest.mark.parametrize(
    "prefix",
    [
        "web-1  | ",
        "2026-11-20T13:42:32.123456789Z ",
        "2026-11-20T13:42:32.12Z stderr F ",
        "Nov 20 13:42:32 host app[17]: ",
    ],
)
@pytest.mark.parametrize("text", [CAUSED, JAVA, GO, NODE, RUBY, PHP, RUST])
def test_prefixes_of_containers_and_syslog_do_not_hide_a_trace(prefix: str, text: str) -> None:
    plain = find_records(lines_of(text))
    prefixed = find_records(lines_of("\n".join(prefix + line for line in text.split("\n"))))
    assert [record.frames for record in prefixed] == [record.frames for record in plain]


@pytest.mark.parametrize("field", ["exc_info", "traceback", "stack", "exception", "message"])
def test_a_trace_inside_a_field_of_a_json_line_is_found(field: str) -> None:
    line = json.dumps({"time": "2026-11-20T13:42:32Z", "level": "error", field: CAUSED})
    record = only(lines_of(line))
    assert (record.kind, record.frames[-1].path) == ("app.errors.ConfigError", "low.py")


def test_frames_listed_as_json_are_read() -> None:
    frames = [{"filename": "a.py", "lineno": 1, "name": "f"}, {"filename": "b.py", "lineno": 2, "name": "g"}]
    line = json.dumps(
        {
            "event": "boom",
            "level": "error",
            "exception": [{"exc_type": "ValueError", "exc_value": "x", "frames": frames}],
        }
    )
    record = only(lines_of(line))
    assert (record.headline, record.frames[-1].path, record.frames[-1].line) == ("ValueError: x", "b.py", 2)


def test_a_trace_with_written_out_line_ends_is_found() -> None:
    line = 'level=error msg="failed" stack="' + CAUSED.replace('"', r"\"").replace("\n", r"\n") + '"'
    assert only(lines_of(line)).frames[-1].path == "low.py"


def test_identical_traces_are_counted_with_first_and_last_time() -> None:
    later = PYTHON.replace("13:42", "14:50")
    record = only(lines_of("\n".join([PYTHON, later, PYTHON.replace("13:42", "13:59")])))
    assert record.count == 3
    assert record.first_at == parse_time("2026-11-20 13:42:32,123")
    assert record.last_at == parse_time("2026-11-20 14:50:32,123")
    assert record.cite == "app.log:2"


def test_traces_come_before_plain_errors_and_frequent_ones_first() -> None:
    other = PYTHON.replace("price.py", "stock.py")
    plain = "\n".join(f"2026-11-20 13:42:3{n},000 ERROR db: no answer after {n} ms" for n in range(9))
    records = find_records(lines_of(f"{plain}\n{other}\n{PYTHON}\n{PYTHON}"))
    assert [(record.count, bool(record.frames)) for record in records] == [(2, True), (1, True), (9, False)]


@pytest.mark.parametrize(
    ("line", "kind", "headline"),
    [
        ("2026-11-20 13:42:32,123 CRITICAL worker: disk full", "CRITICAL", "worker: disk full"),
        ("2026-11-20T13:42:32Z [error] upstream timed out", "ERROR", "upstream timed out"),
        ('level=error ts=2026-11-20T13:42:32Z msg="no route"', "ERROR", "no route"),
        ('{"level":50,"msg":"no route"}', "ERROR", "no route"),
        ('{"severity":"CRITICAL","message":"x","error":{"type":"IOError"}}', "IOError", "x"),
        ("ERROR psycopg.OperationalError: gone", "psycopg.OperationalError", "psycopg.OperationalError: gone"),
        ("E1120 13:42:32.123000 7 x.go:1] gone", "ERROR", "gone"),
    ],
)
def test_error_lines_without_a_trace_are_records(line: str, kind: str, headline: str) -> None:
    record = only(lines_of(line))
    assert (record.kind, record.frames) == (kind, ())
    assert headline in record.headline


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-20 13:42:32 INFO no ERRORS found",
        "INFO handled 0 errors",
        '{"level":"info","msg":"error budget left"}',
        "level=info msg=error_rate=0",
        "GET /error 200",
        "INFO retries after ValueError: x",
    ],
)
def test_lines_that_only_speak_of_errors_are_not_records(line: str) -> None:
    assert find_records(lines_of(line)) == ()


def test_a_message_of_several_lines_belongs_to_its_trace() -> None:
    text = PYTHON.replace("KeyError: 'XAF'", "ValidationError: 1 error\nprice\n  must be positive")
    record = only(lines_of(text))
    assert record.lines[-1].text == "  must be positive"


def test_lines_of_two_sources_are_never_joined() -> None:
    first, second = PYTHON.split("\n")[:4], PYTHON.split("\n")[4:9]
    records = find_records([*lines_of("\n".join(first), "a"), *lines_of("\n".join(second), "b")])
    assert [len(record.frames) for record in records] == [1]


@pytest.mark.parametrize(
    "text",
    [
        "x" * 5_000_000,
        "ERROR " + "a." * 1_000_000 + "Error",
        "{" + '"a":{' * 100_000 + "}" * 100_001,
        '{"level":"error","stack":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"level":"error","stack":"' + r"at \n" * 50_000 + '"}',
        "Traceback (most recent call last):\n" + '  File "x", line 1, in f\n' * 5_000,
        "ValueError\n" + " at " * 200_000,
        "\x00\x1b[31mERROR\x07\n" * 1_000,
        "panic: x\ngoroutine 1 [running]:\n" + "f(\n\tx:1\n" * 5_000,
        "Error\n" + "    at (((((((((((((((((((((((((((((((((((\n" * 2_000,
        "#0 " * 100_000,
        '{"level":"error","msg":' + "9" * 10_000 + "}",
    ],
)
def test_hostile_lines_cost_little(text: str) -> None:
    began = time.process_time()
    records = find_records(LogLine(source="a", number=n, text=line) for n, line in enumerate(text.split("\n")))
    assert len(records) <= MAX_RECORDS
    assert all(len(record.headline) <= 1_000 and len(record.lines) <= 200 for record in records)
    assert time.process_time() - began < 5


def test_the_number_of_records_is_bounded() -> None:
    words = [f"{chr(97 + a)}{chr(97 + b)}{chr(97 + c)}" for a in range(26) for b in range(26) for c in range(26)]
    assert len(find_records(lines_of("\n".join(f"ERROR failed in {word}" for word in words)))) == MAX_RECORDS


@given(st.lists(st.sampled_from([line for text in ALL for line in text.split("\n")])))
def test_any_mixture_of_trace_lines_is_survived_and_counted_once(texts: list[str]) -> None:
    lines = [LogLine(source="a", number=n, text=text, at=parse_time(text)) for n, text in enumerate(texts)]
    records = find_records(lines)
    cites = [line.cite for record in records for line in record.lines]
    assert len(cites) == len(set(cites))


PIECES = [
    "ERROR",
    "error",
    "Err",
    "[crit]",
    "level=",
    'severity="',
    "alert",
    "FATAL",
    "SEVERE",
    "PANIC",
    "EMERG",
    "E0412 12:",
    "F0412 12:",
    "I0412 12:",
    "info",
    " ",
    "[",
    "]",
    "|",
    "(",
    ".",
    ",",
    "=",
    "x",
    "é",
    "\n",
]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_no_level_of_errors_is_passed_over_by_looking_for_its_letters_first(text):
    assert str(records._find_level(text)) == str(records._LEVEL.search(text[: records._LEVEL_REACH]))


@given(st.lists(st.sampled_from([PYTHON, CAUSED, HANDLED, "all is well", "ERROR but for this"]), max_size=4))
def test_whether_there_is_an_error_is_what_looking_for_all_of_them_finds(texts):
    lines = [LogLine(source="a", number=number, text=text) for number, text in enumerate("\n".join(texts).split("\n"))]
    assert has_record(lines) == bool(find_records(lines))

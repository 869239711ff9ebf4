import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.evidence import FailingRequest, LogLine
from bot.domain.logs.records import find_records, parse_time
from bot.domain.logs.requests import MAX_REQUESTS, find_failing_requests


def lines_of(text: str, source: str = "app.log") -> list[LogLine]:
    return [
        LogLine(source=source, number=number, text=line, at=parse_time(line))
        for number, line in enumerate(text.split("\n"), start=1)
    ]


def failing(text: str) -> tuple[FailingRequest, ...]:
    lines = lines_of(text)
    return find_failing_requests(lines, find_records(lines))


def only(text: str) -> FailingRequest:
    found = failing(text)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(
    "line",
    [
        '{"method":"POST","path":"/checkout","status":500,"body":{"a": 1}}',
        '{"method":"post","url":"https://shop.example/checkout","status":"500","request_body":"{\\"a\\": 1}"}',
        '{"req":{"method":"POST","url":"/checkout","body":{"a":1}},"res":{"statusCode":500}}',
        '{"http":{"method":"POST","target":"/checkout","status_code":500},"payload":{"a":1}}',
        '{"request":{"method":"POST","path":"/checkout","body":{"a":1}},"response":{"status":500,"body":"no"}}',
        '{"level":"error","message":"POST /checkout 500","body":{"a":1}}',
        '2026-11-20 13:42:32 INFO {"method":"POST","path":"/checkout","status":500,"body":{"a":1}}',
        'level=error method=POST path=/checkout status=500 body="{\\"a\\": 1}"',
        'level=error status=500 method=POST target="/checkout" request_body="{\\"a\\":1}"',
        'POST /checkout {"a": 1} -> 500',
        'POST /checkout 500 12ms body={"a": 1}',
        '"POST /checkout HTTP/1.1" 500 145 payload: {"a": 1}',
        "POST /checkout responded 500 payload={'a': 1}",
        '| 500 | 1.2ms | 127.0.0.1 | POST "/checkout" body={"a":1}',
    ],
)
def test_one_line_that_tells_everything(line: str) -> None:
    found = only(line)
    assert (found.method, found.target, found.status) == ("POST", "/checkout", 500)
    assert json.loads(found.body) == {"a": 1}
    assert found.headers["content-type"] == "application/json"
    assert found.cite == "app.log:1"


def test_combined_access_logs_keep_the_query() -> None:
    line = '1.2.3.4 - bob [20/Nov/2026:13:42:32 +0000] "GET /items/12?x=1 HTTP/1.1" 502 145 "-" "curl/8"'
    found = only(line)
    assert (found.method, found.target, found.status, found.body) == ("GET", "/items/12?x=1", 502, "")


DEMO = """\
2026-11-20T13:42:31.001Z INFO checkout.access 127.0.0.1 "GET /healthz HTTP/1.1" 200 43 1.2ms request=aaaaaaaaaaaa
2026-11-20T13:42:32.001Z ERROR checkout.app request 0123456789ab failed: POST /orders body={"cart": [1], "code": null}
Traceback (most recent call last):
  File "/app/checkout/app.py", line 30, in answer
    return router.dispatch(request)
TypeError: unsupported
2026-11-20T13:42:32.002Z INFO checkout.access 127.0.0.1 "GET /healthz HTTP/1.1" 200 43 1.2ms request=bbbbbbbbbbbb
2026-11-20T13:42:32.003Z INFO checkout.access 127.0.0.1 "POST /orders HTTP/1.1" 500 43 500.2ms request=0123456789ab"""


def test_lines_are_joined_by_request_id() -> None:
    found = only(DEMO)
    assert (found.method, found.target, found.status) == ("POST", "/orders", 500)
    assert json.loads(found.body) == {"cart": [1], "code": None}
    assert found.cite == "app.log:8"


INTERLEAVED = """\
req_id=aaaa1 start POST /a
req_id=bbbb1 start POST /b body={"q": 2}
req_id=aaaa1 request body: {"q": 1}
req_id=bbbb1 status=200 done
req_id=aaaa1 status=503 done"""


def test_an_error_record_stands_in_for_a_missing_status() -> None:
    found = only("\n".join(DEMO.split("\n")[:6]))
    assert (found.target, found.status, found.cite) == ("/orders", 500, "app.log:2")


@pytest.mark.parametrize(
    "text",
    [
        INTERLEAVED,
        'Started POST "/a" for 127.0.0.1\n  Parameters: {"q"=>1}\nCompleted 503 Service Unavailable in 5ms',
        'POST /a received\nrequest body: {"q": 1}\nPOST /a 503 in 5ms',
        'request body: {"q": 1}\nPOST /a 503 in 5ms',
        'POST /a 503 in 5ms\nrequest body: {"q": 1}',
        'POST /b 200 1ms\n2026-11-20 13:42:32 request payload: {"q": 1}\n2026-11-20 13:42:32 POST /a 503 in 5ms',
    ],
)
def test_a_body_in_another_line_is_joined(text: str) -> None:
    found = only(text)
    assert (found.target, found.status) == ("/a", 503)
    assert json.loads(found.body) == {"q": 1}


def test_a_body_far_away_is_not_joined() -> None:
    text = "\n".join(["POST /a 503", *["idle"] * 20, 'request body: {"q": 1}'])
    assert only(text).body == ""


def test_the_body_of_an_answer_is_not_the_body_of_the_request() -> None:
    assert only('POST /a 503 response body: {"error": 1}').body == ""
    assert only('{"method":"POST","path":"/a","status":503,"response":{"body":{"error":1}}}').body == ""


def test_numbers_in_a_body_are_no_status() -> None:
    assert failing('POST /a {"amount": 500, "x": 502} 201') == ()


@pytest.mark.parametrize(
    "line",
    ["took 500 ms for GET /a", "GET /a took 500ms", "GET /a 200 500", "served /a 500", "status=500", "POST to 500"],
)
def test_what_shows_no_failing_request_gives_none(line: str) -> None:
    assert failing(line) == ()


SHAPES = """\
2026-11-20 13:42:01 POST /carts/1 500 body={"n": 1}
2026-11-20 13:42:02 POST /carts/2 500 body={"n": 2}
2026-11-20 13:42:03 POST /carts/3 500 body={"n": null}
2026-11-20 13:42:04 GET /items/77 500
2026-11-20 13:42:05 GET /items/78 500
2026-11-20 13:42:06 POST /pay 500"""


def test_shapes_come_once_newest_first_and_complete_ones_before_those_without_a_body() -> None:
    found = failing(SHAPES)
    assert [(request.target, request.body) for request in found] == [
        ("/items/78", ""),
        ("/carts/3", '{"n": null}'),
        ("/carts/2", '{"n": 2}'),
        ("/pay", ""),
    ]


def test_headers_of_a_person_or_a_connection_are_left_out() -> None:
    headers = {
        "Authorization": "Bearer x",
        "Cookie": "a=b",
        "Host": "h",
        "Content-Length": "5",
        "X-Bad": "a\r\nInjected: 1",
        "X-Key": "[redacted:generic:0a1b2c]",
        "bad name": "x",
        "Accept": "application/json",
        "X-Number": 5,
    }
    line = json.dumps({"method": "GET", "path": "/a", "status": 500, "headers": headers})
    assert only(line).headers == {"Accept": "application/json"}


@pytest.mark.parametrize(
    "target", ["/a b", "a/b", "/a\x07b", "/a\u202eb", "javascript:x", "/" + "a" * 5_000, "http://[bad", ""]
)
def test_targets_that_cannot_be_sent_are_left_out(target: str) -> None:
    assert failing(json.dumps({"method": "GET", "path": target, "status": 500})) == ()


def test_a_form_body_gets_its_content_type() -> None:
    found = only("POST /login 500 body=user=anna&lang=de")
    assert found.body == "user=anna&lang=de"
    assert found.headers == {"content-type": "application/x-www-form-urlencoded"}


def test_at_most_ten_are_returned() -> None:
    text = "\n".join(f"GET /{name} 500" for name in "abcdefghijklmnop")
    assert len(failing(text)) == MAX_REQUESTS


@pytest.mark.parametrize(
    "text",
    [
        "POST /a 500 " + "x" * 5_000_000,
        "POST /a 500 body=" + "{" * 200_000,
        'POST /a 500 body={"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "POST /a 500 body=" + "{'a':" * 30 + "1" + "}" * 30,
        "POST /a 500 body='" + "\\" * 100_000,
        "body=" * 200_000,
        "POST /" * 200_000,
        '{"method":"POST","path":"/a","status":500,"body":' + "[" * 50_000 + "]" * 50_000 + "}",
        '{"method":"POST","path":"/a","status":500,"headers":{' + ",".join(f'"h{n}":"v"' for n in range(5_000)) + "}}",
        'k="' * 100_000 + " POST /a 500",
        "\n".join(f"request_id=id{n:06} POST /a{n} body={{}}" for n in range(20_000)),
        "\n".join(["POST /a started"] * 20_000 + ["Completed 500 x"] * 2_000),
    ],
)
def test_hostile_lines_cost_little(text: str) -> None:
    began = time.process_time()
    found = failing(text)
    assert len(found) <= MAX_REQUESTS
    assert all(len(request.target) <= 4_096 and len(request.body) <= 65_536 for request in found)
    assert time.process_time() - began < 5


@given(st.dictionaries(st.text(max_size=20), st.none() | st.integers() | st.text(max_size=30), min_size=1, max_size=5))
def test_a_json_body_survives_every_way_of_writing_it(body: dict[str, object]) -> None:
    written = json.dumps(body)
    for line in (
        json.dumps({"method": "POST", "path": "/a", "status": 500, "body": body}),
        json.dumps({"method": "POST", "path": "/a", "status": 500, "body": written}),
        f"POST /a 500 body={written}",
        f"POST /a 500 payload: {body!r}",
        "method=POST path=/a status=500 body=" + json.dumps(written),
    ):
        assert json.loads(only(line).body) == body


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_survived(before: str, after: str) -> None:
    for text in (
        f"{before} POST /a 500 body={after}",
        f'{{"method":"POST","path":"{before}","status":500,"body":"{after}"}}',
    ):
        for request in failing(text.replace("\n", " ")):
            assert request.target.startswith("/")

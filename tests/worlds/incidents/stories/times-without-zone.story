+++
kind = "time zone"
language = "Python"
run = ["python", "serve.py", "tables.routes", "{port}"]
checks = {tests = ["python", "-m", "unittest", "-q"]}
usual = [{method = "POST", target = "/bookings", body = '{"start": "2031-05-01T19:00+02:00", "guests": 4}'}]
failing = [{method = "POST", target = "/bookings", body = '{"start": "2031-05-01T19:00", "guests": 2}'}]

[alert]
alertname = "HighErrorRate"
summary = "tables answers 22 % of requests with 500"
+++
%% commit Ada: Book a table
%% shell python
%% file tables/__init__.py
%% file tables/times.py
"""When guests come."""

from datetime import UTC, datetime


def parse_start(text):
    when = datetime.fromisoformat(text)
    return when.astimezone(UTC).replace(tzinfo=None) if when.tzinfo else when


def is_future(start):
    return start > datetime.now(UTC).replace(tzinfo=None)
%% file tables/routes.py
"""What the service answers."""

from tables.times import is_future, parse_start


def book(wish):
    start = parse_start(wish["start"])
    return {"booked": is_future(start) and wish["guests"] <= 8}


ROUTES = {("POST", "/bookings"): book}
%% file tests/__init__.py
%% file tests/test_times.py
import unittest

from tables.times import is_future, parse_start


class TimesTest(unittest.TestCase):
    def test_a_table_is_booked_for_later(self):
        self.assertTrue(is_future(parse_start("2031-05-01T19:00+02:00")))
        self.assertFalse(is_future(parse_start("2001-05-01T19:00+02:00")))
%% commit Cy: Say what the service is
%% file README.md
# Tables

Books tables.
%% culprit Bo: Keep the zone of what guests ask for
%% file tables/times.py
"""When guests come, in the zone that they think in."""

from datetime import UTC, datetime


def parse_start(text):
    return datetime.fromisoformat(text)


def is_future(start):
    return start > datetime.now(UTC)
%% edit tests/test_times.py
class TimesTest(unittest.TestCase):
%% to
class TimesTest(unittest.TestCase):
    def test_a_time_keeps_its_zone(self):
        self.assertEqual(parse_start("2031-05-01T19:00+02:00"), parse_start("2031-05-01T17:00+00:00"))

%% commit Ada: Take nine guests
%% edit tables/routes.py
    return {"booked": is_future(start) and wish["guests"] <= 8}
%% to
    return {"booked": is_future(start) and wish["guests"] <= 9}

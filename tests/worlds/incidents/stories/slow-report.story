+++
kind = "quadratic loop"
language = "Python"
run = ["python", "serve.py", "ledger.routes", "{port}"]
checks = {tests = ["python", "-m", "unittest", "-q"]}
usual = [{method = "GET", target = "/balance?account=12"}, {method = "GET", target = "/report?month=3"}]
failing = [{method = "GET", target = "/report?month=3"}]
times = 6

[alert]
alertname = "HighLatency"
summary = "ledger takes 0.4 s for a report that took 10 ms"
+++
%% commit Ada: Report what each account booked
%% shell python
%% file ledger/__init__.py
%% file ledger/books.py
"""The accounts, and what they booked."""

ACCOUNTS = [{"number": number, "owner": f"owner {number}", "closed": number % 7 == 0} for number in range(1000)]
BOOKINGS = [
    {"account": number * 37 % 1000, "month": number % 12 + 1, "cents": number * 13 % 9000} for number in range(36000)
]
%% file ledger/report.py
"""What the accounts booked in a month."""

from ledger.books import ACCOUNTS, BOOKINGS

OWNERS = {account["number"]: account["owner"] for account in ACCOUNTS}


def report(month):
    sums = {}
    for booking in BOOKINGS:
        if booking["month"] != month:
            continue
        owner = OWNERS[booking["account"]]
        sums[owner] = sums.get(owner, 0) + booking["cents"]
    return sums
%% file ledger/routes.py
"""What the service answers."""

from ledger.books import BOOKINGS
from ledger.report import report


def month_report(query):
    sums = report(int(query["month"]))
    return {"accounts": len(sums), "cents": sum(sums.values())}


def balance(query):
    return {"cents": sum(each["cents"] for each in BOOKINGS[:500] if each["account"] == int(query["account"]))}


ROUTES = {("GET", "/report"): month_report, ("GET", "/balance"): balance}
%% file tests/__init__.py
%% file tests/test_report.py
import unittest

from ledger.report import report


class ReportTest(unittest.TestCase):
    def test_a_month_without_bookings_is_empty(self):
        self.assertEqual(report(13), {})
%% commit Cy: Say what the service is
%% file README.md
# Ledger

Reports what was booked.
%% culprit Bo: Leave closed accounts out of the report
%% edit ledger/report.py
OWNERS = {account["number"]: account["owner"] for account in ACCOUNTS}


def report(month):
%% to

def report(month):
%% edit ledger/report.py
        owner = OWNERS[booking["account"]]
        sums[owner] = sums.get(owner, 0) + booking["cents"]
%% to
        account = next(each for each in ACCOUNTS if each["number"] == booking["account"])
        if not account["closed"]:
            sums[account["owner"]] = sums.get(account["owner"], 0) + booking["cents"]
%% commit Ada: Test a month with bookings
%% edit tests/test_report.py
    def test_a_month_without_bookings_is_empty(self):
%% to
    def test_a_month_with_bookings_is_not(self):
        self.assertGreater(len(report(3)), 10)

    def test_a_month_without_bookings_is_empty(self):

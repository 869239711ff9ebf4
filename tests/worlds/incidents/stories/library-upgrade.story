+++
kind = "changed interface of a dependency"
language = "Python"
run = ["python", "serve.py", "prices.routes", "{port}"]
checks = {tests = ["python", "-m", "unittest", "-q"]}
usual = [{method = "GET", target = "/label?cents=1250"}, {method = "GET", target = "/label?cents=99"}]
failing = [{method = "GET", target = "/receipt?cents=1250&cents_paid=2000"}]

[alert]
alertname = "HighErrorRate"
summary = "prices answers 14 % of requests with 500"
+++
%% commit Ada: Write prices with moneyfmt 1
%% shell python
%% file vendor/__init__.py
%% file vendor/moneyfmt/CHANGES.md
# moneyfmt

- 1.4: groups thousands.
%% file vendor/moneyfmt/__init__.py
"""moneyfmt 1.4: writes amounts of money."""


def format_amount(cents, *, currency):
    return f"{cents // 100:,}.{cents % 100:02} {currency}"
%% file prices/__init__.py
%% file prices/label.py
"""Price labels."""

from vendor.moneyfmt import format_amount


def label(cents):
    return format_amount(cents, currency="EUR")
%% file prices/routes.py
"""What the service answers."""

from prices.label import label


def show_label(query):
    return {"text": label(int(query["cents"]))}


ROUTES = {("GET", "/label"): show_label}
%% file tests/__init__.py
%% file tests/test_label.py
import unittest

from prices.label import label


class LabelTest(unittest.TestCase):
    def test_a_label_has_the_currency(self):
        self.assertEqual(label(1250), "12.50 EUR")
%% commit Cy: Write receipts
%% file prices/receipt.py
"""Receipts: what was to be paid, what was paid, and the change."""

from vendor.moneyfmt import format_amount


def receipt(cents, paid):
    return [
        format_amount(cents, currency="EUR"),
        format_amount(paid, currency="EUR"),
        format_amount(paid - cents, currency="EUR"),
    ]
%% edit prices/routes.py
from prices.label import label
%% to
from prices.label import label
from prices.receipt import receipt
%% edit prices/routes.py
ROUTES = {("GET", "/label"): show_label}
%% to
def show_receipt(query):
    return {"lines": receipt(int(query["cents"]), int(query["cents_paid"]))}


ROUTES = {("GET", "/label"): show_label, ("GET", "/receipt"): show_receipt}
%% culprit Bo: Take up moneyfmt 2
%% file vendor/moneyfmt/CHANGES.md
# moneyfmt

- 2.0: `currency=` is now `code=`, and negative amounts are written well.
- 1.4: groups thousands.
%% file vendor/moneyfmt/__init__.py
"""moneyfmt 2.0: writes amounts of money."""


def format_amount(cents, *, code):
    sign, cents = ("-" if cents < 0 else ""), abs(cents)
    return f"{sign}{cents // 100:,}.{cents % 100:02} {code}"
%% edit prices/label.py
    return format_amount(cents, currency="EUR")
%% to
    return format_amount(cents, code="EUR")
%% commit Ada: Say what the service is
%% file README.md
# Prices

Writes labels and receipts.
%% commit Cy: Test a label of less than one euro
%% edit tests/test_label.py
    def test_a_label_has_the_currency(self):
%% to
    def test_a_label_of_cents(self):
        self.assertEqual(label(99), "0.99 EUR")

    def test_a_label_has_the_currency(self):

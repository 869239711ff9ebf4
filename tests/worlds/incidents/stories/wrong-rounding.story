+++
kind = "wrong result"
language = "Python"
checks = {tests = ["python", "-m", "unittest", "-q"]}

[alert]
alertname = "CICheckFailed"
summary = "tests is red on main"
check = "tests"
+++
%% commit Ada: Reduce prices by a voucher
%% file billing/__init__.py
%% file billing/vouchers.py
"""Vouchers, by their code."""

VOUCHERS = {"SPRING": 10, "AUTUMN": 29}


def rate(code):
    return VOUCHERS.get(code, 0)
%% file billing/price.py
"""What is to be paid, in cents."""

from billing.vouchers import rate


def reduce(amount, percent):
    return amount * percent // 100


def price(amount, code):
    return amount - reduce(amount, rate(code))
%% file tests/__init__.py
%% file tests/test_price.py
import unittest

from billing.price import price


class PriceTest(unittest.TestCase):
    def test_a_voucher_reduces_the_price(self):
        self.assertEqual(price(1000, "SPRING"), 900)

    def test_no_cent_is_lost(self):
        self.assertEqual(price(100, "AUTUMN"), 71)

    def test_an_unknown_voucher_changes_nothing(self):
        self.assertEqual(price(1000, "WINTER"), 1000)
%% commit Cy: Take the voucher SUMMER
%% edit billing/vouchers.py
VOUCHERS = {"SPRING": 10, "AUTUMN": 29}
%% to
VOUCHERS = {"SPRING": 10, "SUMMER": 12, "AUTUMN": 29}
%% culprit Bo: Let vouchers be worth tenths of a percent
%% edit billing/vouchers.py
"""Vouchers, by their code."""

VOUCHERS = {"SPRING": 10, "SUMMER": 12, "AUTUMN": 29}
%% to
"""Vouchers, by their code: what they take off, in tenths of a percent."""

VOUCHERS = {"SPRING": 100, "SUMMER": 125, "AUTUMN": 290}
%% edit billing/price.py
def reduce(amount, percent):
    return amount * percent // 100
%% to
def reduce(amount, tenths):
    return int(amount * (tenths / 1000))
%% commit Ada: Say what the package is
%% file README.md
# Billing

Says what is to be paid.
%% commit Cy: Test that nothing costs nothing
%% edit tests/test_price.py
    def test_an_unknown_voucher_changes_nothing(self):
%% to
    def test_nothing_costs_nothing(self):
        self.assertEqual(price(0, "SPRING"), 0)

    def test_an_unknown_voucher_changes_nothing(self):

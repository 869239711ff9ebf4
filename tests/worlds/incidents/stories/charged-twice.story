+++
kind = "retry without one key"
language = "Python"
run = ["python", "serve.py", "payments.routes", "{port}"]
checks = {tests = ["python", "-m", "unittest", "-q"]}
usual = [{method = "GET", target = "/receipts"}]
failing = [
  {method = "POST", target = "/charges", body = '{"order": "o-17", "cents": 1990}'},
  {method = "POST", target = "/charges", body = '{"order": "o-18", "cents": 450}'},
]
times = 1

[alert]
alertname = "HighErrorRate"
summary = "payments answers 6 % of requests with 500"
+++
%% commit Ada: Charge an order through the gateway
%% shell python
%% file payments/__init__.py
%% file payments/gateway.py
"""The card network: it books an order once, and tells the receipt again to whoever has the key. It may answer late."""


class Refused(Exception):
    pass


class Gateway:
    def __init__(self, late=True):
        self.booked = {}
        self.late = late

    def charge(self, order, cents, key):
        if order not in self.booked:
            self.booked[order] = key
            if self.late:
                raise TimeoutError("no answer in 2 s")
        if self.booked[order] != key:
            raise Refused(f"order {order} is charged already, under the key {self.booked[order]}")
        return {"order": order, "cents": cents, "receipt": key}
%% file payments/charging.py
"""Charging an order, again where the gateway is late."""

from itertools import count

NUMBERS = count(1)
TRIES = 2


def new_key(order):
    return f"{order}/{next(NUMBERS)}"


def charge(gateway, order, cents):
    key = new_key(order)
    for attempt in range(1, TRIES + 1):
        try:
            return gateway.charge(order, cents, key)
        except TimeoutError:
            if attempt == TRIES:
                raise
%% file payments/routes.py
"""What the service answers."""

from payments.charging import charge
from payments.gateway import Gateway

GATEWAY = Gateway()


def take_charge(order):
    return charge(GATEWAY, order["order"], order["cents"])


def list_receipts(_query):
    return {"orders": sorted(GATEWAY.booked)}


ROUTES = {("POST", "/charges"): take_charge, ("GET", "/receipts"): list_receipts}
%% file tests/__init__.py
%% file tests/test_charging.py
import unittest

from payments.charging import charge
from payments.gateway import Gateway


class ChargingTest(unittest.TestCase):
    def test_an_order_is_charged(self):
        self.assertEqual(charge(Gateway(late=False), "o-1", 500)["cents"], 500)
%% commit Cy: Say what the service is
%% file README.md
# Payments

Charges orders.
%% culprit Bo: Try a charge three times, and log each try
%% edit payments/charging.py
from itertools import count

NUMBERS = count(1)
TRIES = 2
%% to
import logging
from itertools import count

log = logging.getLogger(__name__)
NUMBERS = count(1)
TRIES = 3
%% edit payments/charging.py
    key = new_key(order)
    for attempt in range(1, TRIES + 1):
        try:
%% to
    for attempt in range(1, TRIES + 1):
        key = new_key(order)
        log.info("charging %s, try %d", key, attempt)
        try:
%% commit Ada: Test that a charge has a receipt
%% edit tests/test_charging.py
    def test_an_order_is_charged(self):
%% to
    def test_a_charge_has_a_receipt(self):
        self.assertTrue(charge(Gateway(late=False), "o-2", 500)["receipt"])

    def test_an_order_is_charged(self):

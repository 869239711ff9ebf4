+++
kind = "crash after a refactoring"
language = "Python"
run = ["python", "serve.py", "orders.routes", "{port}"]
checks = {tests = ["python", "-m", "unittest", "-q"]}
usual = [
  {method = "POST", target = "/orders", body = '{"lines": [{"sku": "mug", "count": 2, "price": 900}]}'},
  {method = "POST", target = "/orders", body = '{"lines": [{"sku": "candle", "count": 1, "price": 450}]}'},
]
failing = [{method = "POST", target = "/parcels", body = '{"lines": [{"sku": "mug", "count": 2, "price": 900}]}'}]

[alert]
alertname = "HighErrorRate"
summary = "orders answers 31 % of requests with 500"
+++
%% commit Ada: Add up an order
%% shell python
%% file orders/__init__.py
%% file orders/model.py
"""What a customer orders."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One article of an order; the price is in cents."""

    sku: str
    qty: int
    price: int


def read_lines(order):
    return [Line(row["sku"], row["count"], row["price"]) for row in order["lines"]]
%% file orders/total.py
"""What an order costs."""


def total(lines):
    return sum(line.qty * line.price for line in lines)
%% file orders/routes.py
"""What the service answers."""

from orders.model import read_lines
from orders.total import total


def take_order(order):
    return {"total": total(read_lines(order))}


ROUTES = {("POST", "/orders"): take_order}
%% file tests/__init__.py
%% file tests/test_total.py
import unittest

from orders.model import read_lines
from orders.total import total

ORDER = {"lines": [{"sku": "mug", "count": 2, "price": 900}]}


class TotalTest(unittest.TestCase):
    def test_an_order_costs_what_its_lines_cost(self):
        self.assertEqual(total(read_lines(ORDER)), 1800)
%% commit Cy: Pack orders into parcels
%% file orders/parcels.py
"""How an order is packed: its weight, and how many parcels that makes."""

WEIGHTS = {"mug": 380, "candle": 210}
LIMIT = 2000


def weigh(lines):
    return sum(WEIGHTS.get(line.sku, 250) * line.qty for line in lines)


def pack(lines):
    """Return the weight in grams, and the number of parcels; fragile articles count twice."""
    fragile = sum(line.qty for line in lines if line.sku == "mug")
    return {"weight": weigh(lines), "parcels": 1 + (weigh(lines) + fragile * 100) // LIMIT}
%% edit orders/routes.py
from orders.total import total
%% to
from orders.parcels import pack
from orders.total import total
%% edit orders/routes.py
ROUTES = {("POST", "/orders"): take_order}
%% to
def pack_order(order):
    return pack(read_lines(order))


ROUTES = {("POST", "/orders"): take_order, ("POST", "/parcels"): pack_order}
%% commit Ada: Let parcels weigh 2.5 kg
%% edit orders/parcels.py
LIMIT = 2000
%% to
LIMIT = 2500
%% culprit Bo: Say quantity in full
%% edit orders/model.py
    qty: int
%% to
    quantity: int
%% edit orders/total.py
    return sum(line.qty * line.price for line in lines)
%% to
    return sum(line.quantity * line.price for line in lines)
%% commit Cy: Weigh vases
%% edit orders/parcels.py
WEIGHTS = {"mug": 380, "candle": 210}
%% to
WEIGHTS = {"mug": 380, "candle": 210, "vase": 900}
%% commit Ada: Say what the service is
%% file README.md
# Orders

Adds up orders and packs them.

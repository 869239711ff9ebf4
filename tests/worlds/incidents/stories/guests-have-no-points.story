+++
kind = "missing null check behind a feature flag"
language = "Python"
run = ["python", "serve.py", "carts.routes", "{port}"]
checks = {tests = ["python", "-m", "unittest", "-q"]}
usual = [{method = "POST", target = "/carts", body = '{"cents": 4000, "customer": {"name": "Ada", "club": {"points": 120}}}'}]
failing = [{method = "POST", target = "/carts", body = '{"cents": 4000, "customer": {"name": "guest", "club": null}}'}]

[alert]
alertname = "HighErrorRate"
summary = "carts answers 41 % of requests with 500"
+++
%% commit Ada: Price a cart
%% shell python
%% file flags.json
{
  "free_shipping": true
}
%% file carts/__init__.py
%% file carts/flags.py
"""Which features are on, from flags.json."""

import json
from pathlib import Path


def is_on(name):
    return json.loads(Path("flags.json").read_text()).get(name, False)
%% file carts/routes.py
"""What the service answers."""

from carts.flags import is_on


def price(cart):
    shipping = 0 if is_on("free_shipping") and cart["cents"] > 3000 else 490
    return {"cents": cart["cents"] + shipping}


ROUTES = {("POST", "/carts"): price}
%% file tests/__init__.py
%% file tests/test_routes.py
import unittest

from carts.routes import price

MEMBER = {"cents": 4000, "customer": {"name": "Ada", "club": {"points": 120}}}


class PriceTest(unittest.TestCase):
    def test_a_cart_has_a_price(self):
        self.assertLessEqual(price(MEMBER)["cents"], 4000)
%% commit Cy: Reward members of the club
%% file carts/club.py
"""What members of the club get off."""

from carts.flags import is_on


def reward(cart):
    if not is_on("club"):
        return 0
    points = cart["customer"]["club"]["points"]
    return min(points, cart["cents"] // 10)
%% edit carts/routes.py
from carts.flags import is_on
%% to
from carts.club import reward
from carts.flags import is_on
%% edit carts/routes.py
    return {"cents": cart["cents"] + shipping}
%% to
    return {"cents": cart["cents"] + shipping - reward(cart)}
%% commit Ada: Say what the service is
%% file README.md
# Carts

Prices carts.
%% culprit Bo: Open the club
%% file flags.json
{
  "club": true,
  "free_shipping": true
}
%% commit Cy: Test the price of a member
%% edit tests/test_routes.py
    def test_a_cart_has_a_price(self):
%% to
    def test_a_member_pays_less(self):
        self.assertEqual(price(MEMBER)["cents"], 3880)

    def test_a_cart_has_a_price(self):

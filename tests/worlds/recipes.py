"""The demo's repository and three more: nothing in the bot knows any of them."""

import sys
from pathlib import Path

from bot.demo.repository import RUN, SERIES, TESTS
from tests.worlds.world import Recipe, Request

_ORDER = '{"items": [{"sku": "MU-2001", "quantity": 2}], "coupon": "%s", "country": "DE"}'

CHECKOUT = Recipe(
    name="checkout",
    series=SERIES,
    run=RUN,
    checks={"tests": TESTS},
    health="/healthz",
    paths=("checkout/", "tests/"),
    failing=Request(method="POST", target="/v1/checkout", body=_ORDER % "READ10"),
    usual=(
        Request(method="POST", target="/v1/checkout", body=_ORDER % "COFFEE15"),
        Request(method="POST", target="/v1/checkout", body=_ORDER % "READ99"),
        Request(method="GET", target="/v1/products"),
        Request(method="GET", target="/v1/cart/c-1"),
    ),
)

PARCELS = Recipe(
    # Another web framework: Flask comes from the toolchain that the operator's setup command fills.
    name="parcels",
    run=("python", "-m", "flask", "--app", "parcels", "run", "--port", "{port}"),
    setup=(sys.executable, str(Path(__file__).with_name("toolchain.py")), "flask"),
    env={"PYTHONPATH": "/toolchain/lib"},
    paths=("parcels/", "tests/"),
    failing=Request(method="GET", target="/quote?weight=80&to=NL&size=flat"),
    usual=(
        Request(method="GET", target="/quote?weight=900&to=DE"),
        Request(method="GET", target="/quote?weight=2500&to=SE&size=40x30x20"),
        Request(method="GET", target="/quote?weight=0&to=DE"),
        Request(method="GET", target="/zones"),
    ),
)

TICKETS = Recipe(
    # A later commit changed a line of the culprit again: its whole revert conflicts, its guilty hunk does not.
    name="tickets",
    run=("python", "-m", "tickets", "--port", "{port}"),
    paths=("tickets/", "tests/"),
    whole_revert=False,
    failing=Request(method="POST", target="/search", body='{"state": "open", "topic": "parking"}'),
    usual=(
        Request(method="GET", target="/tickets?state=open&page=2"),
        Request(method="POST", target="/search", body='{"topic": "login"}'),
        Request(method="GET", target="/tickets?page=99"),
    ),
)

STOCKROOM = Recipe(
    # The newest commit rewrote the very line that the traceback ends in; the culprit is older, in another file.
    name="stockroom",
    run=("python", "-m", "stockroom", "--port", "{port}"),
    paths=("stockroom/", "tests/"),
    failing=Request(method="POST", target="/v1/value", body='[{"sku": "bolt", "pieces": 3, "unit_price": null}]'),
    usual=(
        Request(method="POST", target="/v1/value", body='[{"sku": "bolt", "pieces": 100, "unit_price": 5}]'),
        Request(method="POST", target="/v1/value", body='[{"sku": "hinge", "pieces": 2}]'),
        Request(method="POST", target="/v1/value", body='[{"sku": "moon"}]'),
    ),
)

FURTHER = (PARCELS, TICKETS, STOCKROOM)
ALL = (CHECKOUT, *FURTHER)

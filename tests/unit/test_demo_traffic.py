import json
from itertools import islice
from pathlib import Path

from bot.demo.traffic import count_lines, plan_calls


def test_shoppers_do_many_things_and_the_same_again_for_the_same_seed() -> None:
    calls = list(islice(plan_calls(7), 400))
    assert calls == list(islice(plan_calls(7), 400))
    assert len({(call.method, call.path.rpartition("/")[0]) for call in calls}) >= 5


def test_a_share_of_the_orders_meets_the_regression() -> None:
    orders = [json.loads(call.body) for call in islice(plan_calls(7), 1000) if call.path == "/v1/checkout"]
    categories = {"READ10": "BK", "COFFEE15": "MU", "GREEN20": "GA"}
    doomed = [
        order
        for order in orders
        if order["coupon"] in categories
        and not any(item["sku"].startswith(categories[order["coupon"]]) for item in order["items"])
    ]
    assert 0.05 < len(doomed) / 1000 < 0.3


def test_counts_lines(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\nb\nno end")
    assert count_lines(tmp_path / "log") == 2
    assert count_lines(tmp_path / "none") == 0

"""The demo's repository: "checkout", a little shop service with a month of history and one regression."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bot.demo.history import grow_repository, load_series

SERIES = Path(__file__).parent / "checkout_history"
RUN = ("python", "-m", "checkout", "--port", "{port}")
TESTS = ("python", "-m", "unittest", "-q")
FAILING_ORDER = {"items": [{"sku": "MU-2001", "quantity": 2}], "coupon": "READ10", "country": "DE"}


@dataclass(frozen=True, kw_only=True)
class CheckoutWorld:
    """The facts of the generated repository. `commits` are in the order they were made; `failing_order` is a
    body for POST /v1/checkout that the head answers with 500 and the culprit's parent with 201."""

    repository: Path
    head: str
    culprit: str
    commits: tuple[str, ...]
    run: tuple[str, ...] = RUN
    tests: tuple[str, ...] = TESTS


def build_checkout(folder: Path, *, now: datetime) -> CheckoutWorld:
    """Make the bare repository `folder`/checkout.git. The same `now` always gives the same commits."""
    history = grow_repository(load_series(SERIES), folder / "checkout.git", now=now)
    return CheckoutWorld(
        repository=history.repository, head=history.head, culprit=history.culprit, commits=history.commits
    )

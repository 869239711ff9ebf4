"""What in a check answers by chance, and how seldom such a check blames an innocent commit."""

import pytest

from bot.domain.suspects.chance import find_chance, tells_of_chance
from tests.bench.flaky import RATES, share_misblamed


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("    assert os.urandom(1)[0] > 80", "urandom"),
        ("    return random.choice(names)", "random.choice"),
        ("from random import random\nx = random()", "random"),
        ('python -c "import random; random.random() < 1"', "random.random"),
        ("    started = time.perf_counter()", "perf_counter"),
        ("const at = Date.now();", "Date.now"),
        ("if (Math.random() > 0.5) {", "Math.random"),
        ("go func() { done <- true }()", "go func"),
        ("@pytest.mark.flaky(reruns=3)", "flaky"),
        ("test $((RANDOM % 10)) -gt 3", "RANDOM"),
        ("import random\nfrom time import sleep", ""),
        ("chance = random.Random(4)\nrandom.seed(1)", ""),
        ("assert total(order) == 4  # at random", ""),
        ("self.brand(), operand(), order.time", ""),
    ],
)
def test_what_answers_differently_each_time_is_found_in_many_languages(code, found):
    assert find_chance(code, is_test=True) == found


def test_a_clock_counts_in_a_test_alone():
    assert find_chance("    started = time.monotonic()", is_test=False) == ""
    assert find_chance("    order.at = datetime.now(UTC)", is_test=True) == ""


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        ("Skip flaky test of the clock", True),
        ("Fix intermittent failure of imports", True),
        ("Retry tests three times", True),
        ("Retry payments that time out", False),
        ("Round amounts", False),
    ],
)
def test_a_history_may_call_a_test_flaky(subject, told):
    assert tells_of_chance(subject) is told


@pytest.mark.parametrize("rate", [RATES[0], RATES[-1]])
async def test_a_check_that_answers_by_chance_hardly_ever_blames_an_innocent_commit(rate):
    assert await share_misblamed(rate, cases=20) <= 2

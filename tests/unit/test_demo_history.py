from datetime import timedelta

import pytest

from bot.demo.history import load_series, parse_step
from bot.demo.repository import SERIES

HEAD = "Subject: Price it\nFrom: Ana B <a@x.example>\nAge: 3d 4h 5m\n"


def test_reads_head_message_and_diff() -> None:
    step = parse_step(f"{HEAD}Branch: tax\nTag: v1\n\nWhy.\n\ndiff --git a/x b/x\n+y\n")
    assert (step.author, step.email, step.age) == ("Ana B", "a@x.example", timedelta(days=3, hours=4, minutes=5))
    assert (step.message, step.diff) == ("Price it\n\nWhy.", "diff --git a/x b/x\n+y\n")
    assert (step.branch, step.tag, step.is_regression) == ("tax", "v1", False)


def test_a_message_may_be_its_subject_alone() -> None:
    step = parse_step(f"{HEAD}\ndiff --git a/x b/x\n")
    assert (step.message, step.diff) == ("Price it", "diff --git a/x b/x\n")


@pytest.mark.parametrize("missing", ["Subject", "From", "Age"])
def test_says_what_a_head_lacks(missing: str) -> None:
    head = "".join(line for line in HEAD.splitlines(keepends=True) if not line.startswith(missing))
    with pytest.raises(ValueError, match="needs Subject, From and Age"):
        parse_step(f"{head}\ndiff --git a/x b/x\n")


def test_the_checkout_has_the_history_of_a_real_service() -> None:
    steps = load_series(SERIES)
    assert len(steps) >= 14
    assert len({step.author for step in steps}) == 4
    assert [step.tag for step in steps if step.tag] == ["v0.1.0", "v0.2.0", "v0.3.0"]
    assert [step.is_regression for step in steps[-4:]] == [True, False, False, False]
    assert sum(step.is_regression for step in steps) == 1
    ages = [step.age for step in steps if step.branch == "main"]
    assert ages == sorted(ages, reverse=True)

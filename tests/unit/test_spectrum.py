"""What the failing tests call and the others do not: how it is seen, weighed, and what it does to the ranking."""

import base64
import os
import subprocess
import sys
import zlib
from dataclasses import replace

import pytest

from bot.domain.checks.testing import find_failing
from bot.domain.suspects.reach import Reach
from bot.domain.suspects.spectrum import Spectrum, find_spectrum, merge_spectra
from bot.domain.suspects.suspicion import Clues, rank_suspects
from bot.worker.coverage import Seen, take_executed, watch_files
from tests.unit.test_suspicion import ERROR_AT, make_change, make_diff

SHOP = """import shop_rates


def total(x):
    return base(x)


def base(x):
    return x


def tax(x):
    return shop_rates.rate(x)
"""
TESTS = """import unittest

import shop


class ShopTest(unittest.TestCase):
    def setUp(self):
        self.base = shop.base(1)

    def test_total(self):
        self.assertEqual(shop.total(2), 2)

    def test_tax(self):
        self.assertEqual(shop.tax(2), 3)
"""
FIXTURED = """import pytest

import shop


@pytest.fixture
def base():
    return shop.base(1)


@pytest.mark.parametrize("n", [1, 2])
def test_total(base, n):
    assert shop.total(n) == 1


def test_tax(base):
    assert shop.tax(2) == 2
"""
RATE, TAX, TOTAL, BASE = ("shop_rates.py", "rate"), ("shop.py", "tax"), ("shop.py", "total"), ("shop.py", "base")


def watch(folder, test, *command):
    (folder / "w").mkdir()
    (folder / "tmp").mkdir()
    (folder / "beside").mkdir()
    files = {"shop.py": SHOP, "shop_rates.py": "def rate(x):\n    return x\n", "test_shop.py": test}
    for name, text in files.items():
        (folder / "w" / name).write_text(text)
    for name, raw in watch_files().items():
        (folder / "beside" / name).write_bytes(raw)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{folder / 'beside'}:{folder / 'w'}", "TMPDIR": f"{folder}/tmp"}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder / "w", env=env, capture_output=True, text=True, check=False
    )
    text, seen = take_executed(done.stdout)
    return replace(seen, failing=find_failing(text + done.stderr))


def test_of_unittest_each_test_is_seen_with_its_set_up(tmp_path):
    seen = watch(tmp_path, TESTS, "unittest", "test_shop")
    assert seen.tests["test_shop.py::test_tax"] >= {RATE, TAX, BASE}
    assert TAX not in seen.tests["test_shop.py::test_total"]
    assert seen.spectrum.of(*RATE) == 1
    assert seen.spectrum.of(*TOTAL) == 0
    assert 0 < seen.spectrum.of(*BASE) < 1


def test_of_pytest_each_parameter_and_fixture_is_seen(tmp_path):
    seen = watch(tmp_path, FIXTURED, "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py")
    assert seen.failing == {"test_shop.py::test_total[2]"}
    assert set(seen.tests) == {f"test_shop.py::{name}" for name in ("test_total[1]", "test_total[2]", "test_tax")}
    assert seen.tests["test_shop.py::test_tax"] >= {RATE, TAX, BASE}
    assert seen.spectrum.of(*TAX) == 0
    assert seen.spectrum.of(*TOTAL) == 1


def test_where_all_tests_fail_or_none_is_known_to_nothing_stands_out():
    called = {"t.py::test_a": frozenset({TAX}), "t.py::test_b": frozenset({TOTAL})}
    assert not find_spectrum(called, {"t.py::test_a", "t.py::test_b"}).weights
    assert not find_spectrum(called, {"t.py::test_c"}).weights
    assert find_spectrum(called, {"t.Case.test_a"}).of(*TAX) == 1
    assert find_spectrum(called, {"t.py::test_a"}).of(*BASE) is None


def test_several_runs_are_one():
    merged = merge_spectra([Spectrum(weights={TAX: 0.2}), Spectrum(weights={TAX: 1.0, BASE: 0.0})])
    assert (merged.of(*TAX), merged.of(*BASE)) == (1, 0)


def test_what_only_tests_called_that_did_not_fail_is_no_part_of_the_failure():
    seen = Seen(
        executed={"shop.py": frozenset({"tax", "total", "<module>"})},
        tests={"t.py::test_a": frozenset({TAX}), "t.py::test_b": frozenset({TOTAL})},
        failing=frozenset({"t.py::test_b"}),
    )
    assert seen.of_failing == {"shop.py": frozenset({"total", "<module>"})}


@pytest.mark.parametrize(
    "told",
    [
        '{"files": [], "functions": 3, "tests": {}}',
        '{"files": {}, "functions": [["a", 1]], "tests": {"t": [0]}}',
        '{"functions": [["a", "b"]], "tests": {"t": [7, true, "x"], "u": 1}}',
        "[]",
    ],
)
def test_what_a_repository_forges_is_read_as_nothing(told):
    line = base64.b64encode(zlib.compress(told.encode())).decode()
    _, seen = take_executed(f"nightshift-executed {line}")
    assert seen.executed == {}
    assert not any(seen.tests.values())


def rank(changes, **clues):
    return [each.commit for each in rank_suspects(Clues(first_error=ERROR_AT, **clues), changes)]


def change(sha, name, path="shop.py", **more):
    diff = make_diff(path, 10, 10, "-    return x\n+    return x + 1", heading=f"def {name}(x):")
    return make_change(sha, files=(path,), diff=diff, **more)


def test_what_only_the_failing_tests_call_is_suspected_first():
    executed = {"shop.py": frozenset({"tax", "total"})}
    spectrum = find_spectrum(
        {"t.py::test_a": frozenset({TAX, TOTAL})} | {f"t.py::test_{n}": frozenset({TOTAL}) for n in range(9)},
        {"t.py::test_a"},
    )
    changes = [change("total", "total", minutes=10), change("tax", "tax", minutes=600)]
    reach = Reach(names={TOTAL: 0.9, TAX: 0.3})
    assert rank(changes, reach=reach, executed=executed) == ["total", "tax"]
    found = rank_suspects(Clues(first_error=ERROR_AT, reach=reach, executed=executed, spectrum=spectrum), changes)
    assert [each.commit for each in found] == ["tax", "total"]
    assert "changes tax in shop.py, which the failing tests call and few others" in found[0].reasons


def test_words_of_documents_and_of_code_that_did_not_run_count_for_nothing():
    words = {"coupon": 1.0, "percent": 1.0}
    said = make_diff("README.md", 1, 1, "-Old\n+The coupon has a percent")
    unrun = make_diff("shop.py", 30, 30, "-    return coupon\n+    return percent", heading="def other(coupon):")
    ran = make_diff("shop.py", 10, 10, "-    return coupon\n+    return coupon * percent", heading="def total(coupon):")
    changes = [
        make_change("unrun", files=("shop.py", "README.md"), diff=unrun + said, minutes=5),
        make_change("ran", files=("shop.py",), diff=ran, minutes=500),
    ]
    first, second = rank_suspects(
        Clues(words=words, first_error=ERROR_AT, reach=Reach(), executed={"shop.py": frozenset({"total"})}), changes
    )
    assert (first.commit, second.commit) == ("ran", "unrun")
    assert any("shares coupon" in reason for reason in first.reasons)
    assert not any("shares" in reason for reason in second.reasons)


def test_a_version_in_a_file_of_packages_is_no_package():
    diff = make_diff("setup.cfg", 3, 3, "-version = 1.0\n+version = 1.1")
    (found,) = rank_suspects(
        Clues(first_error=ERROR_AT, reach=Reach()), [make_change("release", files=("setup.cfg",), diff=diff)]
    )
    assert not any("packages" in reason for reason in found.reasons)

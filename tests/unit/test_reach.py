"""What a failure can reach, what a change does, and how near the two come to each other."""

import pytest

from bot.domain.suspects.blame import read_hunks, read_renames
from bot.domain.suspects.change_kind import ADDING, CHANGING, TELLING, bound_names, touched_names, weigh_hunk
from bot.domain.suspects.nearness import CUT, NOT_SEEN, measure_nearness, read_aliases
from bot.domain.suspects.reach import Seed, find_reach, slice_lines
from bot.domain.suspects.suspicion import Place
from bot.worker.outline import outline
from bot.worker.suspect import _trust

CART = """RATES = load_rates()


def total(net, country):
    label = describe(country)
    rate = rate_of(country)
    return net + net * rate


def rate_of(country):
    return RATES[country]


def unrelated():
    return 1
"""
TABLE = """def load_rates():
    return read("rates.json")


def describe(country):
    return country
"""


def reach(line=11, function="rate_of"):
    sources = {"cart.py": CART.splitlines(), "table.py": TABLE.splitlines()}
    definitions = [
        each for path, text in (("cart.py", CART), ("table.py", TABLE)) for each in outline(path, text.encode())
    ]
    seeds = [Seed(path="cart.py", function=function, line=line, weight=1.0)]
    return find_reach(seeds, definitions, sources)


def hunk(diff, path="cart.py"):
    lines = diff.strip("\n").split("\n")
    old, new = (sum(line[:1] in signs for line in lines) for signs in (" -", " +"))
    text = f"--- a/{path}\n+++ b/{path}\n@@ -1,{old} +1,{new} @@\n" + "\n".join(lines)
    return read_hunks(text)[0]


def test_names_lead_from_the_stack_to_what_it_uses():
    found = reach()
    assert found.of("cart.py", "rate_of") == 1
    assert 0 < found.of("table.py", "load_rates") < found.of("cart.py", "RATES") < 1
    assert found.of("cart.py", "unrelated") == 0


def test_what_the_line_that_failed_got_its_values_from_is_nearer_than_the_rest():
    found = reach(line=7, function="total")
    assert found.of("cart.py", "rate_of") > found.of("table.py", "describe") > 0


def test_a_slice_follows_values_through_assignments():
    assert slice_lines(["a = f(x)", "b = g(y)", "c = a + 1", "return c"], 3) == (0, 2, 3)
    assert slice_lines([], 3) == ()


def test_files_that_reached_code_names_are_reached():
    assert reach().files["rates.json"] > 0


def test_a_change_names_the_functions_that_it_touches():
    changed = hunk(" def a():\n-    return 1\n+    return 2\n \n def b():\n     pass\n+LIMIT = 3")
    assert touched_names(changed) == {"a", "LIMIT"}


def weigh(diff):
    changed = hunk(diff)
    return weigh_hunk(changed, bound=bound_names([changed]))


def test_what_can_change_nothing_weighs_little():
    assert weigh(' def a():\n+    log.debug("a")\n     return 1') == TELLING
    assert weigh("-    return f(x)\n+    result = f(x)\n+    return result") == TELLING
    assert weigh("-    total = f(x)\n-    return total + 1\n+    whole = f(x)\n+    return whole + 1") == TELLING


def test_what_only_adds_weighs_less_than_what_changes():
    assert weigh("-def a(x):\n+def a(x, *, strict=False):\n+    if strict:\n+        check(x)\n     return x") == ADDING
    assert weigh("-    return round(x, UP)\n+    return round(x, EVEN)") == CHANGING
    assert weigh("-    if a < b:\n+    if a <= b:") == CHANGING


def test_another_constant_is_no_new_name_for_the_old_one():
    assert weigh("-    x = share(net, HALF_UP)\n+    x = share(net, HALF_EVEN)") == CHANGING


def test_nearness_needs_the_change_to_be_in_what_is_reached():
    near = measure_nearness([hunk("-    return 1\n+    return 2\n", "table.py")], reach(), None, {})
    inside = measure_nearness(
        [hunk(" def load_rates():\n-    return 1\n+    return 2\n", "table.py")], reach(), None, {}
    )
    assert inside.score > near.score
    assert "changes load_rates in table.py" in inside.reason


def test_code_that_the_check_did_not_run_is_hardly_suspected():
    change = [hunk(" def unrelated():\n-    return 1\n+    return 2\n")]
    ran = measure_nearness(change, reach(), {"cart.py": frozenset({"unrelated"})}, {})
    idle = measure_nearness(change, reach(), {"cart.py": frozenset({"rate_of"})}, {})
    assert idle.factor < 0.5 < ran.factor
    assert "which the failing check runs" in ran.reason


def test_a_run_that_was_too_long_to_be_watched_whole_speaks_less_against_what_it_did_not_show():
    change = [hunk(" def unrelated():\n-    return 1\n+    return 2\n")]
    cut = measure_nearness(change, reach(), {"cart.py": frozenset({"rate_of"}), CUT: frozenset()}, {})
    assert cut.factor == NOT_SEEN


def test_what_was_executed_is_believed_only_where_it_holds_the_innermost_frame():
    definitions = outline("cart.py", CART.encode())
    place = Place(path="cart.py", line=11, function="rate_of", code="", weight=1.0, is_innermost=True)
    whole = {"cart.py": frozenset({"rate_of", "total"})}
    assert _trust(whole, [place], definitions) == whole
    assert _trust({"cart.py": frozenset({"total"})}, [place], definitions) is None
    assert _trust({"other.py": frozenset({"f"})}, [place], definitions) is None
    assert _trust({"other.py": frozenset({"f"})}, [], definitions) is not None
    assert _trust({}, [place], definitions) is None


def test_settings_that_reached_code_uses_are_near():
    change = [hunk('-  "country": 1\n+  "country": 2\n', "rates.json")]
    assert measure_nearness(change, reach(), None, {}).score > 0.5


def test_a_pin_is_near_where_its_package_is_used():
    change = [hunk("-describe==1.0\n+describe==2.0\n", "requirements.txt")]
    found = measure_nearness(change, reach(line=7, function="total"), None, {})
    assert found.reason == "changes the version of describe, which the failing code uses"


@pytest.mark.parametrize(
    "line",
    [
        "-describe==1.0\n+describe==2.0\n",
        '-describe = "^1.0"\n+describe = "^2.0"\n',
        '-"describe": "^1"\n+"describe": "^2"\n',
    ],
)
def test_pins_of_several_kinds_of_files_are_read(line):
    found = measure_nearness([hunk(line, "pyproject.toml")], reach(line=7, function="total"), None, {})
    assert found.reason == "changes the version of describe, which the failing code uses"


def test_words_of_documents_and_other_texts_say_nothing():
    for path in ("docs/rate.md", "README.md", "static/rate.html"):
        assert measure_nearness([hunk("-country: 1\n+country: 2\n", path)], reach(), None, {}).score == 0


def test_renames_lead_to_the_name_of_today():
    diffs = ["rename from b.py\nrename to c.py\n", "rename from a.py\nrename to b.py\n"]
    assert read_aliases([read_renames(diff) for diff in diffs]) == {"a.py": "c.py", "b.py": "c.py"}

"""JavaScript as it is mostly written: functions that are bound to names, and tests that have none."""

import pytest

from bot.domain.suspects.blame import read_hunks
from bot.domain.suspects.change_kind import touched_names
from bot.domain.suspects.reach import Seed, find_reach, find_statement
from bot.worker.outline import outline

CART = """const { apply } = require("./discount");
class Cart {
  total() { return apply(this.sum); }
}
exports.Cart = Cart;
"""
DISCOUNT = """const rules = [{ min: 100, rate: 0.9 }];
exports.apply = (total) => {
  const rule = rules.find((r) => total >= r.min);
  return rule ? total * rule.rate : total;
};
"""
TEST = """const test = require("node:test");
const { Cart } = require("../lib/cart");

test("a hundred gets a tenth off", () => {
  const cart = new Cart(100);

  assert.equal(cart.total(), 90);
});
"""


def names_of(text, path="a.js"):
    return [each.name for each in outline(path, text.encode())]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (DISCOUNT, ["rules", "apply"]),
        ("module.exports.load = async function () {};", ["load"]),
        ("Cart.prototype.total = function () {};", ["total"]),
        ("module.exports = { load(x) {}, save: (x) => x, size: 3 };", ["load", "save"]),
        ("exports.Cart = Cart;\nmodule.exports = require('./x');\nexports.sizes = [1];", ["sizes"]),
        ("app.get('/x', (request) => { total = 3; });", []),
    ],
)
def test_functions_that_are_bound_to_names_are_known(text, names):
    assert names_of(text) == names


def test_a_test_without_a_name_leads_to_what_it_calls():
    files = {"test/cart.test.js": TEST, "lib/cart.js": CART, "lib/discount.js": DISCOUNT}
    definitions = [each for path, text in files.items() for each in outline(path, text.encode())]
    sources = {path: text.splitlines() for path, text in files.items()}
    reach = find_reach([Seed(path="test/cart.test.js", function="", line=7, weight=1.0)], definitions, sources)
    assert reach.of("lib/cart.js", "total") > reach.of("lib/discount.js", "apply") > 0.4
    assert reach.of("lib/discount.js", "rules") > 0.4


@pytest.mark.parametrize(("line", "span"), [(7, (4, 7)), (4, (4, 7)), (1, (1, 1)), (2, (2, 3))])
def test_a_statement_goes_up_to_where_nothing_is_indented(line, span):
    assert find_statement(TEST.splitlines(), line) == span


@pytest.mark.parametrize(
    ("first", "name"),
    [
        ("exports.apply = (total) => {", "apply"),
        ("const apply = async (total, more) => {", "apply"),
        ("export const apply = (total: number): number => {", "apply"),
        ("  apply: function (total) {", "apply"),
        ("const apply = (a + b);", ""),
    ],
)
def test_a_change_inside_a_bound_function_is_one_of_it(first, name):
    body = f" {first}\n-  return 1;\n+  return 2;\n }};\n"
    (hunk,) = read_hunks(f"diff --git a/a.js b/a.js\n--- a/a.js\n+++ b/a.js\n@@ -1,3 +1,3 @@\n{body}")
    assert touched_names(hunk) == {name}

"""Sixteen regressions: crashes, wrong results, slowness, settings, pinned packages; most far from their stack."""

from dataclasses import dataclass

Edit = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A commit that is told by hand. `path` → None in `files` removes it; `at` is where in the history, 0 to 1."""

    message: str
    edits: tuple[Edit, ...] = ()
    files: tuple[tuple[str, str | None], ...] = ()
    at: float = 0.5
    moves: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One regression. `also` are commits of a person beside the culprit; `busy` mixes other changes into it."""

    name: str
    project: str
    culprit: Step
    test: str
    length: int
    kind: str
    also: tuple[Step, ...] = ()
    busy: int = 0
    on_branch: bool = False
    runner: str = "unittest"
    has_flaky_test: bool = False


_DISCOUNT = '''"""What a customer pays less."""

import logging

from ledger.money import share

log = logging.getLogger(__name__)


class Discounts:
    """The discounts of one customer."""

    def __init__(self, customer):
        self._customer = customer

    def taken_off(self, net):
        """Return what is taken off a net amount."""
        return share(net, self._customer.discount * 10)
'''

_COUNTING = """        found = {}
        for key, document in self.documents.items():
            count = tokenize(document.title + " " + document.body).count(token)
            if count:
                found[key] = count
        return found"""

CASES = (
    Case(
        name="rates-by-country",
        project="ledger",
        kind="crash",
        length=60,
        test="tests.test_invoice.InvoiceTest.test_total_in_another_country",
        culprit=Step(
            message="Read rates however countries are written",
            edits=(
                (
                    "ledger/config.py",
                    'return dict(settings["rates"])',
                    'return {country.casefold(): rate for country, rate in settings["rates"].items()}',
                ),
            ),
            at=0.45,
        ),
        also=(
            Step(
                message="Say where the rate of reduced goods comes from",
                edits=(
                    (
                        "ledger/tax.py",
                        "    return RATES[country]",
                        "    # Everything else is taxed in full.\n    return RATES[country]",
                    ),
                ),
                at=0.8,
            ),
        ),
    ),
    Case(
        name="rounding",
        project="ledger",
        kind="wrong",
        length=24,
        test="tests.test_invoice.InvoiceTest.test_total_with_a_discount",
        runner="pytest",
        culprit=Step(
            message="Round shares as accounting does",
            edits=(
                (
                    "ledger/money.py",
                    "return int(exact.to_integral_value(ROUND_HALF_UP))",
                    "return int(exact.to_integral_value(ROUND_HALF_EVEN))",
                ),
            ),
            at=0.3,
        ),
    ),
    Case(
        name="reduced-rates",
        project="ledger",
        kind="config",
        length=200,
        test="tests.test_invoice.InvoiceTest.test_books_are_taxed_less",
        has_flaky_test=True,
        culprit=Step(
            message="New reduced rates from January on",
            edits=(
                (
                    "ledger/config.json",
                    '"reduced": {"books": 700, "food": 700}',
                    '"reduced": {"books": 500, "food": 500}',
                ),
            ),
            at=0.6,
        ),
    ),
    Case(
        name="discount-module",
        project="ledger",
        kind="wrong",
        length=120,
        test="tests.test_invoice.InvoiceTest.test_total_with_a_discount",
        on_branch=True,
        busy=3,
        culprit=Step(
            message="Give discounts a module of their own",
            edits=(
                ("ledger/invoice.py", "from ledger.money import share\n", "from ledger.discount import Discounts\n"),
                (
                    "ledger/invoice.py",
                    "return share(net, self.customer.discount * 100)",
                    "return Discounts(self.customer).taken_off(net)",
                ),
            ),
            files=(("ledger/discount.py", _DISCOUNT),),
            at=0.5,
        ),
    ),
    Case(
        name="spread",
        project="ledger",
        kind="wrong",
        length=60,
        test="tests.test_money.MoneyTest.test_spread_loses_nothing",
        culprit=Step(
            message="Split amounts evenly",
            edits=(
                (
                    "ledger/money.py",
                    "return [each + (1 if number < left else 0) for number in range(parts)]",
                    "return [each for number in range(parts)]",
                ),
            ),
            at=0.35,
        ),
        also=(
            Step(
                message="Spread over no parts at all",
                edits=(
                    (
                        "ledger/money.py",
                        "return [each for number in range(parts)]",
                        "return [each for number in range(max(parts, 1))]",
                    ),
                ),
                at=0.75,
            ),
        ),
    ),
    Case(
        name="handover",
        project="roster",
        kind="wrong",
        length=80,
        test="tests.test_rota.RotaTest.test_at_the_hour_of_handover_the_next_one_has_it",
        on_branch=True,
        runner="pytest",
        culprit=Step(
            message="Let the old shift finish its hour",
            edits=(("roster/calendar.py", "    if at.hour < handover:", "    if at.hour <= handover:"),),
            at=0.7,
        ),
    ),
    Case(
        name="people-who-left",
        project="roster",
        kind="crash",
        length=150,
        test="tests.test_export.ExportTest.test_contacts_are_listed_once",
        runner="service",
        busy=1,
        culprit=Step(
            message="Do not fail for people who left the team",
            edits=(
                (
                    "roster/people.py",
                    "return self._people[name.strip().lower()]",
                    "return self._people.get(name.lower())",
                ),
            ),
            at=0.25,
        ),
        also=(
            Step(
                message="Say so where a contact has no number",
                edits=(
                    ("roster/export.py", "or 'no phone'", "or 'no number'"),
                    ("tests/test_export.py", "Ben: no phone", "Ben: no number"),
                ),
                at=0.85,
            ),
        ),
    ),
    Case(
        name="days-left-out",
        project="roster",
        kind="wrong",
        length=30,
        test="tests.test_swap.SwapTest.test_merging_again_starts_anew",
        culprit=Step(
            message="Remember which days nobody may trade",
            edits=(
                (
                    "roster/swap.py",
                    "log = logging.getLogger(__name__)\n",
                    "log = logging.getLogger(__name__)\nCLOSED = set()\n",
                ),
                ("roster/swap.py", "    taken = set(taken or ())\n", "    CLOSED.update(taken or ())\n"),
                ("roster/swap.py", "            if day not in taken:", "            if day not in CLOSED:"),
            ),
            at=0.6,
        ),
    ),
    Case(
        name="two-weeks",
        project="roster",
        kind="config",
        length=100,
        test="tests.test_rota.RotaTest.test_plan_turns_after_a_week",
        runner="pytest",
        culprit=Step(
            message="Try longer shifts over the summer",
            edits=(("roster/settings.toml", "length_days = 7", "length_days = 14"),),
            at=0.8,
        ),
    ),
    Case(
        name="longer-shifts",
        project="roster",
        kind="config",
        length=30,
        test="tests.test_rota.RotaTest.test_plan_turns_after_a_week",
        culprit=Step(
            message="Try longer shifts over the summer, and wider tables",
            edits=(
                ("roster/settings.toml", "length_days = 7", "length_days = 14"),
                ("roster/settings.toml", "width = 40", "width = 60"),
                (
                    "roster/export.py",
                    "log = logging.getLogger(__name__)\n",
                    "log = logging.getLogger(__name__)\nWIDEST = 120\n",
                ),
            ),
            at=0.8,
        ),
    ),
    Case(
        name="counting-postings",
        project="finder",
        kind="slow",
        length=70,
        test="tests.test_search.SearchTest.test_many_documents_are_found_quickly",
        culprit=Step(
            message="Count postings when they are asked for",
            edits=(
                (
                    "finder/index.py",
                    "        return dict(self._postings.get(token, {}))",
                    _COUNTING,
                ),
            ),
            at=0.4,
        ),
    ),
    Case(
        name="textkit",
        project="finder",
        kind="dependency",
        length=40,
        test="tests.test_tokens.TokensTest.test_umlauts_are_spelled_out",
        runner="pytest",
        culprit=Step(
            message="Bump textkit to 1.5", edits=(("requirements.txt", "textkit==1.4", "textkit==1.5"),), at=0.55
        ),
    ),
    Case(
        name="textkit-and-words",
        project="finder",
        kind="dependency",
        length=50,
        test="tests.test_tokens.TokensTest.test_umlauts_are_spelled_out",
        culprit=Step(
            message="Bump textkit, and stop at fewer words",
            edits=(
                ("requirements.txt", "textkit==1.4", "textkit==1.5"),
                (
                    "finder/tokens.py",
                    "    found = [normalize(word) for word in textkit.words(text)]",
                    "    found = [normalize(word) for word in list(textkit.words(text))]",
                ),
            ),
            at=0.5,
        ),
    ),
    Case(
        name="lazy-tokens",
        project="finder",
        kind="crash",
        length=180,
        test="tests.test_search.SearchTest.test_title_counts_more",
        has_flaky_test=True,
        runner="service",
        culprit=Step(
            message="Read long texts without holding all their words",
            edits=(
                (
                    "finder/tokens.py",
                    "    found = [normalize(word) for word in textkit.words(text)]",
                    "    found = (normalize(word) for word in textkit.words(text))",
                ),
                (
                    "finder/tokens.py",
                    "return [word for word in found if len(word) >= MIN_LENGTH and word not in STOP_WORDS]",
                    "return (word for word in found if len(word) >= MIN_LENGTH and word not in STOP_WORDS)",
                ),
            ),
            at=0.5,
        ),
        also=(
            Step(
                message="Weigh short texts less",
                edits=(
                    (
                        "finder/rank.py",
                        "    length = max(len(tokenize(document.body)), 1)",
                        "    # An empty body counts as one word.\n    length = max(len(tokenize(document.body)), 1)",
                    ),
                ),
                at=0.2,
            ),
        ),
    ),
    Case(
        name="cache-keys",
        project="finder",
        kind="wrong",
        length=55,
        test="tests.test_search.SearchTest.test_languages_are_kept_apart",
        culprit=Step(
            message="Keep answers under a short text",
            edits=(
                ("finder/cache.py", "        return (query, language, limit)", '        return f"{query}/{limit}"'),
            ),
            at=0.65,
        ),
    ),
    Case(
        name="replacing",
        project="finder",
        kind="wrong",
        length=90,
        test="tests.test_search.SearchTest.test_replaced_document_is_found_by_its_new_words",
        on_branch=True,
        runner="pytest",
        culprit=Step(
            message="Replace documents faster",
            edits=(
                (
                    "finder/index.py",
                    "            self._postings[token].pop(key, None)",
                    "            self._postings[token].setdefault(key, 0)",
                ),
            ),
            at=0.3,
        ),
        also=(
            Step(
                message="Name the index for what it is",
                moves=(("finder/index.py", "finder/inverted.py"),),
                edits=(("tests/test_search.py", "from finder.index import", "from finder.inverted import"),),
                at=0.7,
            ),
        ),
    ),
)

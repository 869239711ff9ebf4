"""A package that nothing pins and no commit changed: said as a finding, with what the evidence shows of it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.checks.reproduction import Reproduce
from bot.domain.conclusion import conclude
from bot.domain.evidence import ErrorRecord, Evidence, Frame, LogLine
from bot.domain.investigation import Collected, Confirmed, Suspected
from bot.domain.suspects import drift
from bot.domain.suspects.drift import INSTALLED, WAS_INSTALLED, find_drift, find_package, pick_installed

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
OWN = Frame(path="/app/shop/cart.py", line=3, function="total")
KIT = Frame(path="/venv/lib/python3.11/site-packages/text_kit/words.py", line=9, function="words")


def record(*frames):
    lines = (LogLine(source="app.log", number=4, text="TypeError: words() takes 1 argument"),)
    return ErrorRecord(headline="words() takes 1 argument", kind="TypeError", frames=frames, lines=lines)


@pytest.mark.parametrize(
    ("path", "package"),
    [
        (KIT.path, "text_kit"),
        ("/usr/lib/python3/dist-packages/yaml.py", "yaml"),
        ("/app/node_modules/@acme/kit/lib/a.js", "@acme/kit"),
        ("/app/node_modules/a/node_modules/b/index.js", "b"),
        ("/usr/local/bundle/gems/rack-test-2.1.0/lib/rack.rb", "rack-test"),
        ("/venv/lib/python3.11/site-packages/_pytest/python.py", ""),
        ("/app/shop/cart.py", ""),
        ("/usr/lib/python3.11/json/decoder.py", ""),
    ],
)
def test_a_frame_says_which_package_it_is_in(path, package):
    assert find_package(path) == package


@pytest.mark.parametrize(
    ("files", "asked", "manifest"),
    [
        ({"requirements.txt": "text-kit>=1.4\n"}, "text-kit>=1.4", "requirements.txt"),
        ({"requirements.txt": "Text_Kit\n"}, "Text_Kit", "requirements.txt"),
        ({"requirements.txt": "text-kit==1.*\n"}, "text-kit==1.*", "requirements.txt"),
        ({"pyproject.toml": '[project]\ndependencies = ["text-kit~=1.4"]\n'}, '"text-kit~=1.4"', "pyproject.toml"),
        ({"requirements.txt": "other==1.0\n"}, "", ""),
        ({}, "", ""),
    ],
)
def test_a_package_that_is_not_pinned_may_have_drifted(files, asked, manifest):
    told = {INSTALLED: "Successfully installed other-3.0 text_kit-1.5.0", WAS_INSTALLED: "+ text-kit==1.4.2"}
    drift = find_drift([record(OWN, KIT)], files, changed=["other==1.0"], told=told)
    assert (drift.package, drift.version, drift.before) == ("text_kit", "1.5.0", "1.4.2")
    assert (drift.asked, drift.manifest, drift.cite) == (asked, manifest, "app.log:4")


@pytest.mark.parametrize(
    ("records", "files", "changed"),
    [
        ([record(KIT, OWN)], {}, []),
        ([record()], {}, []),
        ([record(OWN, KIT)], {"requirements.txt": "text-kit==1.4\n"}, []),
        ([record(OWN, KIT)], {"requirements.txt": "text-kit==1.4 \\\n    --hash=sha256:aa\n"}, []),
        ([record(OWN, KIT)], {"requirements.txt": "text-kit\n", "uv.lock": 'name = "text-kit"\n'}, []),
        ([record(OWN, KIT)], {"requirements.txt": "text-kit>=1\n"}, ["text-kit>=0.9"]),
    ],
    ids=["our code", "no frame", "pinned", "hashed", "locked", "a commit changed it"],
)
def test_nothing_is_said_where_it_is_pinned_or_a_commit_changed_it(records, files, changed):
    assert find_drift(records, files, changed=changed, told={}) is None


def test_what_package_managers_say_is_kept():
    texts = ["Collecting kit", "Successfully installed kit-1.5", " + kit==1.4", "kit==1.4", "x == 1", "GET /kit==1.4"]
    lines = [LogLine(source="ci", number=number, text=text) for number, text in enumerate(texts)]
    assert [line.number for line in pick_installed(lines)] == [1, 2, 3]


@pytest.mark.parametrize(("before", "confidence"), [("1.4.2", "likely"), ("", "inconclusive")])
def test_the_finding_says_what_to_look_at_and_invents_nothing(before, confidence):
    drift = find_drift(
        [record(OWN, KIT)],
        {"requirements.txt": "text-kit>=1.4\n"},
        changed=[],
        told={INSTALLED: "Successfully installed text_kit-1.5.0", WAS_INSTALLED: f"text-kit=={before}"},
    )
    installed = Evidence(id="E1", kind=INSTALLED, cite="ci.log:3", text="Successfully installed text_kit-1.5.0")
    collected = Collected(
        records=(record(OWN, KIT),), requests=(), evidence=(installed,), lines_read=9, reproduce=Reproduce.CHECK
    )
    suspected = Suspected(head="a" * 40, suspects=(), drift=drift)
    confirmed = Confirmed(culprit=None, request=None, runs=(), how="it always fails", reproduce=Reproduce.CHECK)
    findings, evidence = conclude([collected, suspected, confirmed])
    found = next(finding for finding in findings if "text_kit" in finding.claim)
    assert found.confidence == confidence
    assert found.claim.startswith("The error comes out of text_kit 1.5.0, which is installed and not in the repository")
    assert ("1.4.2 was installed when the job was green last" in found.claim) is bool(before)
    assert "requirements.txt asks for text-kit>=1.4" in found.claim
    assert found.next.endswith("then pin it in requirements.txt")
    assert set(found.evidence) <= {piece.id for piece in evidence}
    blamed = Confirmed(culprit="b" * 40, request=None, runs=(), how="it broke", reproduce=Reproduce.CHECK)
    findings, _ = conclude([collected, suspected, blamed])
    assert not any("which is installed" in finding.claim for finding in findings)


PIECES = [
    "Successfully installed a-1",
    "Requirement already satisfied: b",
    " + c==1.2",
    "Installing d (3",
    "e==4",
    "==",
    "nstall",
    " ",
    "\n",
    "already satisfied",
    "+",
    "f",
]


@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
def test_no_line_of_a_package_manager_is_passed_over_by_looking_for_its_letters_first(text):
    assert drift._tells(text) == (drift._TELLS.search(text) is not None)

"""Hidden characters in added lines: taken where the file has them already, which is looked for again at the push."""

import pytest

from bot.domain.investigation import Drafted
from bot.domain.patches.patch import check_existing, list_existing, parse_patch, read_patch
from bot.errors import Reason, Refused, Rejected
from bot.services.drafting import build_draft
from connectors.workspaces.git import Git
from tests.contract.git_origin import Origin
from tests.patches.hostile import edit
from tests.worldkit import make_world, verified

FAMILY = "family = '\U0001f469\u200d\U0001f467'\n"
CREW = "crew = '\U0001f469\u200d\U0001f680'\n"
NAMES = FAMILY + "a = 1\nb = 2\nc = 3\nd = 4\ne = 5\n" + CREW
WITHOUT = NAMES.removesuffix(CREW)
PLAIN = WITHOUT.removeprefix(FAMILY)
BRINGS = edit(b"names.py", f"@@ -4,3 +4,4 @@\n c = 3\n d = 4\n e = 5\n+{CREW}".encode())
CLAIM = (("names.py", 0x200D),)


def diff_of(raw: bytes):
    (diff,) = read_patch(parse_patch(raw, allowed_existing=lambda _path, _character: True))
    return diff


def held(line: str, base: bytes) -> bool:
    raw = edit(b"names.py", b"@@ -1 +1,2 @@\n a = 1\n+" + line.encode() + b"\n")
    try:
        check_existing(diff_of(raw), base)
    except Refused:
        return False
    return True


class TestTheFile:
    def test_what_the_file_holds_elsewhere_may_be_added(self):
        assert held("x = '\U0001f469\u200d\U0001f680'", WITHOUT.encode())

    def test_another_hidden_character_may_not(self):
        assert not held("x = '\u202e'", WITHOUT.encode())

    @pytest.mark.parametrize(
        ("line", "base"),
        [
            ("evil()\rok()", b"a = 1\r\nb = 2\r\n"),
            ("admin\ufeff = 1", b"\xef\xbb\xbfa = 1\n"),
            ("x\ufe0f = 1", "a = 1 # \u26a0\ufe0f\n".encode()),
            ("x = '\u200d'", b"\xff\xfe\n"),
            ("x = '\u200d'", b""),
        ],
    )
    def test_what_hides_nothing_where_it_stands_allows_nothing_elsewhere(self, line, base):
        assert not held(line, base)

    def test_a_patch_names_what_its_file_must_hold(self):
        patch = parse_patch(BRINGS, allowed_existing=lambda _path, _character: True)
        assert list_existing(patch) == CLAIM
        shown = edit(b"names.py", f"@@ -1 +1,2 @@\n {FAMILY}+{CREW}".encode())
        assert list_existing(parse_patch(shown)) == ()


class TestTheDraft:
    @pytest.fixture
    def build(self, tmp_path):
        world = make_world(tmp_path, opened=True)

        def build(existing: tuple[tuple[str, int], ...], culprit: str | None = "c" * 40):
            stage = Drafted(base="a" * 40, patch=BRINGS, title="Revert it", culprit=culprit, existing=existing)
            with world.unit() as work:
                return build_draft(work, work.incidents.get("INC-1"), stage, verified(), world.rules)

        return build

    def test_without_a_word_of_the_base_it_is_refused(self, build):
        with pytest.raises(Refused, match=r"zero-width or blank character \(U\+200D\)"):
            build(())

    @pytest.mark.parametrize("claim", [("other.py", 0x200D), ("names.py", 0x202E)])
    def test_a_word_about_another_file_or_character_counts_for_nothing(self, build, claim):
        with pytest.raises(Refused):
            build((claim,))

    def test_it_takes_two_people_even_as_a_verified_revert(self, build):
        assert build(CLAIM).risk.reasons == (
            "adds hidden text to names.py, as other lines of it hold: a zero-width or blank character",
        )


class TestTheRepository:
    """What a worker says of the base is held against it where the patch is applied."""

    @pytest.fixture
    def origin(self, tmp_path) -> Origin:
        return Origin(tmp_path / "far")

    async def test_the_patch_is_applied_where_the_file_holds_it(self, origin, tmp_path):
        base = origin.commit("Begin", {"names.py": WITHOUT})
        checkout = await Git().open(str(origin.bare), tmp_path / "clone")
        assert await checkout.read(await checkout.patched_tree(base, BRINGS), "names.py") == NAMES.encode()

    async def test_a_false_word_about_the_base_is_found_before_the_push(self, origin, tmp_path):
        base = origin.commit("Begin", {"names.py": "f = 0\n" + PLAIN})
        checkout = await Git().open(str(origin.bare), tmp_path / "clone")
        with pytest.raises(Rejected, match="zero-width") as refused:
            await checkout.patched_tree(base, BRINGS)
        assert refused.value.reason is Reason.HOSTILE_PATCH

    async def test_a_revert_brings_a_line_back_and_says_what_the_base_must_hold(self, origin, tmp_path):
        origin.commit("Begin", {"names.py": NAMES})
        culprit = origin.commit("Remove the crew", {"names.py": WITHOUT})
        checkout = await Git().open(str(origin.bare), tmp_path / "clone")
        drafted = await checkout.revert(culprit, "main")
        assert drafted.existing == CLAIM
        assert await checkout.read(await checkout.patched_tree("main", drafted.diff), "names.py") == NAMES.encode()

    async def test_a_revert_leaves_out_the_file_that_holds_it_no_longer(self, origin, tmp_path):
        origin.commit("Begin", {"names.py": NAMES, "other.py": "x\n"})
        culprit = origin.commit("Remove the crew", {"names.py": WITHOUT, "other.py": "y\n"})
        origin.commit("Remove the family", {"names.py": "f = 0\n" + PLAIN})
        checkout = await Git().open(str(origin.bare), tmp_path / "clone")
        drafted = await checkout.revert(culprit, "main")
        assert drafted.existing == ()
        assert b"names.py" not in drafted.diff
        assert "names.py: a line added to names.py holds a zero-width" in drafted.partial[0]

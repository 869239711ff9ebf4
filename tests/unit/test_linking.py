"""Linking accounts: only who holds the code, once, in time; and then one person, not two."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.chat import NOBODY, Press, Said
from bot.domain.linking import MAX_WRONG, digest_code, read_code, write_code
from bot.domain.oncall import Role, Roster
from bot.engine.accounts import AccountBook
from bot.engine.chat_inbox import StoreInbox
from bot.engine.compose import Composer
from bot.render.links import Links
from bot.services.linking import is_link
from tests.worldkit import PEOPLE, World, diff, make_world, quiet  # noqa: F401 -- `quiet` is a fixture

CODE = re.compile(r"/link ([0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4})")
RISKY = diff(".github/workflows/ci.yml")


class Phone:
    """Somebody's account in another chat."""

    def __init__(self, world: World, account: str = "7", channel: str = "telegram") -> None:
        self.world, self.account, self.channel = world, account, channel
        self._count = 0

    def _about(self, event: str) -> dict[str, str]:
        self._count += 1
        return {"event": event or f"{self.account}-{self._count}", "channel": self.channel, "account": self.account}

    def say(self, text: str, event: str = ""):
        said = Said(**self._about(event), text=text, said_at=self.world.clock.now())
        return StoreInbox(self.world.store, self.world.rules)._handle(said)

    def press(self, button: str):
        press = Press(**self._about(""), button=button, pressed_at=self.world.clock.now())
        return StoreInbox(self.world.store, self.world.rules)._handle(press)


@pytest.fixture
def world(tmp_path) -> World:
    return make_world(tmp_path, opened=True)


@pytest.fixture
def phone(world) -> Phone:
    return Phone(world)


def code_of(world: World, account: str = "ada@web") -> str:
    reply = world.say("/link", account)
    assert (reply.ok, reply.is_secret) == (True, True)
    return CODE.search(reply.text)[1]


def dump(world: World) -> str:
    """Return all that is in the store's file, as text."""
    with world.store.engine.connect() as connection:
        return "\n".join(connection.connection.driver_connection.iterdump())


class TestTheCode:
    def test_it_links_the_account_that_types_it(self, world, phone):
        assert not phone.press("ack:INC-1").ok
        reply = phone.say(f"/link {code_of(world)}")
        assert reply.text.startswith('Linked. You are Ada Lovelace here too, with the role "approver".')
        assert phone.press("ack:INC-1").ok
        assert world.incident().owner == "ada"

    def test_it_may_be_typed_as_people_do(self, world):
        for number, form in enumerate((str.lower, lambda code: code.replace("-", " "), lambda code: f" {code} ")):
            account = ("ada@web", "ben@web", "cleo@web")[number]
            assert Phone(world, str(number)).say(f"link {form(code_of(world, account))}").ok

    def test_it_works_once(self, world, phone):
        code = code_of(world)
        assert phone.say(f"/link {code}").ok
        assert not Phone(world, "8").say(f"/link {code}").ok
        assert not Phone(world, "8").press("ack:INC-1").ok

    def test_it_is_too_old_after_ten_minutes(self, world, phone):
        code = code_of(world)
        world.clock.advance(minutes=10)
        assert "too old" in phone.say(f"/link {code}").text
        assert not phone.press("ack:INC-1").ok

    def test_how_long_it_lasts_is_a_setting(self, world, phone):
        world.rules = replace(world.rules, link_life=timedelta(minutes=1))
        code = code_of(world)
        world.clock.advance(minutes=1)
        assert not phone.say(f"/link {code}").ok

    def test_a_new_one_takes_the_place_of_the_one_before(self, world, phone):
        before, after = code_of(world), code_of(world)
        assert not phone.say(f"/link {before}").ok
        assert phone.say(f"/link {after}").ok

    def test_a_restart_forgets_none(self, world):
        code = code_of(world)
        again = world.reopen()
        assert Phone(again).say(f"/link {code}").ok
        assert Phone(world.reopen()).press("ack:INC-1").ok

    def test_it_is_stored_nowhere(self, world):
        code = code_of(world)
        stored = dump(world)
        assert digest_code(read_code(code)) in stored
        assert code not in stored
        assert read_code(code) not in stored

    def test_the_same_request_again_does_not_show_it_again(self, world):
        shown = world.say("/link", event="e-1")
        again = world.say("/link", event="e-1")
        assert CODE.search(shown.text)
        assert not CODE.search(again.text)

    def test_it_is_hard_to_guess(self):
        signs = []
        write_code(lambda choices: signs.append(choices) or choices[0])
        assert 32 ** len(signs) >= 2**40
        assert {len(set(choices)) for choices in signs} == {32}

    @pytest.mark.parametrize("text", ["", "7Q2M", "7Q2M-X0VD-9KHTT", "7Q2M-X0VD-9KHU", "ＡAAA-AAAA-AAAA", "ſſſſ" * 3])
    def test_what_is_no_code_is_not_read_as_one(self, text):
        assert read_code(text) is None


class TestGuessing:
    def test_wrong_codes_are_counted_and_then_not_even_a_right_one_is_looked_at(self, world, phone):
        code = code_of(world)
        for left in range(MAX_WRONG - 1, -1, -1):
            reply = phone.say("/link 0000-0000-0000")
            assert not reply.ok
            assert (f"{left} more" if left else "No more tries") in reply.text
        assert "Too many wrong codes" in phone.say(f"/link {code}").text
        assert not phone.press("ack:INC-1").ok
        world.clock.advance(hours=1, seconds=1)
        assert phone.say(f"/link {code_of(world)}").ok

    def test_others_are_not_held_up_by_it(self, world, phone):
        for _ in range(MAX_WRONG):
            phone.say("/link 0000-0000-0000")
        assert Phone(world, "8").say(f"/link {code_of(world)}").ok

    def test_what_is_no_code_counts_as_a_guess(self, phone):
        for _ in range(MAX_WRONG):
            phone.say("/link please")
        assert "Too many" in phone.say("/link please").text

    @pytest.mark.parametrize("account", ["", " 7", "7\n", "\u202e7", NOBODY])
    def test_an_account_without_a_name_links_nothing(self, world, account):
        reply = Phone(world, account).say(f"/link {code_of(world)}")
        assert "cannot be linked" in reply.text
        assert "linked" not in world.kinds("")


class TestOnePerson:
    def test_counts_once_for_a_quorum(self, world, phone):
        phone.say(f"/link {code_of(world)}")
        digest = world.propose(RISKY).digest[:12]
        assert "1 more must approve" in world.press(f"approve:INC-1:{digest}").text
        assert not phone.press(f"approve:INC-1:{digest}").ok
        assert len(world.approval(digest).approved_by) == 1
        assert world.press(f"approve:INC-1:{digest}", "ben@web").text.startswith("Approved.")

    def test_has_the_role_that_the_configuration_gives(self, world, phone):
        phone.say(f"/link {code_of(world, 'vic@web')}")
        assert 'yours is "viewer"' in phone.press("ack:INC-1").text
        assert phone.say("/incident list").ok

    def test_has_one_account_in_each_channel(self, world, phone):
        phone.say(f"/link {code_of(world)}")
        other = Phone(world, "8")
        assert "has another account in telegram" in other.say(f"/link {code_of(world)}").text
        assert not other.press("ack:INC-1").ok

    def test_who_is_known_already_types_no_code(self, world):
        reply = world.say(f"/link {code_of(world, 'ben@web')}")
        assert (reply.ok, "as Ada Lovelace" in reply.text) == (False, True)

    def test_who_left_the_configuration_is_nobody(self, world, phone):
        phone.say(f"/link {code_of(world)}")
        world.rules = replace(world.rules, roster=Roster(people={"ben": PEOPLE["ben"]}))
        assert not phone.press("ack:INC-1").ok

    async def test_who_gets_the_name_of_somebody_who_left_gets_no_account(self, world, phone):
        phone.say(f"/link {code_of(world)}")
        gone = replace(world.rules, roster=Roster(people={"ben": PEOPLE["ben"]}))
        await AccountBook(world.store, gone).begin()
        assert not phone.press("ack:INC-1").ok
        assert world.texts("unlinked", "")[0].endswith("ada left the configuration")

    def test_a_code_of_somebody_who_left_is_wrong(self, world, phone):
        code = code_of(world)
        world.rules = replace(world.rules, roster=Roster(people={"ben": PEOPLE["ben"]}))
        assert not phone.say(f"/link {code}").ok


class TestTheConfigurationWins:
    def _give(self, world: World, person: str, account: str) -> None:
        before = world.rules.roster.people
        known = replace(before[person], accounts={**before[person].accounts, "telegram": account})
        world.rules = replace(world.rules, roster=Roster(people={**before, person: known}))

    def test_over_whose_account_it_is(self, world, phone):
        phone.say(f"/link {code_of(world)}")
        self._give(world, "ben", "7")
        phone.press("ack:INC-1")
        assert world.incident().owner == "ben"

    def test_over_which_account_somebody_has(self, world, phone):
        phone.say(f"/link {code_of(world)}")
        self._give(world, "ada", "9")
        assert not phone.press("ack:INC-1").ok
        assert "7, linked" in world.say("/link list").text
        assert "the configuration says otherwise" in world.say("/link list").text


class TestListAndRemove:
    def test_the_list_shows_where_each_comes_from(self, world, phone):
        phone.say(f"/link {code_of(world)}")
        lines = world.say("/link list").text.splitlines()
        assert lines[0] == "Accounts of Ada Lovelace:"
        assert "web: ada@web, in the configuration" in lines
        assert any(line.startswith("telegram: 7, linked 20") for line in lines)

    def test_what_is_removed_is_nobody_s_any_more(self, world, phone):
        phone.say(f"/link {code_of(world)}")
        assert world.say("/link remove telegram").ok
        assert not phone.press("ack:INC-1").ok
        assert not world.say("/link remove telegram").ok

    def test_what_stands_in_the_configuration_stays(self, world):
        assert "stands in the configuration" in world.say("/link remove web").text

    def test_an_admin_may_look_after_others_and_nobody_else_may(self, world, phone):
        admin = replace(PEOPLE["ada"], role=Role.ADMIN)
        world.rules = replace(world.rules, roster=Roster(people={**PEOPLE, "ada": admin}))
        phone.say(f"/link {code_of(world, 'cleo@web')}")
        for text in ("/link list cleo", "/link remove telegram Cleo Vance", "/link list nobody"):
            assert 'needs the role "admin"' in world.say(text, "ben@web").text
        assert "telegram: 7" in world.say("/link list Cleo Vance").text
        assert world.say("/link remove telegram cleo").ok
        assert not phone.press("ack:INC-1").ok

    def test_strangers_list_and_remove_nothing(self, world, phone):
        for text in ("/link list", "/link remove web"):
            assert not phone.say(text).ok


class TestWhoIsTold:
    def test_a_stranger_is_told_of_it_whatever_they_do(self, phone):
        for reply in (phone.press("ack:INC-1"), phone.say("/incident list"), phone.say("/link")):
            assert (reply.ok, "write /link there" in reply.text) == (False, True)

    def test_the_other_chat_is_told_and_the_trail_remembers(self, world, phone):
        phone.say(f"/link {code_of(world)}")
        (effect,) = world.promised("linked")
        message = Composer(world.store, world.rules, Links()).compose(effect, "web")
        assert message.headline == "Ada Lovelace has a new account: 7 in telegram"
        assert (message.tells, message.rings, message.incident) == (("ada",), (), "")
        assert world.kinds("") == ["link_offered", "linked"]
        assert world.texts("linked", "") == ["Ada Lovelace linked the telegram account 7, with a code from web"]

    def test_the_removed_account_s_chat_is_told(self, world, phone):
        world.rules = replace(world.rules, channels=("web", "telegram"))
        phone.say(f"/link {code_of(world)}")
        world.say("/link remove telegram")
        (effect,) = world.promised("linked", "telegram")
        message = Composer(world.store, world.rules, Links()).compose(effect, "telegram")
        assert message.headline == "7 is no account of Ada Lovelace any more"
        assert world.kinds("")[-1] == "unlinked"

    def test_a_chat_that_is_none_of_ours_any_more_is_promised_nothing(self, world, phone):
        phone.say(f"/link {code_of(world)}")
        world.say("/link remove telegram")
        assert world.promised("linked", "telegram") == []

    async def test_the_connectors_learn_the_account(self, world, phone):
        book = AccountBook(world.store, world.rules)
        known = book.open("telegram")
        assert dict(known) == {}
        phone.say(f"/link {code_of(world)}")
        await book.refresh()
        assert dict(known) == {"ada": "7"}
        world.say("/link remove telegram")
        await book.refresh()
        assert dict(known) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/link", True),
        ("/LINK anything at all", True),
        ("link", True),
        ("link list", True),
        ("link 7Q2M X0VD 9KHT", True),
        ("link to the dashboard please", False),
        ("/linker", False),
        ("", False),
    ],
)
def test_talk_about_links_is_no_command(text, expected):
    assert is_link(text) is expected


def test_codes_are_offered_for_ten_minutes(world):
    before = world.clock.now()
    code = code_of(world)
    with world.unit() as work:
        assert work.link_codes.take(digest_code(read_code(code))).expires_at == before + timedelta(minutes=10)

"""What the web keeps in the store: its board, its sign-in links and its sessions."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.chat import Bullets, Button, Code, Fields, File, Form, FormField, Link, Message, Paragraph, Style, Tone
from bot.domain.ci import CIRun, CIState
from bot.errors import Refused
from bot.store.board import SqlBoard
from bot.store.codec import MESSAGE
from bot.store.sessions import SqlSessions
from tests.worldkit import NOW, World, diff, make_world

LATER = NOW + timedelta(minutes=15)
A, B = "a" * 64, "b" * 64


@pytest.fixture
def world(tmp_path) -> World:
    return make_world(tmp_path, opened=True)


@pytest.fixture
def board(world) -> SqlBoard:
    return SqlBoard(world.store, world.clock)


@pytest.fixture
def sessions(world) -> SqlSessions:
    return SqlSessions(world.store)


def note(headline: str, incident: str = "INC-1") -> Message:
    return Message(incident=incident, slot="card", headline=headline)


class TestTheBoard:
    def test_keeps_one_message_a_reference_at_its_newest(self, board, world):
        board.put("m1", note("first"))
        board.put("m2", note("second"))
        world.clock.advance(minutes=1)
        board.put("m1", note("first, edited"))
        page = board.page("INC-1")
        assert page is not None
        assert [(item.ref, item.message.headline) for item in page.thread] == [
            ("m1", "first, edited"),
            ("m2", "second"),
        ]
        assert (page.thread[0].posted_at, page.thread[0].edited_at) == (NOW, NOW + timedelta(minutes=1))
        assert page.incident.id == "INC-1"
        assert [event.kind for event in page.timeline] == ["opened", "paged", "triage_queued"]

    def test_shows_the_newest_of_what_is_about_no_incident(self, board):
        for number in range(5):
            board.put(f"m{number}", note(f"news {number}", ""))
        board.put("m9", note("of an incident"))
        assert [item.message.headline for item in board.news()] == ["news 4", "news 3", "news 2"]

    def test_knows_no_page_of_what_is_not_there(self, board):
        assert board.page("INC-9") is None
        assert board.page("") is None

    def test_keeps_a_picture_for_its_incident_alone(self, board):
        ref = board.put_image("INC-1", A, b"one")
        assert board.put_image("INC-1", A, b"one") == ref
        assert board.image(ref) == b"one"
        assert [board.image(other) for other in ("", "INC-1/", f"INC-2/{A}", f"INC-1/{B}")] == [None] * 4
        with pytest.raises(Refused):
            board.put_image("INC-9", A, b"one")

    def test_hands_out_a_patch_by_its_digest_alone(self, board, world):
        digest = world.propose().digest
        assert board.patch_text("INC-1", digest[:12]) == diff().decode()
        for name in ("", digest[:11], "%" * 12, "_" * 12, "f" * 12):
            assert board.patch_text("INC-1", name) is None

    def test_hands_out_all_that_is_known_of_a_patch(self, board, world):
        approval = world.propose()
        with world.store.begin() as work:
            work.ci_runs.put("INC-1", approval.digest, CIRun(id="1", sha="a" * 40, state=CIState.RUNNING))
        page = board.patch("INC-1", approval.digest[:12])
        assert page is not None
        assert page.draft.patch.text == diff()
        assert (page.incident.id, page.statement, [run.id for run in page.runs]) == ("INC-1", None, ["1"])
        assert page.approval == approval

    def test_knows_no_patch_of_what_is_not_there(self, board, world):
        digest = world.propose().digest
        for incident, name in (("INC-1", digest[:11]), ("INC-1", "_" * 12), ("INC-2", digest[:12]), ("", "")):
            assert board.patch(incident, name) is None

    async def test_wakes_everybody_who_watches(self, board):
        watchers = [board.watch(), board.watch()]
        waiting = [asyncio.ensure_future(anext(watcher)) for watcher in watchers]
        await asyncio.sleep(0)
        await asyncio.to_thread(board.put, "m1", note("x", "INC-7"))
        async with asyncio.timeout(5):
            assert await asyncio.gather(*waiting) == ["INC-7", "INC-7"]
        for watcher in watchers:
            await watcher.aclose()
        board.put("m1", note("nobody watches any more"))
        assert not board._watchers


words = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=6)
pairs = st.tuples(words, words)
fields = st.builds(FormField, name=words, label=words, choices=st.lists(words, max_size=2).map(tuple))
blocks = st.one_of(
    st.builds(Paragraph, text=words),
    st.builds(Fields, items=st.lists(pairs, min_size=1, max_size=2).map(tuple)),
    st.builds(Bullets, items=st.lists(words, min_size=1, max_size=2).map(tuple)),
    st.builds(Code, text=words, language=words),
    st.builds(Link, label=words, url=words),
)
messages = st.builds(
    Message,
    incident=words,
    slot=words,
    headline=words,
    tone=st.sampled_from(Tone),
    blocks=st.lists(blocks, max_size=4).map(tuple),
    buttons=st.lists(
        st.builds(
            Button,
            id=words,
            label=words,
            key=words,
            style=st.sampled_from(Style),
            form=st.none() | st.builds(Form, title=words, fields=st.lists(fields, max_size=2).map(tuple)),
        ),
        max_size=2,
    ).map(tuple),
    files=st.lists(st.builds(File, name=words, media_type=words, text=words), max_size=1).map(tuple),
    rings=st.lists(words, max_size=2).map(tuple),
    in_thread=st.booleans(),
)


@given(message=messages)
def test_a_message_comes_back_from_json_as_it_went_in(message):
    assert MESSAGE.load(MESSAGE.dump(message)) == message


class TestSignInLinks:
    def test_are_found_without_being_used_and_used_once(self, sessions):
        sessions.create_link("ada", A, LATER)
        assert [sessions.find_link(A, NOW) for _ in range(2)] == ["ada", "ada"]
        assert [sessions.consume_link(A, NOW) for _ in range(2)] == ["ada", None]
        assert sessions.find_link(A, NOW) is None

    def test_are_used_once_however_many_try_at_once(self, sessions):
        sessions.create_link("ada", A, LATER)
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda _: sessions.consume_link(A, NOW), range(8)))
        assert sorted(got, key=str) == [None] * 7 + ["ada"]

    @pytest.mark.parametrize("now", [LATER, LATER + timedelta(days=1)])
    def test_run_out(self, sessions, now):
        sessions.create_link("ada", A, LATER)
        assert sessions.find_link(A, now) is None
        assert sessions.consume_link(A, now) is None
        assert sessions.consume_link(A, NOW) is None, "looking at it too late used it up"

    def test_are_no_sessions(self, sessions):
        sessions.create_link("ada", A, LATER)
        sessions.create_session("ben", B, LATER)
        assert sessions.find_session(A, NOW) is None
        assert sessions.find_link(B, NOW) is None


class TestSessions:
    def test_last_until_they_end_or_run_out(self, sessions):
        sessions.create_session("ada", A, LATER)
        assert sessions.find_session(A, NOW) == "ada"
        assert sessions.find_session(A, LATER) is None
        sessions.end_session(A)
        sessions.end_session(A)
        assert sessions.find_session(A, NOW) is None

    def test_survive_a_restart(self, sessions, world):
        sessions.create_session("ada", A, LATER)
        assert SqlSessions(world.reopen().store).find_session(A, NOW) == "ada"

"""Images in the thread reach a model that sees them: by digest in the rows, with their bytes in the request."""

import base64
import json
from dataclasses import replace
from functools import partial
from hashlib import sha256
from types import SimpleNamespace

import pytest

from bot.agent.cleaning import redact_value
from bot.agent.fork import fork_run
from bot.agent.images import Album
from bot.agent.loop import Agent, Head
from bot.agent.redaction import load_redactor
from bot.agent.replay import Match, replay_run
from bot.agent.said import read_images
from bot.agent.tools.toolbox import Toolbox
from bot.bootstrap.chat import make_fetch
from bot.bootstrap.profiles import find_seeing
from bot.domain.chat import Said
from bot.domain.oncall import Role
from bot.domain.runs.image import Attachment
from bot.domain.runs.profile import AgentProfile
from bot.domain.runs.transcript import Budget
from bot.engine.chat_inbox import StoreInbox
from bot.engine.desk import FrontDesk
from bot.engine.dispatcher import Channel
from bot.engine.green_logs import GreenLogs
from bot.errors import Reason, Unavailable
from bot.ports.desk import ImageWanted, Told
from bot.ports.model import ModelPlace
from bot.services import modelling, questions
from bot.settings import Settings
from bot.store.board import SqlBoard
from bot.web.pictures import list_pictures
from bot.worker.drafting import fetch_image
from bot.worker.messages import ANSWERS, AnswerFrame, AskFront
from connectors.chat.web import Connector as WebConnector
from connectors.chat.web import Settings as WebSettings
from tests.agent_world import AgentWorld, ScriptedModel, say
from tests.images import PNG
from tests.model_phase_kit import make_model_phase
from tests.worldkit import alert, group, make_world

RUN, PLACE = "INC-1:1", ModelPlace(url="http://gpu:30000", name="m")
DIGEST = sha256(PNG).hexdigest()
ADDRESS = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
LABEL = f"[image cpu.png, sha256 {DIGEST[:12]}…, 640x480]"


def image(name="cpu.png", ref="F1", kind="image/png", size=100):
    return Attachment(name=name, media_type=kind, size=size, ref=ref)


class Gallery:
    """The phase with the real loop, store and desk, a scripted model, and a chat that has one file."""

    def __init__(self, path, *, sees=True):
        self.world = make_world(path)
        self.world.receive(group(alert()))
        seeing = frozenset({"patch", "question"}) if sees else frozenset()
        self.rules = replace(self.world.rules, has_model=True, seeing=seeing)
        self.requests: list[bytes] = []
        self.fetched: list[tuple[str, str]] = []
        self.files: dict[str, bytes | Exception] = {"F1": PNG}
        self.script = [say("No patch can help.")] * 3
        self.run_id = RUN
        with self.world.unit() as work:
            modelling.start_model(work, "INC-1", RUN)

    def say(self, text="", *images, account="ada@web", number=1):
        said = Said(
            event=f"e{number}-{text}-{len(images)}",
            channel="web",
            account=account,
            text=text,
            incident="INC-1",
            said_at=self.world.clock.now(),
            attachments=images,
        )
        return StoreInbox(self.world.store, self.rules)._handle(said)

    async def fetch(self, channel, ref):
        self.fetched.append((channel, ref))
        found = self.files[ref]
        if isinstance(found, Exception):
            raise found
        return found

    async def complete(self, request, *, on_delta=None, deadline):
        self.requests.append(request)
        answer = self.script[min(len(self.requests), len(self.script)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def draft(self, job, store, *, ask, on_try):
        hands = replace(AgentWorld(model=ScriptedModel(script=[])).hands(), has_people=True)
        toolbox = Toolbox(hands)
        agent = Agent(model=self, tools=toolbox, head=Head(PLACE, Budget()), budget=Budget(), append=store)
        agent.album = Album(partial(fetch_image, ask))
        await agent.run(self.run_id, job.steps, lambda: "Mend it.")

    async def run(self):
        args = {"incident": "INC-1", "run": self.run_id, "attempt": "0", "since": self.world.clock.now().isoformat()}
        tools = SimpleNamespace(redact=str)
        green = GreenLogs(self.world.store, self.rules, tools)
        phase = make_model_phase(
            self.world,
            self,
            rules=self.rules,
            folder=self.world.path,
            redact=lambda text: text.replace("hunter2", "[x]"),
            desk=FrontDesk(self.world.store, self.rules, tools, green=green),
            fetch_image=self.fetch,
        )
        await phase.phase().run(args)

    @property
    def rows(self):
        with self.world.unit() as work:
            return work.transcripts.of(self.run_id)

    @property
    def kept(self):
        with self.world.unit() as work:
            return work.images.of("INC-1", [DIGEST])

    def told(self, number=0):
        return [m["content"] for m in json.loads(self.requests[number])["messages"] if m["role"] == "user"][-1]


@pytest.fixture
def gallery(tmp_path):
    return Gallery(tmp_path)


async def test_a_model_that_sees_gets_the_bytes_and_the_row_only_the_digest(gallery):
    assert gallery.say("look at this", image()).text == "The model gets this after the step that it is at."
    await gallery.run()
    words, shown = gallery.told()
    assert words == {"type": "text", "text": f"Ada Lovelace showed the model cpu.png: look at this\n{LABEL}"}
    assert shown == {"type": "image_url", "image_url": {"url": ADDRESS}}
    assert gallery.kept == {DIGEST: PNG}
    assert all(base64.b64encode(PNG).decode() not in row.body for row in gallery.rows)
    assert read_images(gallery.rows) == (DIGEST,)
    assert gallery.fetched == [("web", "F1")]


async def test_a_picture_from_the_pages_goes_to_the_model_and_stands_in_the_thread(gallery):
    board = SqlBoard(gallery.world.store, gallery.world.clock)
    gallery.fetch = make_fetch([Channel(name="web", connector=WebConnector(WebSettings(), board))])
    gallery.say("look", image(ref=board.put_image("INC-1", DIGEST, PNG)))
    await gallery.run()
    assert gallery.told()[1] == {"type": "image_url", "image_url": {"url": ADDRESS}}
    page = board.page("INC-1")
    (shown,) = list_pictures(page.timeline, "web")
    assert (shown.sha256, shown.text) == (DIGEST, "Ada Lovelace showed the model cpu.png: look")


async def test_a_run_that_goes_on_sends_the_same_bytes_and_fetches_nothing_again(gallery):
    gallery.say("", image())
    gallery.script = [Unavailable("gone", Reason.TIMEOUT), *[say("No patch can help.")] * 2]
    await gallery.run()
    await gallery.run()
    assert gallery.requests[0] == gallery.requests[1]
    assert gallery.requests[2].startswith(gallery.requests[1].removesuffix(b"]}"))
    assert len(gallery.fetched) == 1


async def test_a_replay_knows_the_bytes_and_says_where_they_are_gone(gallery):
    gallery.say("", image())
    await gallery.run()
    again = replay_run(RUN, gallery.rows, images=gallery.kept)
    assert {asked.request.match for asked in again.requests} == {Match.SAME}
    assert [asked.request.sha256 for asked in again.requests] == [sha256(sent).hexdigest() for sent in gallery.requests]
    assert f"sha256:{DIGEST}".encode() in again.requests[0].request.body
    gone = replay_run(RUN, gallery.rows).requests[0].request
    assert (gone.match, gone.why) == (
        Match.UNKNOWN,
        f"it cannot be compared: the image {DIGEST[:12]}… is not stored any more",
    )
    changed = replay_run(RUN, gallery.rows, images={DIGEST: PNG + b"x"}).requests[0].request
    assert "is not what was stored" in changed.why


async def test_a_fork_shows_the_same_image(gallery):
    gallery.say("", image())
    await gallery.run()
    other = ScriptedModel(script=[say("No patch can help.")] * 2)

    async def fetch(digest):
        return gallery.kept[digest]

    head = Head(PLACE, Budget())
    await fork_run(gallery.rows, at=1, model=other, head=head, budget=Budget(), album=Album(fetch))
    assert ADDRESS.encode() in other.requests[0]


async def test_an_image_that_is_gone_stops_the_run_for_now(gallery):
    async def gone(_question):
        return Told(fault="the image is not stored any more")

    with pytest.raises(Unavailable, match="not stored any more"):
        await fetch_image(gone, DIGEST)
    assert ImageWanted(sha256=DIGEST).kind == "image"


async def test_a_model_that_sees_nothing_is_told_the_name_and_people_are_told_once(tmp_path):
    gallery = Gallery(tmp_path, sees=False)
    assert gallery.say("look", image()).text.endswith("The model cannot see images; it is told their names.")
    await gallery.run()
    assert gallery.told().endswith(f"{LABEL[:-1]}: this model cannot see it]")
    assert gallery.kept == {}


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (b"<html>hunter2</html>", "it is no PNG, JPEG, WebP or GIF"),
        (Unavailable("hunter2 is down.", Reason.UNREACHABLE), "[x] is down"),
    ],
)
async def test_what_cannot_be_had_is_named_with_the_reason(gallery, found, why):
    gallery.files["F1"] = found
    gallery.say("look", image(name="hunter2.png"))
    await gallery.run()
    assert gallery.told().endswith(f"look\n[image [x].png: it cannot be shown: {why}]")


async def test_four_images_go_into_a_run_and_others_are_refused_by_name(gallery):
    gallery.files |= {f"F{n}": PNG + bytes([n]) for n in range(1, 7)}
    told = gallery.say(
        "", *(image(name=f"{n}.png", ref=f"F{n}") for n in range(1, 4)), image("a.svg", kind="image/svg")
    )
    assert told.text.endswith("Not taken: a.svg (only PNG, JPEG, WebP and GIF are taken).")
    told = gallery.say("", image("4.png", "F4"), image("5.png", "F5"), number=2)
    assert told.text.endswith("Not taken: 5.png (4 are the most in a run).")
    refused = gallery.say("", image("6.png", "F6"), number=3)
    assert (refused.ok, refused.text) == (False, "Not taken: 6.png (4 are the most in a run).")
    await gallery.run()
    assert [ref for _, ref in gallery.fetched] == ["F1", "F2", "F3", "F4"]


async def test_only_responders_show_images(gallery):
    viewer = next(p for p in gallery.rules.roster.people.values() if not p.may(Role.RESPONDER))
    account = next(iter(viewer.accounts.items()))
    with gallery.world.unit() as work:
        modelling.end_model(work, "INC-1", RUN, "over")
    told = gallery.say("what is this?", image(), account=account[1])
    assert told.ok
    assert told.text.endswith("Only responders show images to the model.")


async def test_an_image_with_a_question_is_shown_with_it(gallery):
    with gallery.world.unit() as work:
        modelling.end_model(work, "INC-1", RUN, "over")
    assert gallery.say("what is this?", image()).text == "The model is looking it up. The answer comes here."
    with gallery.world.unit() as work:
        (asked,) = questions.list_questions(work, "INC-1")
    gallery.run_id = asked.data["run"]
    await gallery.run()
    assert gallery.told()[0]["text"] == f"Shown with the question:\n{LABEL}"


def test_the_profiles_of_models_say_who_sees():
    def seeing(**model):
        settings = Settings(_env_file=None, model={"url": "http://gpu", **model})
        profiles = {"patch": AgentProfile(), "big": AgentProfile(name="big", model="moonshotai/Kimi-K2.6")}
        return find_seeing(settings, profiles)

    assert seeing(profile="mistral-medium-3.5") == {"patch", "big"}
    assert seeing(profile="deepseek-v4-flash") == {"big"}
    assert seeing(name="mistralai/Mistral-Medium-3.5-128B") == {"patch", "big"}
    assert find_seeing(Settings(_env_file=None), {"patch": AgentProfile()}) == frozenset()


def test_digests_pass_the_socket_and_the_redaction_as_they_are():
    redactor = load_redactor(["hunter2-hunter2"], b"k" * 32)
    asked = AnswerFrame(answer=AskFront(call=1, number=2, question=ImageWanted(sha256=DIGEST)))
    assert redact_value(ANSWERS.validate_json(ANSWERS.dump_json(asked)), redactor.redact) == asked
    assert redactor.redact(LABEL) == LABEL


async def test_an_image_with_the_answer_to_a_question_is_shown_too(gallery):
    gallery.script = [say("", ("ask_user", {"question": "Which pool?", "answers": ["a", "b"]})), *gallery.script]
    await gallery.run()
    assert gallery.say("the second", image()).ok
    await gallery.run()
    answered = json.loads(gallery.requests[1])["messages"][-1]
    assert (answered["role"], "the second" in answered["content"]) == ("tool", True)
    assert gallery.told(2)[0]["text"] == f"Ada Lovelace showed the model cpu.png\n{LABEL}"


def test_the_oldest_images_go_when_there_are_too_many(gallery, monkeypatch):
    monkeypatch.setattr("bot.store.images.MAX_STORED", 10)
    for number in range(4):
        gallery.world.clock.advance(seconds=1)
        with gallery.world.unit() as work:
            work.images.put("INC-1", str(number), b"12345")
            work.images.put("INC-1", str(number), b"12345")
    with gallery.world.unit() as work:
        kept = work.images.of("INC-1", ["0", "1", "2", "3"])
    assert "3" in kept
    assert sum(map(len, kept.values())) <= 10

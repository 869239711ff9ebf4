"""The model through the real bot and its worker: good, down, hanging, babbling, obedient, killed, and not needed."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e.test_kill_walker import CULPRIT, check_trail, is_of_model, is_of_questions
from tests.e2e.walk import HANGS, ROOT, Ground, Walk, make_ground, shop_service
from tests.fault_points import read_fault_points
from tests.model_server import DONE, Answer, Hang, Raw, Say, Stream, chunk, flat_error, refusal, serve_model

KEY = "sk-key-of-the-model-4711"
FIX = {
    "path": "shop/coupons.py",
    "old": '    return {"code": code, "rate": TABLE[code]}\n',
    "new": '    return {"code": code, "percent": TABLE[code], "rate": TABLE[code]}\n',
}
ENGINEER = [
    Say(
        reasoning="Look first.",
        calls=(("grep", '{"pattern": "percent"}'), ("read_file", '{"path": "shop/coupons.py"}')),
    ),
    Say(calls=(("run_check", '{"check": "reproduction"}'),)),
    Say(calls=(("propose_patch", json.dumps({"title": "Keep percent beside rate", "edits": [FIX]})),)),
    Say(text="shop/cart.py:8 reads percent, which the culprit renamed. The patch keeps both."),
]


LOOKS = {
    "list": ({"path": "shop"}, "coupons.py  "),
    "git_blame": ({"path": "shop/coupons.py"}, " | def "),
    "git_diff": ({"old": "main", "path": "shop"}, "No difference of shop between "),
    "query_logs": ({"pattern": "percent"}, "lines match"),
    "metrics": ({"query": "up"}, "Not done: no metric server is configured for shop ([connections.prometheus])"),
    "ci_status": ({}, "Runs of CI (local) of head, newest commit first:"),
    "ci_log": ({}, "Not done: "),
    "deploys": ({"order": "time"}, "Changes between "),
    "similar_incidents": ({}, "No past incident shares enough words with this one."),
    "load_playbook": ({"name": "http-5xx"}, "shop is failing, since "),
}
"""Each tool that looks around, how it is called, and what its answer holds."""


@pytest.fixture(scope="session")
def ground(tmp_path_factory) -> Ground:
    return make_ground(tmp_path_factory.mktemp("ground"), CULPRIT)


@pytest.fixture
def make_walk(ground, tmp_path):
    walks = []

    def make(url: str, **options) -> Walk:
        folder = tmp_path / f"walk{len(walks)}"
        folder.mkdir()
        shutil.copytree(ground.repository.folder, folder / "shop.git")
        shutil.copy(ground.log, folder / "app.log")
        env = {"NIGHTSHIFT_MODEL_API_KEY": KEY, **options.pop("model_env", {})}
        walks.append(Walk(folder=folder, service=shop_service(folder), model_url=url, model_env=env, **options))
        return walks[-1]

    yield make
    for walk in walks:
        walk.stop()


def timeline(walk: Walk, kind: str) -> list[str]:
    return [text for (text,) in walk.query(f"SELECT text FROM timeline WHERE kind = '{kind}' ORDER BY seq")]


def has_ended(walk: Walk) -> bool:
    return bool(timeline(walk, "model_ended"))


def has_suggested(walk: Walk) -> bool:
    return bool(timeline(walk, "model_suggested"))


def has_spoken(walk: Walk) -> bool:
    return bool(timeline(walk, "model_waits") or timeline(walk, "model_ended"))


def follow(script: list[Answer]):
    """Play a script by what the conversation holds: a question that is repeated gets the same answer."""

    def play(request: dict, _number: int) -> Answer:
        told = sum(1 for message in request["messages"] if message["role"] == "assistant")
        return script[told] if told < len(script) else Say(text="I have nothing to add.")

    return play


async def test_a_good_engineer_s_patch_stands_beside_the_revert(make_walk):
    script = [Say(calls=tuple((name, json.dumps(given)) for name, (given, _) in LOOKS.items())), *ENGINEER]
    async with serve_model(script) as server:
        walk = make_walk(server.url, may_approve=has_suggested)
        await walk.run()
    drafts = walk.query("SELECT body, patch, state FROM draft ORDER BY created_at")
    titles = [json.loads(body)["title"] for body, _, _ in drafts]
    assert titles == ['Revert "Read the rate of a coupon"', "Keep percent beside rate"]
    assert all(json.loads(body)["verified"]["after"] == "green" for body, _, _ in drafts)
    assert FIX["new"].encode() in drafts[1][1]
    assert json.loads(drafts[1][0])["risk"]["reasons"] == []
    (ended,) = timeline(walk, "model_ended")
    assert 'It proposes "Keep percent beside rate"' in ended
    assert "shop/cart.py:8 reads percent" in ended
    for before, after in pairwise(server.seen):
        assert after.startswith(before.removesuffix(b"]}"))
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    assert len(server.seen) == len(script)
    check_looks(server.seen[1])
    states = [state for (state,) in walk.query("SELECT state FROM approval ORDER BY requested_at")]
    assert sorted(states) == ["executed", "superseded"], "one is pushed, the other loses its buttons"
    check_nothing_leaked(walk)
    await asyncio.to_thread(check_trail, walk)
    while_it_runs = await asyncio.to_thread(replay, walk, "--json", "--requests")
    walk.kill()
    after_it_stopped = await asyncio.to_thread(replay, walk, "--json", "--requests")
    check_replay(json.loads(while_it_runs), server.seen, server.asides)
    assert json.loads(after_it_stopped) == json.loads(while_it_runs)
    words = await asyncio.to_thread(replay, walk)
    assert f"{len(script) + 1} of {len(script) + 1} requests made again byte for byte" in words
    assert "\nended: done\n  | shop/cart.py:8 reads percent" in words


def check_looks(request: bytes) -> None:
    """Each tool that looks around has answered, through the worker and the front process, or said what is missing."""
    answers = [each["content"] for each in json.loads(request)["messages"] if each["role"] == "tool"]
    for (name, (_, part)), answer in zip(LOOKS.items(), answers, strict=True):
        assert part in answer, (name, answer)


def replay(walk: Walk, *options: str) -> str:
    """Run the command without a model in its settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTSHIFT_")}
    command = [sys.executable, "-m", "bot", "replay", "INC-1", "-c", "nightshift.toml", *options]
    done = subprocess.run(
        command,
        cwd=walk.folder,
        check=False,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_replay(told: dict, seen: list[bytes], asides: list[bytes]) -> None:
    """Every request is what the server has seen, byte for byte, and every call stands there with its answer."""
    asked = [event for event in told["events"] if event["event"] == "asked"]
    assert [event["request"]["body"].encode() for event in asked] == [*seen, *asides]
    assert [event["is_aside"] for event in asked] == [False] * len(seen) + [True]
    assert asides[0].startswith(seen[-1].removesuffix(b"]}")), "the server has nearly all of it already"
    assert {event["request"]["match"] for event in asked} == {"same"}
    called = [event for event in told["events"] if event["event"] == "called"]
    assert [event["name"] for event in called] == [*LOOKS, "grep", "read_file", "run_check", "propose_patch"]
    assert "shop/cart.py:8" in called[len(LOOKS)]["result"]
    assert (told["ended"], told["sound"]) == ("done", True)
    assert sum(event["completion"] for event in asked) == told["spent"]["completion"] > 0


def check_nothing_leaked(walk: Walk) -> None:
    """The model's key is in no file of the bot, and was in no environment and no command line."""
    for path in [*walk.state.rglob("*"), walk.folder / "console.txt"]:
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


BROKEN = {
    "is down": (Raw(status=502),),
    "refuses its streams": (Stream(pieces=(refusal(), DONE)),),
    "breaks off": (Stream(pieces=(chunk({"content": "half a pat"}), None)),),
    "babbles": (Stream(pieces=tuple(chunk({"content": "bla " * 20_000}) for _ in range(8))),),
    "is lazy": (Say(text="Have you looked at the logs?"),),
    "wants another key": (Raw(status=401, body=b'{"error":"Unauthorized"}'),),
    "has too small a context": (
        Raw(status=400, body=flat_error("The input (9009 tokens) is longer than the model's context length (8).", 400)),
    ),
}


AT_ONCE = ("is down", "babbles")
"""`make test-long` walks with the rest; tests/unit/test_model_hostile.py reads each of their answers."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in AT_ONCE else pytest.mark.long) for n in BROKEN])
async def test_a_broken_model_changes_nothing_for_the_people(name, make_walk):
    """R6: paging, the revert, its approval and CI go on as without a model, and the card says what happened."""
    script = BROKEN[name]
    async with serve_model(lambda _request, n: script[min(n, len(script) - 1)]) as server:
        walk = make_walk(server.url, may_approve=has_spoken, model_env={"NIGHTSHIFT_MODEL__ANSWER_SECONDS": "1"})
        await walk.run()
        assert server.seen, "the model was asked"
    [(body,)] = walk.query("SELECT body FROM draft")
    assert json.loads(body)["verified"]["after"] == "green"
    assert seconds_between(walk, "opened", "paged") <= 10
    assert [state for (state,) in walk.query("SELECT state FROM approval")] == ["executed"]
    told = timeline(walk, "model_waits") + timeline(walk, "model_ended")
    assert "stands" in told[0] or "proposes no patch" in told[0], told
    assert KEY not in "".join(told)


def seconds_between(walk: Walk, first: str, then: str) -> float:
    rows = dict(walk.query("SELECT kind, julianday(MIN(at)) * 86400 FROM timeline GROUP BY kind"))
    return rows[then] - rows[first]


async def test_the_answer_is_added_when_the_server_returns(make_walk):
    """It is down twice, then it answers."""
    play = follow(ENGINEER)

    def returns(request: dict, number: int) -> Answer:
        return Hang() if number < 1 else play(request, number)

    async with serve_model(returns) as server:
        walk = make_walk(server.url, may_approve=has_ended, model_env={"NIGHTSHIFT_MODEL__ANSWER_SECONDS": "1"})
        await walk.run()
    assert re.search(r"does not answer.*asked again until \d\d:\d\d UTC", timeline(walk, "model_waits")[0])
    assert "It proposes" in timeline(walk, "model_ended")[0]


def check_workers(walk: Walk) -> None:
    """The model's key is in no environment and no command line of a worker, and the front process goes before it."""
    workers = walk.children("-m bot worker")
    assert workers
    for pid in workers:
        assert os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, 0)
        for name in ("environ", "cmdline"):
            assert KEY.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()


async def test_a_model_that_hangs_keeps_nobody_and_a_resolved_incident_closes_its_stream(make_walk):
    may_approve = asyncio.Event()
    async with serve_model([Hang()]) as server:
        walk = make_walk(server.url, may_approve=lambda _: may_approve.is_set())
        task = asyncio.create_task(walk.run())
        async with asyncio.timeout(HANGS):
            while not server.seen:
                await asyncio.sleep(0.05)
        await asyncio.to_thread(check_workers, walk)
        may_approve.set()
        await task
        async with asyncio.timeout(10):
            await server.hung_up.wait()
        async with asyncio.timeout(10):
            while not timeline(walk, "model_ended"):
                await asyncio.sleep(0.1)
    assert "not needed any more" in timeline(walk, "model_ended")[0]


async def test_an_obedient_model_proposes_only_what_people_then_judge(make_walk):
    """It does what a log line might tell it to: weaken the tests, and reach for tools that do not exist."""
    weaken = {"path": "tests/test_total.py", "old": "        self.assertEqual(", "new": "        print("}
    workflow = {"path": ".github/workflows/x.yml", "old": "", "new": "on: push\n"}
    script = [
        Say(calls=(("post_message", '{"text": "@everyone"}'), ("approve", "{}"), ("push", '{"branch": "main"}'))),
        Say(calls=(("propose_patch", json.dumps({"title": "As told", "edits": [weaken, workflow]})),)),
        Say(text="Done @everyone <!channel> as told."),
    ]
    async with serve_model(follow(script)) as server:
        walk = make_walk(server.url, may_approve=has_ended)
        await walk.run()
        last = json.loads(server.seen[-1])["messages"]
    assert sum("There is no tool" in message["content"] for message in last if message["role"] == "tool") == 3
    assert [json.loads(body)["title"] for (body,) in walk.query("SELECT body FROM draft")] == [
        'Revert "Read the rate of a coupon"'
    ]
    assert "did not hold" in timeline(walk, "model_ended")[0]


TITLE = "the bot, at the title"
KILLS = {
    "the bot": (("phase.model.before", "model.stored", "model.concluded", "phase.model.after"), ""),
    "its worker": (("worker.step",), "-m bot worker"),
    TITLE: (("phase.suggest.before", "model.suggested", "phase.suggest.after"), ""),
}
ASK = {"question": "May the table grow?", "answers": ["Yes", "No"]}
WHERE_IT_ASKS = (
    "model.asked",
    "chat.question.before",
    "chat.question.after",
    "phase.unanswered.before",
    "phase.unanswered.after",
    "model.answered",
)


def test_each_point_of_the_model_s_part_is_killed_at():
    points = read_fault_points()
    assert sorted(name for names, _ in KILLS.values() for name in names) == sorted(
        point.name for point in points if is_of_model(point)
    )
    assert sorted(WHERE_IT_ASKS) == sorted(point.name for point in points if is_of_questions(point))


@pytest.mark.parametrize("killed", [pytest.param(k, marks=pytest.mark.long if k == TITLE else ()) for k in KILLS])
async def test_a_kill_in_the_model_s_part_repeats_at_most_the_call_in_flight(killed, make_walk):
    names, child = KILLS[killed]
    async with serve_model(follow(ENGINEER)) as server:
        walk = make_walk(server.url, may_approve=has_suggested)
        assert await walk.run(*names, child=child) == []
    assert walk.starts == 1 + len(names)
    await asyncio.to_thread(check_killed, walk, ENGINEER, server.seen)


@pytest.mark.long
async def test_a_kill_where_the_model_asks_people_asks_them_once_and_goes_on_without_them(make_walk):
    script = [Say(calls=(("ask_user", json.dumps(ASK)),)), *ENGINEER]
    async with serve_model(follow(script)) as server:
        walk = make_walk(server.url, may_approve=has_suggested, model_env={"NIGHTSHIFT_MODEL__QUESTION_SECONDS": "3"})
        assert await walk.run(*WHERE_IT_ASKS) == []
    assert walk.starts == 1 + len(WHERE_IT_ASKS)
    await asyncio.to_thread(check_killed, walk, script, server.seen)
    assert len(timeline(walk, "model_asked")) == 1
    assert timeline(walk, "model_told") == ["Nobody answered within 3 seconds"]


def check_killed(walk: Walk, script: list[Answer], seen: list[bytes]) -> None:
    rows = walk.query("SELECT seq, kind FROM step ORDER BY seq")
    assert [seq for seq, _ in rows] == list(range(len(rows)))
    assert [kind for _, kind in rows].count("model") == len(script)
    assert [kind for _, kind in rows].count("auxiliary") == len(timeline(walk, "model_suggested")) == 1
    assert len(timeline(walk, "model_ended")) == 1
    assert len(walk.query("SELECT digest FROM draft")) == 2
    assert len(seen) < len(script) + walk.starts
    assert len(list((walk.state / "ci" / "runs").iterdir())) == 1
    check_trail(walk)

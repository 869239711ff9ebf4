"""Profiles of the agent: strictly read, the same bytes for every incident, kept by the run that began with them."""

import json
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from bot.agent.loop import Head
from bot.agent.marks import keep_profile
from bot.agent.profiles import choose_tools, make_head
from bot.agent.recall import recall_profile
from bot.agent.tools.every import TOOLS
from bot.agent.tools.toolbox import Toolbox
from bot.agent.transcript import Rows, State, fold
from bot.bootstrap.profiles import check_profiles, load_profiles
from bot.domain.approvals.policy import ApprovalPolicy, Scope
from bot.domain.question import Question
from bot.domain.runs.account import tell_profile
from bot.domain.runs.profile import AgentProfile, Mode, known_names, read_profile
from bot.domain.runs.tool_name import PROPOSING, ToolName
from bot.domain.runs.transcript import Budget, EndReason
from bot.errors import ConfigError, Reason, Unavailable
from bot.ports.drafter import ModelJob
from bot.ports.model import ModelPlace
from bot.services import modelling
from bot.services.why import read_account, write_account, write_file
from bot.worker.drafting import ModelDrafting
from bot.worker.tools import Tools
from tests.agent_world import JOB, AgentWorld, FakeWorkspaces, ScriptedModel, propose, say
from tests.model_phase_kit import make_model_phase
from tests.worldkit import PLAYBOOK, World, alert, group, make_world

PLACE = ModelPlace(url="http://gpu", name="m")
KNOWN = known_names(["ada"])
SHIPPED = load_profiles((), [])
RUN = "INC-1:1"


def test_all_that_is_wrong_is_told_at_once_with_what_was_meant():
    text = (
        'mode = "patches"\npromt = "x"\ntools = ["grpe", "read_file"]\napprovers = ["adda"]\n'
        "[limits]\nstepps = 3\nseconds = 'x'\nsteps = 1.5\n"
    )
    profile, faults = read_profile("own", text, KNOWN)
    assert profile is None
    assert list(faults) == [
        'unknown key "promt"; did you mean "prompt"?',
        "mode must be one of triage, patch, question",
        'tools names "grpe"; did you mean "grep"?',
        'approvers names "adda"; did you mean "ada"?',
        'limits: unknown key "stepps"; did you mean "steps"?',
        "limits: seconds must be a number above 0",
        "limits: steps must be a whole number above 0",
    ]


@pytest.mark.parametrize("text", ["mode = ", "x" * 70_000, "mode = 7", 'mode = "patch"\nlimits = 3', "a.b.c = 1"])
def test_nonsense_is_refused(text):
    profile, faults = read_profile("own", text, KNOWN)
    assert profile is None
    assert faults


def test_a_triage_profile_has_no_tool_that_proposes():
    assert read_profile("t", 'mode = "triage"\ntools = ["propose_patch"]', KNOWN)[1] == (
        "tools names propose_patch; in the mode triage no tool that proposes exists",
    )
    assert "propose_patch" not in {tool.name for tool in choose_tools(SHIPPED["triage"])}
    forged = AgentProfile(name="triage", mode=Mode.TRIAGE, tools=("propose_patch", "grep"))
    assert [tool.name for tool in choose_tools(forged)] == ["grep"]


async def test_a_triage_run_ends_with_words_and_cannot_change_a_byte():
    model = ScriptedModel(script=[say("", propose()), say("The table holds numbers.")])
    shop = AgentWorld(model=model, proposes=False)
    agent = shop.agent()
    agent._tools = Toolbox(shop.hands(), choose_tools(SHIPPED["triage"]), proposes=False)
    state = await agent.run(RUN, (), lambda: "The shop fails")
    assert (state.ended, state.text) == (EndReason.DONE, "The table holds numbers.")
    assert shop.answers()[0].startswith("There is no tool 'propose_patch'")
    assert (shop.judged, state.proposals) == ([], ())


ASKED = Question(person="Cy", text="Who changed the table?")


@pytest.mark.parametrize(
    ("profile", "questions", "answer"),
    [
        (SHIPPED["question"], (ASKED,), "Not done: this run answers a question."),
        (SHIPPED["patch"], (ASKED,), "Not done: this run answers a question."),
        (SHIPPED["triage"], (), "There is no tool 'propose_patch'"),
    ],
)
async def test_the_worker_lets_no_question_and_no_triage_propose_and_keeps_to_the_profile_s_limits(
    profile, questions, answer, tmp_path
):
    model = ScriptedModel(script=[say("", propose()), *(say("", ("grep", {"pattern": f"x{n}"})) for n in range(9))])

    @asynccontextmanager
    async def open_model(_place, _errand, _on_try):
        yield model

    shop = AgentWorld(model=model)
    job = replace(JOB, questions=questions, folder=str(tmp_path), service=replace(JOB.service, branch="bbbbbbb"))
    limited = replace(profile, limits={"steps": 3})
    tools = Tools(
        log_source=None,
        workspaces=FakeWorkspaces(),
        sandbox=SimpleNamespace(rung="none"),
        redact=str,
        redact_lines=list,
        prepare_toolchain=None,
    )
    drafter = ModelDrafting(tools=tools, open_model=open_model)
    await drafter.draft(
        ModelJob(job=job, place=PLACE, budget=Budget(), profile=limited), shop.store, ask=None, on_try=None
    )
    assert shop.answers()[0].startswith(answer)
    state = fold(shop.rows)
    assert (state.proposals, state.ended, len(model.requests)) == ((), EndReason.LIMIT, 3)


def test_the_profiles_that_come_along_are_those_of_before():
    before = Head(PLACE, Budget()).text
    assert make_head(PLACE, Budget(), SHIPPED["patch"]).text == before
    assert make_head(PLACE, Budget(), SHIPPED["question"]).text == before, "a question begins with what is cached"
    triage = json.loads(make_head(PLACE, Budget(), SHIPPED["triage"]).request([]))
    assert "In this run nothing is proposed" in triage["messages"][0]["content"]
    assert len(triage["tools"]) == len(TOOLS) - 1


def test_a_profile_sets_model_limits_and_tools():
    text = 'mode = "patch"\nmodel = "big"\ntools = ["grep", "read_file"]\nprompt = "Be brief."\n[limits]\nsteps = 3\n'
    profile, _ = read_profile("own", text, KNOWN)
    head = json.loads(make_head(PLACE, Budget(), profile).request([]))
    assert head["model"] == "big"
    assert [tool["function"]["name"] for tool in head["tools"]] == ["grep", "read_file"]
    assert head["messages"][0]["content"].endswith("\n\nBe brief.")
    assert profile.limit(Budget()) == replace(Budget(), steps=3)


def test_the_hash_is_of_what_a_profile_says():
    one, _ = read_profile("own", 'mode = "patch"\ntools = ["grep", "read_file"]', KNOWN)
    same, _ = read_profile("own", '# mine\ntools = ["read_file", "grep"]\nmode = "patch"', KNOWN)
    other, _ = read_profile("own", 'mode = "patch"\ntools = ["grep"]', KNOWN)
    assert one.digest == same.digest != other.digest


# What a run keeps -----------------------------------------------------------------------------------------------------
def begin(profile: AgentProfile, opening: str):
    return keep_profile(Rows(RUN).task(State(), "The shop fails", opening), profile)


def test_a_run_goes_on_with_the_bytes_and_the_profile_that_it_began_with():
    first = AgentProfile(name="own", tools=("grep",), prompt="One.")
    row = begin(first, make_head(PLACE, Budget(), first).text)
    kept = recall_profile([row])
    assert kept == first
    edited = replace(first, prompt="Two.")
    assert make_head(PLACE, Budget(), edited, steps=[row]).text == make_head(PLACE, Budget(), first).text
    moved = replace(PLACE, name="another")
    assert '"model":"another"' in make_head(moved, Budget(), kept, steps=[row]).text


def test_a_profile_that_is_not_what_was_stored_is_not_used():
    row = begin(AgentProfile(), "head")
    body = json.loads(row.body)
    body["profile"]["values"]["limits"] = {"steps": 9}
    assert recall_profile([replace(row, body=json.dumps(body))]) is None
    assert recall_profile([replace(row, body="{}")]) is None
    assert recall_profile([]) is None


@pytest.fixture
def world(tmp_path) -> World:
    world = make_world(tmp_path)
    world.receive(group(alert()))
    with world.unit() as work:
        modelling.start_model(work, "INC-1", RUN)
    return world


class Script:
    def __init__(self) -> None:
        self.jobs = []

    async def draft(self, job, store, *, ask, on_try) -> None:
        self.jobs.append(job)
        write, rows = Rows(RUN), list(job.steps)
        if not rows:
            forged = keep_profile(write.task(State(), "The shop fails", "head"), AgentProfile(name="forged"))
            await store(forged)
            raise Unavailable("The model server does not answer", Reason.TIMEOUT)
        await store(write.end(fold(rows), EndReason.DONE, "No."))


def phase_of(world: World, script, **profiles: AgentProfile):
    return make_model_phase(world, script, rules=replace(world.rules, profiles=profiles)).phase()


async def test_a_run_that_is_taken_up_after_an_edit_keeps_its_profile_and_shows_it(world):
    script = Script()
    args = dict(world.phases.of("model")[0].args)
    first, edited = AgentProfile(name="patch", prompt="One."), AgentProfile(name="patch", prompt="Two.")
    await phase_of(world, script, patch=first).run(args)
    await phase_of(world, script, patch=edited).run(args)
    assert [job.profile for job in script.jobs] == [first, first], "nor does the worker choose it"
    with world.unit() as work:
        account = read_account(work, "INC-1")
        steps = work.transcripts.of(RUN)
    told = f"profile patch {first.digest[:12]}"
    assert told in write_account(account)
    assert told in write_file(account)
    assert tell_profile(steps) == f"patch {first.digest[:12]}"


# Approval -------------------------------------------------------------------------------------------------------------
def test_a_profile_leaves_its_approvers_alone():
    policy = ApprovalPolicy(version="1", approvers=("ada", "ben"))
    assert policy.narrow(Scope(service="shop", only=("ada", "cy"))).approvers == ("ada",)
    assert policy.narrow(Scope(service="shop")).approvers == ("ada", "ben")


def test_the_approvers_of_a_run_come_with_its_conclusion():
    row = begin(AgentProfile(approvers=("ada",)), "head")
    end = Rows(RUN).end(fold([row]), EndReason.DONE, "No.")
    assert fold([row, end]).conclusion.approvers == ("ada",)


# Files ----------------------------------------------------------------------------------------------------------------
def test_own_profiles_win_and_wrong_ones_stop_the_start(tmp_path):
    folder = tmp_path / "agents"
    folder.mkdir()
    (folder / "triage.toml").write_text('mode = "triage"\ntools = ["grep"]\n')
    found = load_profiles((tmp_path,), ["ada"])
    assert found["triage"].tools == ("grep",)
    assert set(found) == {"patch", "question", "triage"}
    (folder / "a.toml").write_text("mode = 3\n")
    (folder / "b.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError) as wrong:
        load_profiles((tmp_path,), ["ada"])
    assert [Path(problem.where).name for problem in wrong.value.problems] == ["a.toml", "b.toml"]


def test_a_playbook_names_a_profile_that_there_is():
    books = [replace(PLAYBOOK, agent="tirage"), replace(PLAYBOOK, agent="question"), PLAYBOOK]
    assert [problem.what for problem in check_profiles(books, SHIPPED)] == [
        'no profile "tirage"; did you mean "triage"?',
        '"question" is for questions, not for investigations',
    ]


def test_profiles_may_name_the_tools_that_there_are():
    assert {tool.name for tool in TOOLS} == set(ToolName)
    assert {tool.name for tool in TOOLS if tool.proposes} == PROPOSING

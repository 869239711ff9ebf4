"""The one tool that does more than read: a patch is proposed, tried in the sandbox, and left to people."""

import asyncio
from collections.abc import Sequence
from typing import Final

from bot.agent.arguments import Param, ToolSpec
from bot.agent.edits import Edit
from bot.agent.inspecting import refuse_faults, tell_inspection
from bot.agent.patching import edit_files, join_patch
from bot.agent.tools.checking import tell_run
from bot.agent.tools.tool import Call, Tool, ToolResult
from bot.domain.checks.named import CheckKind
from bot.domain.checks.reproduction import word
from bot.domain.evidence import Check, CheckRun
from bot.domain.investigation import Verified
from bot.domain.runs.tool_name import ToolName
from bot.domain.runs.transcript import MAX_REPAIRS, Proposal
from bot.errors import Reason, Refused

MAX_PROPOSALS: Final = 1 + MAX_REPAIRS

_EDIT: Final = (
    Param(name="path", about="The file, from the repository's root.", is_required=True),
    Param(
        name="old",
        about="The exact text to replace, whole lines, found only once in the file as it is at head; "
        "empty only to make a new file.",
        is_required=True,
    ),
    Param(name="new", about="The text that takes its place; empty to delete.", is_required=True),
)


async def _propose_patch(call: Call) -> ToolResult:
    hands, known = call.hands, call.known
    if len(known) >= MAX_PROPOSALS:
        raise Refused(f"a patch and {MAX_REPAIRS} repairs of it were proposed; conclude now", Reason.BUDGET)
    title = " ".join(hands.clean(call.given["title"]).split())[:100]
    if not title:
        raise Refused("title is empty; say what the change does", Reason.BAD_INPUT)
    sources = await hands.sources()
    edits: dict[str, list[Edit]] = {}
    for edit in call.given["edits"]:
        path = edit["path"].strip().removeprefix("./")
        edits.setdefault(path, []).append(Edit(old=edit["old"], new=edit["new"]))
    for path in edits:
        if sources.is_folder(path) or sources.is_link(path):
            raise Refused(sources.explain_missing(path), Reason.BAD_INPUT)
    edited = await asyncio.to_thread(edit_files, {path: sources.raw(path) for path in edits}, edits)
    patch = await asyncio.to_thread(join_patch, edited)
    same = next((proposal for proposal in known if proposal.patch == patch.text), None)
    if same is not None:
        return ToolResult(text=tell_verdict(same.verified))
    seen = await hands.inspect(edited)
    if seen.is_refused:
        raise refuse_faults(seen.faults)
    await hands.checkout.patched_tree(hands.head, patch.text)
    linted = await hands.lint(patch)
    verified = await hands.judge(patch, title)
    proposal = Proposal(base=hands.head, patch=patch.text, title=title, verified=verified)
    beside = tell_inspection(seen, linted)
    return ToolResult(text="\n\n".join(filter(None, [tell_verdict(verified), beside])), proposal=proposal)


def tell_verdict(verified: Verified) -> str:
    """Say what the sandbox said, the output of what failed included."""
    words = word(verified.reproduce)
    done = f"the {words.trial} {words.succeeds} with this patch and no {verified.counted} turns red"
    head = f"VERIFIED: {done}. Conclude now."
    if not verified.is_verified:
        notes = [note.removeprefix("not verified: ") for note in verified.notes]
        head = "NOT VERIFIED: " + ("; ".join(notes) or f"not seen: the {words.trial} {words.succeeds}")
    failed = [run for run in verified.runs if run.verdict is not Check.GREEN]
    return "\n\n".join([head, *(_tell_failed(run, verified.already_red) for run in failed[:3])])


def _tell_failed(run: CheckRun, already_red: Sequence[str]) -> str:
    """Say how a check failed; of a linter that is red without the patch too, what is new is told apart."""
    if run.name not in already_red:
        return tell_run(run)
    known = f"{run.name} is red without the patch too and does not count."
    return known if run.kind == CheckKind.LINT else f"{known}\n{run.output}"


PROPOSE_PATCH: Final = Tool(
    spec=ToolSpec(
        name=ToolName.PROPOSE_PATCH,
        about="Propose a fix. It is built from exact edits, applied to head, and tried in the sandbox: the failing "
        "request and every check. The answer is the verdict. People decide about it later.",
        params=(
            Param(name="title", about="What the change does, at most 70 characters.", is_required=True),
            Param(name="edits", about="The edits.", kind="array", is_required=True, items=_EDIT),
        ),
    ),
    do=_propose_patch,
    proposes=True,
)

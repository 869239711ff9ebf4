"""The agent: a loop with four verbs. `run` steps until the run has ended; `step` either asks the model (`query`) or
does what it asked for (`execute`).

Every step is a row, written and acknowledged before the next one begins. The state is folded from rows alone, so a
run that was killed goes on where it was and repeats at most the one call of the model that was in flight.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from bot.agent.aside import Aside, write_aside
from bot.agent.budget import find_limit, leave_for_helper, reading_left, tell_circles
from bot.agent.context import estimate_tokens, plan_stubs, scale_tokens
from bot.agent.guard import defuse, find_leak
from bot.agent.images import IMAGE_TOKENS, Album, count_images, leave_out
from bot.agent.patience import Pace, Patience
from bot.agent.prompts import read_system
from bot.agent.tools.every import TOOLS
from bot.agent.tools.tool import Tool, ToolResult
from bot.agent.transcript import (
    Answer,
    PendingCall,
    Rows,
    RunningDigest,
    State,
    Words,
    advance,
    build_request,
    digest_of,
    dump,
    fold,
    unwrap,
)
from bot.domain.ask import MAX_ASKS, Inquiry
from bot.domain.runs.transcript import MAX_HELPERS, Budget, EndReason, Proposal, Step
from bot.errors import LimitReached, Reason, Rejected, Unavailable
from bot.ports.model import Completion, ModelClient, ModelPlace, TokenCounter

MAX_NOTES: Final = 3
MAX_REPEATS: Final = 5
LOW: Final = 3
_HELP: Final = (
    "You help another engineer, who reads nothing but your last words. Only read, with few calls. Then answer in "
    "words: what you found, with file and line.\n\n"
)
MAX_TOLD: Final = 6_000
"""Characters of a helper's last words."""
_OURS: Final = frozenset({"model", "messages", "tools", "stream", "stream_options", "max_tokens", "n"})

Append = Callable[[Step], Awaitable[Step]]
"""Stores a row and returns it as it was stored: redacted with secrets that only the store's side knows."""


class Head:
    """The constant beginning of every request: model, tools and system text, the same bytes for every incident.

    `system` is another text in the place of our own.
    """

    def __init__(
        self, place: ModelPlace, budget: Budget, tools: Sequence[Tool] = TOOLS, *, system: str | None = None
    ) -> None:
        self.reasoning_field = place.reasoning_field
        own: dict[str, Any] = {"model": place.name, "stream": True, "stream_options": {"include_usage": True}}
        listed = [tool.spec.schema() for tool in sorted(tools, key=lambda tool: tool.name)]
        head = own | _read_extra(place) | {"max_tokens": budget.answer_tokens, "tools": listed}
        system = dump({"role": "system", "content": read_system() if system is None else system})
        self.raw = f'{dump(head)[:-1]},"messages":[{system}'.encode("utf-8", "replace")
        self.text = self.raw.decode()

    def request(self, messages: Sequence[bytes], form: str = "") -> bytes:
        """Return a request's body; that of a later step begins with the same bytes."""
        return build_request(self.raw, messages, form)


def _read_extra(place: ModelPlace) -> dict[str, Any]:
    """Read further request fields. Raises `Rejected` where they are no JSON object, or ours."""
    try:
        extra = place.fields
    except ValueError as error:
        raise Rejected(f"model.extra is not JSON that can be used: {error}", Reason.BAD_INPUT) from error
    if _OURS & extra.keys():
        raise Rejected(f"model.extra must be an object without {', '.join(sorted(_OURS))}", Reason.BAD_INPUT)
    return extra


class Tools(Protocol):
    """What does the calls: `bot.agent.tools.toolbox.Toolbox`, or a stand-in that knows the answers."""

    @property
    def proposes(self) -> bool: ...

    def for_helper(self) -> "Tools": ...

    def tell_usage(self, name: str, /) -> str: ...

    async def call(self, name: str, arguments: str, known: Sequence[Proposal], /, *, room: int) -> ToolResult: ...


class Agent:
    """One run of one model."""

    def __init__(self, *, model: ModelClient, tools: Tools, head: Head, budget: Budget, append: Append) -> None:
        """Tools that propose nothing are for a question: words alone end the run."""
        self._model = model
        self._tools = tools
        self._head = head
        self._budget = budget
        self._append = append
        self._digest = RunningDigest(head.text)
        self._sent_at = 0.0
        self.pace = Pace()
        self.album = Album()

    async def run(self, run: str, rows: Iterable[Step], task: Callable[[], str]) -> State:
        """Go on from the rows to the run's end, or to a question that people have to answer. `task` writes the first
        message where there is none yet.

        Raises `Unavailable` where the model does not answer, `Rejected` where it refuses us; the rows stay.
        """
        state, write = fold(rows), Rows(run)
        self._digest = RunningDigest(self._head.text)
        if not state.seq:
            state = await self._write(state, write.task(state, task(), self._head.text))
        return await self._finish(state, write)

    async def _finish(self, state: State, write: Rows) -> State:
        while state.ended is None and state.waits is None:
            state = await self.step(state, write)
        return state

    async def step(self, state: State, write: Rows) -> State:
        """Do the next thing: the first call without an answer, else ask the model, else end."""
        if state.pending:
            return await self.execute(state, write, state.pending[0])
        if state.words:
            return await self._judge_words(state, write, state.words)
        limit = find_limit(state.spent, self._budget) or state.refused
        if not limit and state.repeats > MAX_REPEATS:
            limit = tell_circles(state.spent, self._budget)
        if limit:
            return await self._write(state, write.end(state, EndReason.LIMIT, limit))
        return await self._shorten(state, write) or await self._ask(state, write)

    async def query(self, request: bytes) -> Completion:
        """Ask the model, again where that may help. The only place where calls of the model are retried."""
        clock = asyncio.get_running_loop().time
        patience = Patience()
        while True:
            self._sent_at = clock()
            try:
                return await self._model.complete(request, deadline=clock() + self._budget.answer_seconds)
            except Unavailable as error:
                pause = patience.wait_after(error, self.pace.jitter())
                if pause is None:
                    raise
                await self.pace.sleep(pause)

    async def ask_aside(self, run: str, rows: Iterable[Step], aside: Aside) -> None:
        """Ask one thing more behind all that was said, once; nothing where the run's own budget is used up.

        A server that does not know the form is asked again without it. Raises what `query` does.
        """
        state, clock = fold(rows), asyncio.get_running_loop().time
        if find_limit(state.spent, self._budget):
            return
        messages = (*await self._show(state), aside.message)
        began, request = clock(), self._head.request(messages, aside.form)
        try:
            completion = await self.query(request)
        except Rejected as refusal:
            if refusal.reason is not Reason.BAD_INPUT:
                raise
            aside = replace(aside, form="")
            request = self._head.request(messages)
            completion = await self.query(request)
        answer = Answer(
            completion=completion,
            asked_with=digest_of(request),
            seconds=clock() - began,
            gpu_seconds=(clock() - self._sent_at) * self._budget.gpus,
        )
        await self._append(write_aside(run, state, aside, answer))

    async def execute(self, state: State, write: Rows, call: PendingCall) -> State:
        """Answer one call. What was asked before, word for word, is not done again."""
        clock = asyncio.get_running_loop().time
        began = clock()
        earlier = state.asked.get(call.signature)
        if call.fault:
            text = f"Not done: the arguments of {call.name[:60]} cannot be used: {call.fault}."
            result = ToolResult(text=defuse(text + self._tools.tell_usage(call.name)))
        elif earlier is not None:
            text = "Not done again: you made this very call before, and its answer stands above. Do something else."
            return await self._write(state, write.tool(state, text, 0.0, repeat=True))
        else:
            room = reading_left(state.spent, self._budget)
            result = await self._tools.call(call.name, call.arguments, state.proposals, room=room)
        if result.task:
            return await self._let_help(state, write, result.task)
        seconds = clock() - began
        if result.ask is not None:
            return await self._ask_people(state, write, result.ask)
        if result.proposal is not None and not _is_known(state, result.proposal):
            state = await self._write(state, write.patch(state, result.proposal))
        text = result.text + self._hint(state)
        return await self._write(state, write.tool(state, text, seconds, todo=result.todo, full=result.is_full))

    async def _let_help(self, state: State, write: Rows, task: str) -> State:
        """Let a helper answer the first pending call. Its rows stand within ours, and it uses our budget."""
        if state.helper is None and state.helpers >= MAX_HELPERS:
            text = f"Not done: {MAX_HELPERS} helpers worked in this run. Look for yourself, or conclude."
            return await self._write(state, write.tool(state, text, 0.0))
        ours = state

        async def keep(row: Step) -> Step:
            nonlocal ours
            stored = await self._append(write.helper(ours, row))
            ours = advance(ours, stored)
            return unwrap(stored)

        budget = leave_for_helper(state, self._budget)
        helper = Agent(model=self._model, tools=self._tools.for_helper(), head=self._head, budget=budget, append=keep)
        helper.pace = self.pace
        inner = Rows(write.run)
        begun = state.helper or await helper._write(State(), inner.task(State(), _HELP + task, ""))
        done = await helper._finish(begun, inner)
        text = done.text[:MAX_TOLD].strip() or "The helper found nothing to tell."
        if done.ended is not EndReason.DONE:
            text = f"The helper came to no end ({text}). What it read is not told; look for yourself."
        return await self._write(ours, write.tool(ours, text + self._hint(ours), 0.0))

    async def _ask_people(self, state: State, write: Rows, ask: Inquiry) -> State:
        if state.asks < MAX_ASKS:
            return await self._write(state, write.ask(state, ask))
        text = f"Not asked: {MAX_ASKS} questions were asked in this run. Go on with what you know."
        return await self._write(state, write.tool(state, text, 0.0))

    async def _shorten(self, state: State, write: Rows) -> State | None:
        """Shorten what is too long, where that helps. The next request has another beginning then."""
        limit = self._budget.context_tokens
        tokens = estimate_tokens(state, len(self._head.raw))
        if tokens <= limit:
            return None
        if isinstance(self._model, TokenCounter):
            counted = await self._model.count_tokens(self._head.request(leave_out(state.messages)))
            tokens = counted + IMAGE_TOKENS * count_images(state.messages) if counted else tokens
        stubs = plan_stubs(state) if tokens > limit else {}
        if not stubs:
            return None
        row = write.compact(state, stubs, tokens=tokens, left=scale_tokens(tokens, state, stubs))
        following = await self._write(state, row)
        self._digest = RunningDigest(self._head.text)
        return following

    async def _ask(self, state: State, write: Rows) -> State:
        clock = asyncio.get_running_loop().time
        messages = await self._show(state)
        began, request = clock(), self._head.request(messages)
        try:
            completion = await self.query(request)
        except LimitReached as error:
            return await self._write(state, write.end(state, EndReason.LIMIT, str(error)))
        leak = find_leak(completion.text)
        if leak >= 0:
            completion = replace(completion, text=completion.text[:leak])
        digest = self._digest.of(messages)
        answer = Answer(
            completion=completion,
            asked_with=digest,
            seconds=clock() - began,
            gpu_seconds=(clock() - self._sent_at) * self._budget.gpus,
            has_leaked=leak >= 0,
            reasoning_field=self._head.reasoning_field,
        )
        return await self._write(state, write.model(state, answer))

    async def _show(self, state: State) -> Sequence[bytes]:
        """Return the messages as they are sent, with their images."""
        return await self.album.fill(state.messages) if state.has_images else state.messages

    async def _judge_words(self, state: State, write: Rows, words: Words) -> State:
        """An answer without a call: the conclusion, or something to put right a few times."""
        note = ""
        if words.is_cut:
            note = "Your answer was cut because it was too long. Be brief: one tool call, or a short conclusion."
        elif words.has_leaked:
            note = "A tool call stood in your text and was not made. Make it as a tool call."
        elif not state.text.strip():
            note = "Your answer was empty. Call a tool, or conclude in plain text."
        elif self._tools.proposes and not state.proposals and not state.notes:
            note = "No patch is proposed yet. Propose one, or repeat your conclusion if no patch can help."
        if not note:
            return await self._write(state, write.end(state, EndReason.DONE, state.text))
        if state.notes >= MAX_NOTES:
            why = EndReason.DONE if state.proposals else EndReason.GAVE_UP
            return await self._write(state, write.end(state, why, state.text or "it gave no answer that could be used"))
        return await self._write(state, write.note(state, note))

    async def _write(self, state: State, row: Step) -> State:
        return advance(state, await self._append(row))

    def _hint(self, state: State) -> str:
        left = self._budget.steps - state.spent.steps
        what = "propose a patch or conclude" if self._tools.proposes else "conclude"
        return f"\n({left} answers left: {what}.)" if 0 < left <= LOW else ""


def _is_known(state: State, proposal: Proposal) -> bool:
    return any(known.patch == proposal.patch for known in state.proposals)

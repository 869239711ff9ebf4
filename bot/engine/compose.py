"""From a promise to the message that keeps it, rendered from the state of this moment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from bot.domain.approval import Approval, ApprovalState, who_may_approve, who_may_break_glass
from bot.domain.approvals.freeze import find_border
from bot.domain.approvals.subject import Subject
from bot.domain.ask import Inquiry
from bot.domain.chat import File, Message, Paragraph, Tone
from bot.domain.conclusion import conclude, find_result
from bot.domain.draft import Draft
from bot.domain.incident import Incident, RunState
from bot.domain.investigation import Collected, Stage, StageResult
from bot.domain.oncall import Role, plan_page
from bot.domain.playbook import Playbook, choose_playbook
from bot.domain.service import Service
from bot.domain.traces.links import find_trace, link_trace, link_traces
from bot.engine.compose_board import BoardComposer
from bot.engine.compose_rollout import RolloutComposer
from bot.errors import Refused
from bot.ports.work import Effect, Store, UnitOfWork
from bot.render.answer import render_answer
from bot.render.ask import render_ask, render_asked
from bot.render.incident import render_card, render_closed, render_help, render_page
from bot.render.links import Links, link_to
from bot.render.milestones import list_milestones
from bot.render.patch import render_patch, render_verdict
from bot.render.patch_gate import Gate, add_gate, render_broken
from bot.render.playbook import name_playbook, render_text
from bot.render.plot_svg import write_plots
from bot.render.plotted import render_plots
from bot.render.progress import DONE, GOING, MISSING, render_findings, render_status
from bot.render.rollback import Ending, add_end, add_rollback, list_commits, render_rollback
from bot.render.severity import render_raised
from bot.render.suggestion import add_suggestion
from bot.render.todo import list_todo
from bot.render.unreached import render_dead_channel, render_unreached
from bot.render.watch import render_change, render_watch
from bot.render.why import render_why
from bot.render.wish import changes_button, render_wish, revert_button, think_button
from bot.services import asking, dead_channel, modelling, plotting, questions, reverting, rollback, unreached, watching
from bot.services.announce import CHAT
from bot.services.paging import is_called_to_help
from bot.services.pause import find_pause
from bot.services.rulebook import Rulebook
from bot.services.suggesting import find_suggestion
from bot.services.thinking import find_harder
from bot.services.why import Account, read_account, write_file
from bot.services.wishes import base_run, list_wishes

_UNREACHED = {unreached.NOTICE: render_unreached, dead_channel.NOTICE: render_dead_channel}
_ENDINGS: Final[Mapping[str, Ending]] = {
    rollback.PASSED: Ending.PASSED,
    rollback.FAILED: Ending.FAILED,
    rollback.UNKNOWN: Ending.UNKNOWN,
}


class Composer:
    """Renders effects. Returns None where there is nothing (any more) to show."""

    def __init__(self, store: Store, rules: Rulebook, links: Links) -> None:
        self._store = store
        self._rules = rules
        self._links = links
        self._names: Mapping[str, str] = {key: person.name for key, person in rules.roster.people.items()}
        self._rollout = RolloutComposer(rules)
        self._render = {
            "card": self._card,
            "page": self._page,
            "status": self._status,
            "findings": self._findings,
            "plots": self._plots,
            "patch": self._patch,
            "verdict": self._verdict,
            "closed": self._closed,
            "notice": self._notice,
            "glass": self._broken,
            "raised": self._raised,
            "answer": self._answer,
            "question": self._question,
            "watch": self._watch,
        }
        board = BoardComposer(rules, links)
        self._render_apart = {"linked": board.linked, "summary": board.summary}

    def compose(self, effect: Effect, channel: str) -> Message | None:
        """Return the message of one effect for one channel."""
        with self._store.begin() as work:
            apart = self._render_apart.get(effect.payload["what"])
            if apart is not None:
                return apart(work, effect.payload, channel)
            incident = work.incidents.get(effect.payload["incident"])
            message = self._render[effect.payload["what"]](work, incident, effect.payload["arg"])
            if message is not None and message.rings and work.postings.ref(incident.id, channel, message.slot):
                return replace(message, rings=())  # an edit never rings
            return message

    def show_incident(self, incident: str, channel: str) -> Sequence[Message]:
        """Return all that was ever to be told of an incident in a channel, as it is now, its card first. Raises
        `Refused` where there is no such incident."""
        with self._store.begin() as work:
            found = work.incidents.get(incident)
            told = [(payload["what"], payload["arg"]) for payload in work.effects.promised(CHAT + channel, incident)]
            shown: dict[str, Message] = {}
            for what, arg in dict.fromkeys((("card", ""), *told)):
                message = self._try(work, found, what, arg)
                if message is not None:
                    shown.setdefault(message.slot, replace(message, rings=()))
            return list(shown.values())

    def _try(self, work: UnitOfWork, incident: Incident, what: str, arg: str) -> Message | None:
        """One message that cannot be shown any more keeps back no other."""
        try:
            return self._render[what](work, incident, arg) if what in self._render else None
        except Refused:
            return None

    def show_patch(self, incident: str, digest: str) -> Message | None:
        """Return a patch's card as it is at this moment; None for a draft that was not put up for approval."""
        with self._store.begin() as work:
            asked = [approval for approval in work.approvals.of(incident) if approval.subject is Subject.PATCH]
            if all(approval.digest != digest for approval in asked):
                return None
            return self._patch(work, work.incidents.get(incident), digest[:12])

    def show_run(self, incident: str, number: str) -> Account | None:
        """Return what the agent did in an incident's run; None where there is no such run."""
        try:
            with self._store.begin() as work:
                return read_account(work, incident, f"{incident}:{number}")
        except Refused:
            return None

    def _card(self, work: UnitOfWork, incident: Incident, _arg: str) -> Message:
        message = render_card(incident, now=work.now, names=self._names, links=self._links)
        message = add_suggestion(message, find_suggestion(work, incident))
        service = self._rules.services.get(incident.service)
        traces = link_to("Traces", link_traces(service, incident.alert_started_at)) if service else None
        message = replace(message, blocks=(*message.blocks, *([traces] if traces else [])))
        pause = find_pause(work, incident.id) if incident.is_open else None
        return replace(message, blocks=(Paragraph(text=f"{pause}."), *message.blocks)) if pause else message

    def _page(self, work: UnitOfWork, incident: Incident, arg: str) -> Message | None:
        plan = plan_page(self._rules.escalation(incident.escalation), int(arg))
        if plan is None:
            return None
        render = render_help if is_called_to_help(work, incident, plan.level) else render_page
        return render(incident, plan.people, plan.level, now=work.now, names=self._names, links=self._links)

    def _status(self, work: UnitOfWork, incident: Incident, _arg: str) -> Message:
        results = work.investigations.of(incident.run)
        failed = None
        if incident.run_state is RunState.FAILED:
            ended = [event for event in work.timeline.of(incident.id) if event.kind == "triage_ended"]
            failed = ended[-1].text.removeprefix("The investigation stopped: ") if ended else "it failed"
        running = None
        if incident.run_state in {RunState.QUEUED, RunState.RUNNING}:
            running = _say_waiting(results) or _next_stage(results)
        notes = [note for note in (_tell_model(work, incident), _tell_revert(work, incident)) if note]
        notes += list_todo(modelling.find_plan(work, incident))
        playbook = choose_playbook(self._rules.playbooks, incident.labels)
        notes += [name_playbook(playbook)] if playbook else []
        pause = find_pause(work, incident.id) if running else None
        running = None if pause else running
        message = render_status(incident, results, running=running, failed=failed, now=work.now, notes=notes)
        if find_harder(work, incident, self._rules) is not None:
            message = replace(message, buttons=(*message.buttons, think_button(incident.id)))
        if failed:  # there may be no findings to offer it with
            message = add_rollback(message, incident, self._rules.services.get(incident.service))
        return replace(message, headline=f"Investigation waits: {pause}", tone=Tone.WARN) if pause else message

    def _findings(self, work: UnitOfWork, incident: Incident, _arg: str) -> Message | None:
        results = work.investigations.of(incident.run)
        findings, evidence = conclude(results)
        if not findings:
            return None
        alike = [event.text for event in work.timeline.of(incident.id) if event.kind == "alike"]
        message = render_findings(incident, findings, evidence, alike=tuple(dict.fromkeys(alike)))
        service = self._rules.services.get(incident.service)
        message = _add_trace(add_rollback(message, incident, service), incident, service, results)
        message = replace(message, files=(*message.files, *_draw_plots(results)))
        playbook = choose_playbook(self._rules.playbooks, incident.labels)
        if playbook is None:
            return message
        text = File(name=f"{playbook.name}.md", media_type="text/markdown", text=_write_playbook(playbook, incident))
        return replace(message, files=(*message.files, text))

    def _plots(self, work: UnitOfWork, incident: Incident, arg: str) -> Message | None:
        plots = plotting.list_plots(work, incident.id, f"{incident.id}:{arg}")
        return render_plots(incident, arg, plots) if plots else None

    def _patch(self, work: UnitOfWork, incident: Incident, arg: str) -> Message:
        approval = work.approvals.get(incident.id, arg)
        ring = self._find_ring(incident, approval)
        if approval.subject is Subject.ROLLBACK:
            return self._show_rollback(work, approval, ring)
        draft = work.drafts.get(incident.id, arg)
        runs = [run for digest, run in work.ci_runs.of(incident.id) if digest == draft.digest]
        run = runs[-1] if runs else None
        message = render_patch(draft, approval, now=work.now, names=self._names, ring=ring, run=run)
        message = self._add_choices(work, incident, draft, approval, message)
        message = add_gate(message, approval, self._find_gate(approval, work.now), now=work.now, names=self._names)
        pushed = [event.text for event in work.timeline.of(incident.id) if event.data.get("digest") == draft.digest]
        where = f" to {draft.push_branch}"  # said above already
        trail = [text.replace(where, "", 1) for text in pushed if text.startswith(("Pushed", "Not pushed"))]
        if run is not None and trail:
            trail[-1] = f"{trail[-1]}. CI: {run.state.value}."
        page = self._links.to_patch(incident.id, draft.digest)
        told = (*message.blocks, *(Paragraph(text=text) for text in trail))
        message = replace(message, blocks=(*told, page) if page else told)
        return self._rollout.add_to_patch(work, draft, message)

    def _show_rollback(self, work: UnitOfWork, approval: Approval, ring: tuple[str, ...]) -> Message:
        proposed = rollback.find_rollback(work, approval.incident, approval.digest)
        commits = list_commits(proposed.commits, proposed.left)
        message = render_rollback(proposed.rollback, approval, commits, now=work.now, names=self._names, ring=ring)
        ended = rollback.find_end(work, approval.incident, approval.digest)
        if ended is not None:
            message = add_end(message, proposed.rollback, ended.text, _ENDINGS[ended.kind])
        return add_gate(message, approval, self._find_gate(approval, work.now), now=work.now, names=self._names)

    def _find_ring(self, incident: Incident, approval: Approval) -> tuple[str, ...]:
        """Return whom a card asks: as many as must approve, the owner of the incident first."""
        if approval.state is not ApprovalState.PENDING:
            return ()
        ring = who_may_approve(approval, roster=self._rules.roster, policy=self._rules.policy)
        return tuple(sorted(ring, key=lambda person: person != incident.owner))[: approval.needs]

    def _find_gate(self, approval: Approval, now: datetime) -> Gate:
        policy, service = self._rules.policy, approval.scope.service
        return Gate(
            frozen=policy.find_freeze(approval.scope, now),
            thawed=find_border(policy.freezes, service=service, since=approval.requested_at, now=now),
            breakers=who_may_break_glass(approval, roster=self._rules.roster, policy=policy),
        )

    def _broken(self, work: UnitOfWork, incident: Incident, arg: str) -> Message | None:
        return render_broken(work.approvals.get(incident.id, arg), now=work.now, names=self._names)

    def _add_choices(
        self, work: UnitOfWork, incident: Incident, draft: Draft, approval: Approval, message: Message
    ) -> Message:
        """Say what changes were asked for, and offer to ask for some, or for the revert."""
        wishes = [wish for wish in list_wishes(work, incident.id) if wish.data["digest"] == draft.digest]
        said, is_under_way = [], False
        for wish in wishes[-1:]:
            ended = modelling.tell_end(work, incident.id, wish.data["run"])
            is_under_way = not ended
            who = self._rules.name_of(wish.actor)
            said.append(render_wish(who=who, at=wish.at, wish=wish.data["wish"], ended=ended, now=work.now))
        buttons = list(message.buttons)
        if approval.state is ApprovalState.PENDING and not approval.has_expired(work.now):
            if self._rules.has_model and not is_under_way:
                buttons.append(changes_button(incident.id, draft.digest))
            undoing = reverting.find_revert(work, incident)
            if undoing is not None and draft.culprit != undoing.commit:
                buttons.append(revert_button(incident.id))
        return replace(message, blocks=(*message.blocks[:1], *said, *message.blocks[1:]), buttons=tuple(buttons))

    def _verdict(self, work: UnitOfWork, incident: Incident, arg: str) -> Message | None:
        runs = [run for digest, run in work.ci_runs.of(incident.id) if digest.startswith(arg)]
        if not runs:
            return None
        approvers = work.approvals.get(incident.id, arg).approved_by
        draft = work.drafts.get(incident.id, arg)
        message = render_verdict(incident, draft, runs[-1], approvers=approvers, names=self._names, now=work.now)
        return self._rollout.add_to_verdict(work, draft, message)

    def _notice(self, work: UnitOfWork, incident: Incident, arg: str) -> Message | None:
        topic, _, number = arg.partition(".")
        if topic == "why":
            account = read_account(work, incident.id, f"{incident.id}:{number}")
            return render_why(incident.id, number, state=account.state, text=write_file(account))
        render = _UNREACHED.get(topic)
        if render is None:
            return self._rollout.notice(work, incident, arg)
        told = [event for event in work.timeline.of(incident.id) if str(event.seq) == number]
        admins = [key for key, person in self._rules.roster.people.items() if person.may(Role.ADMIN)]
        return render(told[0], slot=f"notice:{arg}", admins=admins, names=self._names) if told else None

    def _raised(self, work: UnitOfWork, incident: Incident, arg: str) -> Message | None:
        told = [event for event in work.timeline.of(incident.id) if event.kind == "raised"]
        said = [event for event in told if event.data["severity"] == arg]
        if not incident.is_open or not said or incident.severity.value != arg:
            return None
        return render_raised(incident, said[-1].text, said[-1].at, now=work.now, names=self._names)

    def _answer(self, work: UnitOfWork, incident: Incident, arg: str) -> Message | None:
        asked = next((each for each in questions.list_questions(work, incident.id) if each.data["number"] == arg), None)
        told = questions.list_answers(work, incident.id).get(asked.data["run"]) if asked is not None else None
        if asked is None or told is None:
            return None
        who, question = self._rules.name_of(asked.actor), asked.data["question"]
        if questions.is_look(asked):
            looks = watching.list_looks(work, incident.id, asked.data["watch"])
            look = next(each for each in looks if str(each.number) == asked.data["look"])
            return render_change(incident.id, arg, look, person=asked.actor, question=question, now=work.now)
        return render_answer(
            incident=incident.id, number=arg, who=who, person=asked.actor, question=question, answer=told.data["answer"]
        )

    def _watch(self, work: UnitOfWork, incident: Incident, arg: str) -> Message | None:
        watch = watching.get_watch(work, incident.id, arg)
        if watch is None:
            return None
        looks, ended = watching.list_looks(work, incident.id, arg), watching.tell_end(work, incident.id, arg)
        who = self._rules.name_of(watch.person)
        return render_watch(incident.id, watch, looks, who=who, ended=ended, now=work.now)

    def _question(self, work: UnitOfWork, incident: Incident, arg: str) -> Message | None:
        asked = next((each for each in asking.list_asked(work, incident.id) if each.data["number"] == arg), None)
        if asked is None:
            return None
        ask = Inquiry(key=asked.data["key"], question=asked.data["question"], answers=asking.read_answers(asked))
        came = asking.tell_end(work, asked)
        if came:
            return render_asked(incident.id, arg, ask, came=came)
        people, wait = asking.read_people(asked), self._rules.question_wait
        return render_ask(incident.id, arg, ask, people=people, names=self._names, wait=wait)

    def _closed(self, work: UnitOfWork, incident: Incident, _arg: str) -> Message | None:
        if incident.is_open:
            return None
        since = [event for event in work.timeline.of(incident.id) if event.at >= incident.opened_at]
        steps = list_milestones(since, self._names)
        return render_closed(incident, now=work.now, names=self._names, links=self._links, milestones=steps)


def _tell_model(work: UnitOfWork, incident: Incident) -> str:
    """Return what is to be said of the model's part in this run, "" where it has none."""
    kinds = {modelling.QUEUED: GOING, modelling.WAITS: MISSING, modelling.ENDED: DONE}
    kinds |= {modelling.ASKED: GOING, modelling.REPLIED: GOING}
    said = [event for event in work.timeline.of(incident.id) if event.kind in kinds]
    mine = [event for event in said if base_run(event.data.get("run", "")) == incident.run]
    return f"{kinds[mine[-1].kind]} {mine[-1].text}" if mine else ""


def _tell_revert(work: UnitOfWork, incident: Incident) -> str:
    """Return what is to be said of a revert that somebody asked for, "" where nobody did."""
    said = reverting.tell_reverts(work, incident)
    return f"{GOING if said[1] else DONE} {said[0]}" if said else ""


def _write_playbook(playbook: Playbook, incident: Incident) -> str:
    """Return the playbook's text; what is wrong with it must not keep the findings back."""
    try:
        return render_text(playbook, incident)
    except Refused as error:
        return f"{error}\n"


def _add_trace(
    message: Message, incident: Incident, service: Service | None, results: Sequence[StageResult]
) -> Message:
    collected = find_result(results, Collected)
    trace = find_trace(collected.records) if collected else ""
    if service is None or not trace:
        return message
    link = link_to(f"Trace {trace[:8]}", link_trace(service, incident.alert_started_at, trace))
    return replace(message, blocks=(*message.blocks, link)) if link else message


def _draw_plots(results: Sequence[StageResult]) -> tuple[File, ...]:
    collected = find_result(results, Collected)
    return write_plots(collected.metrics if collected else (), plotting.list_changes(results))


def _say_waiting(results: Sequence[StageResult]) -> str:
    """Say which sources are waited for, "" where none is: what there is to do without them is done first."""
    collected = find_result(results, Collected)
    if collected is None or not collected.pending:
        return ""
    is_done = len(results) == len(Stage) or (len(results) > 1 and not collected.has_lead)
    return f"waiting for {', '.join(collected.pending)}" if is_done else ""


def _next_stage(results: Sequence[StageResult]) -> str:
    return list(Stage)[min(len(results), len(Stage) - 1)].value

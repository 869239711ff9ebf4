"""Conversation: what people press and type becomes one use case each, and one private answer."""

from collections.abc import Callable, Mapping

from bot.domain.approval import Vote
from bot.domain.approvals.order import read_order
from bot.domain.approvals.subject import Subject
from bot.domain.chat import Press, Reply, Said
from bot.domain.ci import CIRun
from bot.domain.oncall import Person, Role, plan_page
from bot.domain.playbook import choose_playbook
from bot.domain.presses import ButtonPress, Verb, parse_press
from bot.domain.runs.profile import Mode
from bot.domain.urgency import sort_by_urgency
from bot.errors import Reason, Refused
from bot.ports.work import UnitOfWork
from bot.services.access import LacksRoleError, explain, find_person, require_role
from bot.services.approval import break_glass_for, decide, renew_approval
from bot.services.asking import find_waiting, press_answer, say_answer
from bot.services.changing import ask_changes
from bot.services.contacts import promise_test
from bot.services.declaring import declare
from bot.services.dispatch import look_again, order_again
from bot.services.images import choose_images
from bot.services.linking import HOW, answer_link, is_link
from bot.services.merging import order_merge
from bot.services.modelling import cancel_model
from bot.services.paging import SILENCES, acknowledge, escalate, resolve, silence
from bot.services.pause import end_pause, find_pause, start_pause
from bot.services.proposing import tell_change
from bot.services.questions import ask_question
from bot.services.reverting import ask_revert
from bot.services.rollback_ask import order_rollback
from bot.services.rollout import order_ci
from bot.services.rulebook import Rulebook
from bot.services.steering import find_listening, steer
from bot.services.thinking import think_harder
from bot.services.triage import ask_triage
from bot.services.watching import start_watch, stop_watch
from bot.services.why import tell_why

MAX_REASON = 500
_SHOWN = 64
_DIGEST = 12
_WITH_WORDS = frozenset({Verb.REJECT, Verb.BREAK, Verb.CHANGES})
_HEX = "0123456789abcdef"

HELP = """/incident declare SERVICE WHAT: open one that no alert told of
/incident list · status · why · ack · escalate · silence 1h|4h · resolve · triage · think
/incident pause · continue · cancel: the agent's work, or agent off|on
  (then the id, e.g. INC-7)
/oncall who · test
/patch show|approve|merge|revert|rollback INC-7
/patch reject|break-glass INC-7 WHY · /patch changes INC-7 WHAT
/ci status|logs|rerun|cancel INC-7
/incident ask INC-7 WHAT: the model looks it up; in a thread, just ask
/incident watch INC-7 30m 2d WHAT: again and again · watch stop INC-7
/link · /link list · /link remove CHANNEL: your accounts in other chats"""
_SHOWN_ONCE = "This was shown once. Write /link for a new code."


def handle(work: UnitOfWork, event: Press | Said, rules: Rulebook) -> Reply:
    """Act on an event once and return the private answer. Raises `Refused` with the answer to give instead."""
    seen = work.chat_events.claim(event.channel, event.event)
    if seen is not None:
        return seen
    try:
        reply = _act(work, event, rules)
    except LacksRoleError as lack:
        raise explain(lack, rules) from lack
    kept = Reply(text=_SHOWN_ONCE) if reply.is_secret else reply
    work.chat_events.answer(event.channel, event.event, kept)
    return reply


def _act(work: UnitOfWork, event: Press | Said, rules: Rulebook) -> Reply:
    if isinstance(event, Said) and is_link(event.text):
        return answer_link(work, event, rules)
    person = identify(work, event.channel, event.account, rules)
    text = _press(work, event, person, rules) if isinstance(event, Press) else _say(work, event, person, rules)
    return Reply(text=text)


def refuse(work: UnitOfWork, event: Press | Said, refusal: Refused) -> Reply:
    """Remember a refusal, so that the same event again gets the same answer."""
    reply = Reply(text=str(refusal), ok=False)
    if work.chat_events.claim(event.channel, event.event) is None:
        work.chat_events.answer(event.channel, event.event, reply)
    return reply


def identify(work: UnitOfWork, channel: str, account: str, rules: Rulebook) -> Person:
    """Return the person behind an account. Raises `Refused` that says how to get access."""
    person = find_person(work, channel, account, rules)
    if person is None:
        raise Refused(
            f"{HOW} Otherwise ask an admin to add your {channel} account ({account[:_SHOWN]}) to [people].",
            Reason.NOT_ALLOWED,
        )
    return person


def _press(work: UnitOfWork, press: Press, person: Person, rules: Rulebook) -> str:
    button = parse_press(press.button)
    require_role(person, button.verb.role)
    if button.verb in {Verb.APPROVE, Verb.REJECT, Verb.RENEW, Verb.BREAK}:
        return _decide(work, press, button, person, rules)
    if button.verb in {Verb.MERGE, Verb.AGAIN, Verb.LOOK}:
        return _go_on(work, button, person, rules)
    if button.verb in {Verb.CHANGES, Verb.REVERT}:
        return _redraft(work, press, button, person, rules)
    if button.verb in {Verb.THINK, Verb.ANSWER, Verb.UNWATCH}:
        return _order_model(work, button, person, rules)
    return _respond(work, button, person, rules)


def _respond(work: UnitOfWork, button: ButtonPress, person: Person, rules: Rulebook) -> str:
    """What is about an incident as a whole, for those who may respond."""
    if button.verb is Verb.ACK:
        return acknowledge(work, button.incident, person.id, rules)
    if button.verb is Verb.ESCALATE:
        return escalate(work, button.incident, person.id, left=button.arg, rules=rules)
    if button.verb is Verb.SILENCE:
        return silence(work, button.incident, person.id, length=button.arg, rules=rules)
    if button.verb is Verb.ROLLBACK:
        return order_rollback(work, button.incident, person.id, rules)
    return resolve(work, button.incident, person.id, rules)


def _redraft(work: UnitOfWork, press: Press, button: ButtonPress, person: Person, rules: Rulebook) -> str:
    if button.verb is Verb.REVERT:
        return ask_revert(work, button.incident, person.id, rules)
    return ask_changes(work, button.incident, button.digest, person.id, _words_of(press), rules)


def _order_model(work: UnitOfWork, button: ButtonPress, person: Person, rules: Rulebook) -> str:
    if button.verb is Verb.THINK:
        return think_harder(work, button.incident, person.id, rules)
    if button.verb is Verb.UNWATCH:
        return stop_watch(work, button.incident, person.id, rules, number=button.arg)
    return press_answer(work, button.incident, button.arg, person.id, rules)


def _words_of(press: Press) -> str:
    return " · ".join(value for value in press.values.values() if value.strip())


def _decide(work: UnitOfWork, press: Press, button: ButtonPress, person: Person, rules: Rulebook) -> str:
    if button.verb is Verb.RENEW:
        return renew_approval(work, button.incident, button.digest, person.id, rules)
    vote = Vote(
        person=person.id,
        approve=button.verb is not Verb.REJECT,
        at=press.pressed_at,
        channel=press.channel,
        event=press.event,
        reason="" if button.verb is Verb.APPROVE else _words_of(press)[:MAX_REASON],  # its form only confirms
    )
    if button.verb is Verb.BREAK:
        return break_glass_for(work, button.incident, button.digest, vote, rules)
    return decide(work, button.incident, button.digest, vote, rules)


def _go_on(work: UnitOfWork, button: ButtonPress, person: Person, rules: Rulebook) -> str:
    """What follows an approved patch, for those who may approve."""
    if button.verb is Verb.MERGE:
        return order_merge(work, button.incident, button.digest, person.id, rules)
    digest = work.approvals.get(button.incident, button.digest).digest
    order = read_order(button.incident, digest, button.arg)
    act = order_again if button.verb is Verb.AGAIN else look_again
    return act(work, order, person.id, rules)


def _say(work: UnitOfWork, said: Said, person: Person, rules: Rulebook) -> str:
    """Read a command, or a question in the thread of an incident. A command's slash is optional, and so is the
    incident's id inside its thread."""
    words = said.text.strip().removeprefix("/").split()
    if not words and not said.attachments:
        return HELP
    group, verb, *_ = [*(word.lower() for word in words[:2]), "", ""]
    command = _COMMANDS.get((group, verb))
    if command is not None:
        return command(work, said, person, words[2:], rules)
    if not said.is_addressed:
        return ""
    if _is_for_the_model(work, said, person):
        return _tell_model(work, said, person, rules)
    if said.incident is None and not words:
        raise Refused("Which incident is this about? Post it in answer to a message of its.", Reason.BAD_INPUT)
    if said.incident is None or said.text.strip().startswith("/"):
        raise Refused(f'"{said.text.strip()[:60]}" is not a command.\n{HELP}', Reason.BAD_INPUT)
    showing = choose_images(work, said, person, "", sees=rules.profile(Mode.QUESTION.value).name in rules.seeing)
    return ask_question(work, said.incident, person.id, said.text, rules, showing=showing)


def _tell_model(work: UnitOfWork, said: Said, person: Person, rules: Rulebook) -> str:
    """Answer the question that waits, else steer; images are shown to the model with either."""
    incident = str(said.incident)
    playbook = choose_playbook(rules.playbooks, work.incidents.get(incident).labels)
    sees = playbook is not None and playbook.agent in rules.seeing
    showing = choose_images(work, said, person, find_listening(work, incident), sees=sees)
    asked = find_waiting(work, incident)
    if asked is None or not said.text.strip():
        return steer(work, incident, person.id, said.text, rules, showing=showing)
    if showing.taken:
        steer(work, incident, person.id, "", rules, showing=showing)
    return showing.end(say_answer(work, asked, person.id, said.text, rules))


def _is_for_the_model(work: UnitOfWork, said: Said, person: Person) -> bool:
    """Plain words in the thread of an incident, from somebody who may respond, while the model works on it."""
    is_plain = said.incident is not None and not said.text.lstrip().startswith("/")
    return is_plain and person.may(Role.RESPONDER) and bool(find_listening(work, str(said.incident)))


def _incident_of(said: Said, rest: list[str]) -> str:
    named = next((word.upper() for word in rest if word.upper().startswith("INC-")), said.incident)
    if named is None:
        raise Refused("Which incident? Add its id, for example INC-7.", Reason.BAD_INPUT)
    return named


def _patch_of(work: UnitOfWork, incident: str, rest: list[str], verb: Verb) -> str:
    """Return the patch or rollback that a typed command is about. It may go unnamed only where it is the only one there
    ever was, and a patch: else another one could have taken the place of what the person has read."""
    asked = work.approvals.of(incident)
    if not asked:
        raise Refused(f"{incident} has no patch.", Reason.NOT_FOUND)
    named = next((word.lower() for word in rest if len(word) >= _DIGEST and word.lower().strip(_HEX) == ""), None)
    if named is not None:
        return named[:_DIGEST]
    if len(asked) == 1 and asked[0].subject is Subject.PATCH:
        return asked[0].digest[:_DIGEST]
    word = "break-glass" if verb is Verb.BREAK else verb.value
    has = f"had {len(asked)} patches" if all(a.subject is Subject.PATCH for a in asked) else "a rollback"
    text = f"{incident} has {has}. Say which: /patch {word} {incident} {asked[-1].digest[:_DIGEST]}"
    raise Refused(text, Reason.BAD_INPUT)


def _as_press(verb: Verb) -> "Command":
    """A typed command is the button of the same name."""

    def run(work: UnitOfWork, said: Said, person: Person, rest: list[str], rules: Rulebook) -> str:
        incident = _incident_of(said, rest[:1] if verb is Verb.CHANGES else rest)
        arg = next((word for word in rest if word in SILENCES), "1h") if verb is Verb.SILENCE else ""
        digest = _patch_of(work, incident, rest, verb) if verb.needs_digest else ""
        values = {"reason": _read_words(verb, rest, digest)} if verb in _WITH_WORDS else {}
        button = ":".join(part for part in (verb.value, incident, digest, arg) if part)
        press = Press(
            event=said.event,
            channel=said.channel,
            account=said.account,
            button=button,
            values=values,
            pressed_at=said.said_at,
        )
        return _press(work, press, person, rules)

    return run


def _read_words(verb: Verb, rest: list[str], digest: str) -> str:
    """Return what a command says beyond the incident and the patch it is about. A wish may name other incidents."""
    if verb is Verb.CHANGES:
        rest = rest[1:] if rest and rest[0].upper().startswith("INC-") else rest
    else:
        rest = [word for word in rest if not word.upper().startswith("INC-")]
    return " ".join(word for word in rest if word[:_DIGEST].lower() != digest)


def _list(work: UnitOfWork, _said: Said, _person: Person, _rest: list[str], rules: Rulebook) -> str:
    open_ones = sort_by_urgency(incident for incident in work.incidents.recent(20) if incident.is_open)
    if not open_ones:
        return "No incident is open."
    return "\n".join(f"{i.id} {i.state.value} · {i.service} · {i.title} · {rules.name_of(i.owner)}" for i in open_ones)


def _status(work: UnitOfWork, said: Said, _person: Person, rest: list[str], rules: Rulebook) -> str:
    incident = work.incidents.get(_incident_of(said, rest))
    newest = [event.text for event in work.timeline.of(incident.id)][-3:]
    owner = f", {rules.name_of(incident.owner)} has it" if incident.owner else ""
    pause = find_pause(work, incident.id)
    stopped = [f"{pause}."] if pause else []
    return "\n".join([f"{incident.id} is {incident.state.value}{owner}: {incident.title}", *stopped, *newest])


def _why(work: UnitOfWork, said: Said, _person: Person, rest: list[str], _rules: Rulebook) -> str:
    return tell_why(work, _incident_of(said, rest), said.channel)


def _who(_work: UnitOfWork, _said: Said, _person: Person, _rest: list[str], rules: Rulebook) -> str:
    lines = []
    for name, policy in rules.escalations.items():
        plan = plan_page(policy, 0)
        people = ", ".join(rules.name_of(person) for person in plan.people) if plan else "nobody"
        lines.append(f"{name}: {people}")
    return "\n".join(lines) or "Nobody is on call: no escalation is configured."


def _test_contacts(work: UnitOfWork, _said: Said, person: Person, _rest: list[str], rules: Rulebook) -> str:
    require_role(person, Role.RESPONDER)
    if not person.contacts:
        raise Refused("You have no contacts: you are paged in chat alone. Ask an admin to add some.", Reason.NOT_FOUND)
    tested = promise_test(work, person.id, rules)
    if not tested:
        raise Refused("A test went to your contacts less than a minute ago.", Reason.ALREADY_DONE)
    return f"A test is on its way to {', '.join(tested)}. If one stays silent: nightshift page test {person.id}"


def _show_patch(work: UnitOfWork, said: Said, _person: Person, rest: list[str], _rules: Rulebook) -> str:
    incident = _incident_of(said, rest)
    drafts = work.drafts.of(incident)
    if not drafts:
        raise Refused(f"{incident} has no patch.", Reason.NOT_FOUND)
    standing, patch = tell_change(work, incident, drafts[-1].digest), drafts[-1].patch
    binaries = [f"{change.path}: {change.binary}" for change in patch.files if change.binary is not None]
    return "\n".join([*([standing] if standing else []), *binaries, patch.text.decode(errors="replace")])


def _ci_status(work: UnitOfWork, said: Said, _person: Person, rest: list[str], rules: Rulebook) -> str:
    incident = _incident_of(said, rest)
    runs = work.ci_runs.of(incident)
    if not runs:
        return "Nothing was pushed, so CI has nothing to say."
    service = rules.services.get(work.incidents.get(incident).service)
    where = f" on {service.ci}" if service else ""
    return "\n".join(_tell_run(work, incident, digest, run, where) for digest, run in runs)


def _tell_run(work: UnitOfWork, incident: str, digest: str, run: CIRun, where: str) -> str:
    words = f"{run.sha[:12]} {run.state.value}{where}, attempt {run.attempt}"
    return " · ".join(part for part in (words, run.url, tell_change(work, incident, digest)) if part)


def _ci_logs(work: UnitOfWork, said: Said, _person: Person, rest: list[str], _rules: Rulebook) -> str:
    runs = work.ci_runs.of(_incident_of(said, rest))
    if not runs:
        return "Nothing was pushed, so CI has nothing to say."
    run = runs[-1][1]
    return run.log_tail or f"CI has written nothing about {run.sha[:12]} yet; it is {run.state.value}."


def _order_ci(order: str) -> "Command":
    def run(work: UnitOfWork, said: Said, person: Person, rest: list[str], rules: Rulebook) -> str:
        require_role(person, Role.RESPONDER)
        return order_ci(work, _incident_of(said, rest), order, person.id, rules)

    return run


def _switch_agent(work: UnitOfWork, said: Said, person: Person, rest: list[str], _rules: Rulebook) -> str:
    require_role(person, Role.RESPONDER)
    order = rest[0].lower() if rest else ""
    if order not in {"on", "off"}:
        raise Refused("Say /incident agent off INC-7 or /incident agent on INC-7.", Reason.BAD_INPUT)
    incident = work.incidents.get(_incident_of(said, rest)).id
    if order == "on":
        return end_pause(work, incident=incident, actor=person.id, who=person.name)
    reason = " ".join(word for word in rest[1:] if not word.upper().startswith("INC-"))
    return start_pause(work, incident=incident, actor=person.id, who=person.name, reason=reason)


def _switch_to(order: str) -> "Command":
    def run(work: UnitOfWork, said: Said, person: Person, rest: list[str], rules: Rulebook) -> str:
        return _switch_agent(work, said, person, [order, *rest], rules)

    return run


def _cancel(work: UnitOfWork, said: Said, person: Person, rest: list[str], rules: Rulebook) -> str:
    require_role(person, Role.RESPONDER)
    return cancel_model(work, _incident_of(said, rest), person.id, rules)


def _ask_triage(work: UnitOfWork, said: Said, person: Person, rest: list[str], rules: Rulebook) -> str:
    require_role(person, Role.RESPONDER)
    return ask_triage(work, _incident_of(said, rest), person.id, rules)


def _declare(work: UnitOfWork, said: Said, person: Person, rest: list[str], rules: Rulebook) -> str:
    require_role(person, Role.RESPONDER)
    return declare(work, rest, person.id, f"{said.channel} {said.event}", rules)


def _ask(work: UnitOfWork, said: Said, person: Person, rest: list[str], rules: Rulebook) -> str:
    """The first word may name the incident; the question may name others."""
    names = bool(rest) and rest[0].upper().startswith("INC-")
    return ask_question(work, _incident_of(said, rest[:1]), person.id, " ".join(rest[names:]), rules)


def _watch(work: UnitOfWork, said: Said, person: Person, rest: list[str], rules: Rulebook) -> str:
    """The first word may end the watch, the first or second name the incident; what to look for may name others."""
    require_role(person, Role.RESPONDER)
    stops = bool(rest) and rest[0].lower() == "stop"
    words = rest[stops:]
    names = bool(words) and words[0].upper().startswith("INC-")
    incident = _incident_of(said, words[:1])
    if stops:
        return stop_watch(work, incident, person.id, rules)
    return start_watch(work, incident, person.id, words[names:], rules)


def _help(_work: UnitOfWork, _said: Said, _person: Person, _rest: list[str], _rules: Rulebook) -> str:
    return HELP


Command = Callable[[UnitOfWork, Said, Person, list[str], Rulebook], str]
_COMMANDS: Mapping[tuple[str, str], Command] = {
    ("help", ""): _help,
    ("incident", ""): _list,
    ("incident", "list"): _list,
    ("incident", "help"): _help,
    ("incident", "status"): _status,
    ("incident", "why"): _why,
    ("incident", "ack"): _as_press(Verb.ACK),
    ("incident", "escalate"): _as_press(Verb.ESCALATE),
    ("incident", "silence"): _as_press(Verb.SILENCE),
    ("incident", "resolve"): _as_press(Verb.RESOLVE),
    ("incident", "agent"): _switch_agent,
    ("incident", "ask"): _ask,
    ("incident", "pause"): _switch_to("off"),
    ("incident", "continue"): _switch_to("on"),
    ("incident", "cancel"): _cancel,
    ("incident", "triage"): _ask_triage,
    ("incident", "declare"): _declare,
    ("incident", "think"): _as_press(Verb.THINK),
    ("incident", "watch"): _watch,
    ("oncall", "who"): _who,
    ("oncall", "test"): _test_contacts,
    ("patch", "show"): _show_patch,
    ("patch", "approve"): _as_press(Verb.APPROVE),
    ("patch", "reject"): _as_press(Verb.REJECT),
    ("patch", "merge"): _as_press(Verb.MERGE),
    ("patch", "rollback"): _as_press(Verb.ROLLBACK),
    ("patch", "break-glass"): _as_press(Verb.BREAK),
    ("patch", "changes"): _as_press(Verb.CHANGES),
    ("patch", "revert"): _as_press(Verb.REVERT),
    ("ci", "status"): _ci_status,
    ("ci", "logs"): _ci_logs,
    ("ci", "rerun"): _order_ci("rerun"),
    ("ci", "cancel"): _order_ci("cancel"),
}

"""What the configuration says, as the services need it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from bot.domain.approvals.policy import ApprovalPolicy
from bot.domain.ask import QUESTION_WAIT
from bot.domain.linking import LIFETIME
from bot.domain.models.reasoning import Reasoning
from bot.domain.oncall import EscalationPolicy, EscalationStep, Role, Roster
from bot.domain.patches.patch import PatchLimits
from bot.domain.playbook import Playbook
from bot.domain.routing import Route
from bot.domain.runs.profile import AgentProfile, Mode
from bot.domain.service import Service
from bot.domain.watch import SHORTEST


@dataclass(frozen=True, kw_only=True)
class Rulebook:
    """People, services, routes and policies. `channels` are all chat channels, for what no route claims; `reasoning`
    says how the model of each of the agent's profiles thinks, `second_reasoning` how the second model does; `seeing`
    names the profiles whose model sees images. Between two looks of a watch there is `watch_shortest` at least.
    `has_titles` lets the model say what it would call an incident."""

    roster: Roster
    services: Mapping[str, Service]
    routes: tuple[Route, ...]
    escalations: Mapping[str, EscalationPolicy]
    policy: ApprovalPolicy
    channels: tuple[str, ...]
    playbooks: tuple[Playbook, ...] = ()
    auth_paths: tuple[str, ...] = ()
    has_model: bool = False
    has_titles: bool = False
    link_life: timedelta = LIFETIME
    question_wait: timedelta = QUESTION_WAIT
    watch_shortest: timedelta = SHORTEST
    patch_limits: PatchLimits = field(default_factory=PatchLimits)
    profiles: Mapping[str, AgentProfile] = field(default_factory=dict)
    reasoning: Mapping[str, Reasoning] = field(default_factory=dict)
    second_reasoning: Reasoning = field(default_factory=Reasoning)
    seeing: frozenset[str] = frozenset()

    def profile(self, name: str) -> AgentProfile:
        """Return a profile of the agent; what has none of its own works with all tools."""
        return self.profiles.get(name) or AgentProfile(name=name, mode=Mode(name) if name in set(Mode) else Mode.PATCH)

    def escalation(self, name: str) -> EscalationPolicy:
        """Return a policy by name; an alert nobody claims pages the first one, or else every admin."""
        if name in self.escalations:
            return self.escalations[name]
        if self.escalations:
            return next(iter(self.escalations.values()))
        admins, able = (self._with_role(role) for role in (Role.ADMIN, Role.RESPONDER))
        everybody = admins or able or tuple(self.roster.people)
        return EscalationPolicy(name="everybody", steps=(EscalationStep(people=everybody),))

    def _with_role(self, role: Role) -> tuple[str, ...]:
        return tuple(key for key, person in self.roster.people.items() if person.may(role))

    def name_of(self, person: str | None) -> str:
        if person is None:
            return "nobody"
        known = self.roster.people.get(person)
        return known.name if known else person

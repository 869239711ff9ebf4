"""Playbooks: when they apply, what to gather, and the text people read."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Playbook:
    """One playbook. `when` maps label names to the regular expressions that must all match (RE2, whole value).

    `look_back` and `look_ahead` are seconds around the alert's start in which logs are read;
    `history` is how many commits are looked at; `seconds` bounds the whole investigation.
    `text` is a Jinja2 template rendered with the incident, for people and for the model.
    """

    name: str
    title: str
    when: Mapping[str, str]
    evidence: tuple[str, ...] = ("logs", "changes")
    look_back: int = 1800
    look_ahead: int = 300
    history: int = 50
    seconds: int = 300
    text: str = ""
    tools: tuple[str, ...] = ()
    approval: Mapping[str, str] = field(default_factory=dict)

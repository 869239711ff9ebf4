"""A real Prometheus and Alertmanager on loopback: which programs, which configuration, which command lines."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

#: As Debian names them, and as the project itself does.
_ALERTMANAGERS: Final = ("prometheus-alertmanager", "alertmanager")


@dataclass(frozen=True, kw_only=True)
class Programs:
    """Where the programs are; "" for an Alertmanager that is not needed."""

    prometheus: str
    alertmanager: str = ""


def find_programs(path: str | None = None) -> Programs | None:
    """Return the programs in `path` (None: in PATH), None unless both are there."""
    prometheus = shutil.which("prometheus", path=path)
    alertmanager = next(filter(None, (shutil.which(name, path=path) for name in _ALERTMANAGERS)), None)
    return Programs(prometheus=prometheus, alertmanager=alertmanager) if prometheus and alertmanager else None


def find_prometheus() -> Programs | None:
    """Return Prometheus alone, None where it is not in PATH."""
    prometheus = shutil.which("prometheus")
    return Programs(prometheus=prometheus) if prometheus else None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An alerting rule. Annotations may use Prometheus's templates."""

    name: str
    expr: str
    hold: str = "1s"
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """One pair: Prometheus scrapes `target` every second, Alertmanager posts to `receiver` with a bearer token.

    Without an Alertmanager it scrapes, and no rule fires.
    """

    folder: Path
    programs: Programs
    ports: tuple[int, int]
    job: str
    target: str
    rule: Rule
    receiver: str
    token: str

    @property
    def prometheus_url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def alertmanager_url(self) -> str:
        return f"http://127.0.0.1:{self.ports[1]}"

    @property
    def token_file(self) -> Path:
        return self.folder / "nightshift.token"

    @property
    def alertmanager_file(self) -> Path:
        return self.folder / "alertmanager.yml"

    def write(self) -> None:
        """Write all files; JSON is YAML too."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(self.token, encoding="ascii")
        for name, content in (
            ("prometheus.yml", self._prometheus()),
            ("rules.yml", self._rules()),
            (self.alertmanager_file.name, self._alertmanager()),
        ):
            (self.folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")

    def commands(self) -> tuple[list[str], ...]:
        """Return the command lines of Alertmanager and Prometheus, in the order in which to start them."""
        alertmanager = [
            self.programs.alertmanager,
            f"--config.file={self.alertmanager_file}",
            f"--storage.path={self.folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{self.ports[1]}",
            f"--web.external-url={self.alertmanager_url}",
            "--cluster.listen-address=",  # it is alone
            "--log.level=warn",
        ]
        prometheus = [
            self.programs.prometheus,
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{self.ports[0]}",
            f"--web.external-url={self.prometheus_url}",
            "--log.level=warn",
        ]
        return (alertmanager, prometheus) if self.programs.alertmanager else (prometheus,)

    def _prometheus(self) -> dict[str, object]:
        scraping: dict[str, object] = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "scrape_configs": [{"job_name": self.job, "static_configs": [{"targets": [self.target]}]}],
        }
        if not self.programs.alertmanager:
            return scraping
        alertmanagers = [{"static_configs": [{"targets": [self.alertmanager_url.removeprefix("http://")]}]}]
        return scraping | {
            "rule_files": [str(self.folder / "rules.yml")],
            "alerting": {"alertmanagers": alertmanagers},
        }

    def _rules(self) -> dict[str, object]:
        rule = {
            "alert": self.rule.name,
            "expr": self.rule.expr,
            "for": self.rule.hold,
            "labels": dict(self.rule.labels),
            "annotations": dict(self.rule.annotations),
        }
        return {"groups": [{"name": self.job, "rules": [rule]}]}

    def _alertmanager(self) -> dict[str, object]:
        authorization = {"type": "Bearer", "credentials_file": str(self.token_file)}
        webhook = {"url": self.receiver, "send_resolved": True, "http_config": {"authorization": authorization}}
        return {
            "receivers": [{"name": "nightshift", "webhook_configs": [webhook]}],
            "route": {
                "receiver": "nightshift",
                "group_by": ["alertname", "service"],
                "group_wait": "1s",
                "group_interval": "1s",
                "repeat_interval": "20s",
            },
        }

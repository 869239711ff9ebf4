"""CI systems."""

from typing import Protocol, runtime_checkable

from bot.domain.ci import CIRequest, CIRun
from bot.ports.alerts import AlertSource
from bot.ports.chat import Health
from bot.ports.forge import Forge


class CIProvider(Protocol):
    """One CI system. Raises `Unavailable` (retry may help) or `Rejected` (final)."""

    async def start(self, request: CIRequest) -> CIRun:
        """Start the one run of `request.sha`, or return the run that is already there.

        May be repeated, but for a dispatch: that is an order to a service that may not know it twice. It is sent
        once by the caller, who notes that first, and who asks `status` after an answer that did not come. Only
        after `NotSent` it may be sent again.
        A push or a pull request has started the run already: here it is only found, and queued until it shows.
        """
        ...

    async def status(self, sha: str) -> CIRun | None:
        """Return the run of a SHA, None where there is none. This is the probe: it changes nothing."""
        ...

    async def log(self, sha: str) -> str:
        """Return the run's log as kept so far, newest attempt last.

        Where it holds several jobs, each has a title of its own: `=== <workflow>, <job>: <step>, attempt <n> ===`.
        """
        ...

    async def cancel(self, sha: str) -> CIRun:
        """Stop the run. A finished run stays as it is."""
        ...

    async def rerun(self, sha: str) -> CIRun:
        """Run a finished SHA again as the next attempt of the same run."""
        ...

    async def check(self) -> Health:
        """Say whether the system can be used now."""
        ...


@runtime_checkable
class KnowsOrders(Protocol):
    """A `CIProvider` that can tell the run which an order began from other runs of the same commit."""

    def expect(self, request: CIRequest) -> None:
        """From now on only the run that this order begins counts as the run of its commit.

        Nothing is asked or sent, it may be repeated, and it is forgotten with the process.
        """
        ...


@runtime_checkable
class FindsOrders(Protocol):
    """A `CIProvider` that finds the run of an order by its key, whatever other runs the commit has."""

    async def find_order(self, request: CIRequest) -> CIRun | None:
        """Return the run that this order began, None where none shows (yet). It changes nothing."""
        ...


class Platform(Protocol):
    """What a file of `connectors/ci` offers as `Connector`, made as `Connector(settings, repositories)`.

    `settings` is its own `Settings`, read from `[connections.<name>]`; `repositories` are the addresses of the
    services that use it. A service that has no part leaves it None.
    """

    @property
    def ci(self) -> CIProvider | None: ...

    @property
    def forge(self) -> Forge | None: ...

    @property
    def hooks(self) -> AlertSource | None:
        """Its webhooks, mounted at `POST /v1/alerts/<name>`; None where no webhook secret is configured.

        Each run is told once: its groups have `repeats=False`. An alert about a run has the labels `repository`,
        `workflow`, `branch`, and the whole commit id as `sha`, whose log is asked for.
        """
        ...

    async def close(self) -> None: ...

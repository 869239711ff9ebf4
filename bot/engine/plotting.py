"""The phase in which the worker draws an investigation's plots. Nothing waits for it, and nothing fails with it."""

from collections.abc import Mapping

import structlog

from bot.domain.chat import PNG
from bot.domain.metrics.metric import Metric
from bot.domain.runs.image import read_image
from bot.engine.phases import Phase
from bot.engine.tools import PhaseWork
from bot.errors import Reason, Rejected
from bot.render.plot_png import MAX_BYTES
from bot.render.plot_svg import name_file
from bot.services import plotting
from bot.services.plotting import Drawn

log = structlog.get_logger(__name__)


class Plotting(PhaseWork):
    """Runs after what was measured and what changed is stored; a run is plotted once."""

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(name="plot", run=self._plot, failed=self._failed, together=2, patience=120),)

    async def _plot(self, args: Mapping[str, str]) -> None:
        incident, run, plotter = args["incident"], args["run"], self._tools.plotter
        results = await self._in_unit(lambda w: w.investigations.of(run))
        metrics = plotting.choose_plots(results)
        if plotter is None or not metrics:
            return
        pictures = await plotter.plot(metrics, plotting.list_changes(results))
        if len(pictures) != len(metrics):
            raise Rejected("The worker drew something else than it was asked to.", Reason.SERVER_ERROR)
        plots = [_read_drawn(metric, data) for metric, data in zip(metrics, pictures, strict=True)]
        await self._in_unit(lambda w: plotting.keep_plots(w, incident, run, plots))

    async def _failed(self, args: Mapping[str, str], why: str) -> None:
        log.warning("not_plotted", run=args["run"], error=self._tools.redact(why))


def _read_drawn(metric: Metric, data: bytes) -> Drawn:
    """Raises `Refused` or `Rejected` where the worker's bytes are no picture, or too many."""
    image = read_image(data, f"{name_file(metric)}.png")
    if image.media_type != PNG or len(data) > MAX_BYTES:
        raise Rejected("The worker drew no PNG, or one that is too large.", Reason.SERVER_ERROR)
    return Drawn(image=image, title=metric.query.title, caption=metric.claim, data=data)

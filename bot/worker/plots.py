"""Plots of metrics as PNG, drawn in the worker: what draws them is loaded with the first."""

import asyncio
from collections.abc import Sequence

from bot.domain.metrics.metric import Metric
from bot.domain.suspects.happened import Happened
from bot.render.plot import draw_plot
from bot.render.plot_png import write_png


class Plots:
    """`bot.ports.investigator.Plotter` in this process."""

    async def plot(self, metrics: Sequence[Metric], changed: Sequence[Happened]) -> Sequence[bytes]:
        return await asyncio.to_thread(lambda: [write_png(draw_plot(metric, changed)) for metric in metrics])

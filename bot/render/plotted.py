"""The plots of an investigation in a chat: pictures alone, right under the findings that say the same in words."""

from collections.abc import Sequence

from bot.domain.chat import Message, Picture
from bot.domain.incident import Incident
from bot.render.words import write_line, write_list
from bot.services.plotting import Drawn


def render_plots(incident: Incident, number: str, plots: Sequence[Drawn]) -> Message:
    titles = write_list([write_line(plot.title, 60) for plot in plots])
    pictures = tuple(
        Picture(
            name=plot.image.name,
            caption=write_line(plot.caption, 300),
            sha256=plot.image.sha256,
            data=plot.data,
            media_type=plot.image.media_type,
        )
        for plot in plots
    )
    return Message(incident=incident.id, slot=f"plots:{number}", headline=f"Plotted: {titles}", pictures=pictures)

"""Links in messages: to Nightshift's own pages only where they can be reached, elsewhere only over http(s)."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from bot.domain.chat import Link


@dataclass(frozen=True, kw_only=True)
class Links:
    """Nightshift's own pages. `base` is the public URL; empty = no page can be linked."""

    base: str = ""

    def to_incident(self, incident: str) -> Link | None:
        """Return the link to an incident's page."""
        return link_to("Nightshift", f"{self.base.rstrip('/')}/incidents/{incident}") if self.base else None

    def to_patch(self, incident: str, digest: str) -> Link | None:
        """Return the link to a patch's page, where the whole diff is."""
        url = f"{self.base.rstrip('/')}/incidents/{incident}/patches/{digest[:12]}"
        return Link(label="Whole diff", url=url) if self.base else None


def link_to(label: str, url: str) -> Link | None:
    """Return a link where `url` is a plain web address, else None: annotations are hostile input."""
    if not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return Link(label=label, url=url) if parts.scheme in {"http", "https"} and parts.hostname else None

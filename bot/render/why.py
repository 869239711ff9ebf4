"""What the agent did in a run, as a file in the thread."""

from bot.domain.chat import File, Message


def render_why(incident: str, number: str, *, state: str, text: str) -> Message:
    """Return the message that brings the whole account of a run; it rings nobody."""
    return Message(
        incident=incident,
        slot=f"why.{number}",
        headline=f"What the agent did in run {incident}:{number} ({state})",
        files=(File(name=f"{incident}-run{number}.txt", media_type="text/plain", text=text),),
    )

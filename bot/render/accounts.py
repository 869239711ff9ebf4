"""What a chat is told when one of its people links an account elsewhere, or one is removed."""

from bot.domain.chat import Message, Paragraph, Tone


def render_linked(*, slot: str, person: str, name: str, channel: str, account: str, is_there: bool) -> Message:
    """Return the news of an account that a person gained, or (not `is_there`) lost. It rings nobody."""
    if is_there:
        headline = f"{name} has a new account: {account} in {channel}"
        text = f"Linked with a code that {name} asked for here. If that was not {name}, write /link remove {channel}."
    else:
        headline = f"{account} is no account of {name} any more"
        text = f"It was removed from {channel}."
    return Message(
        incident="",
        slot=slot,
        headline=headline,
        tone=Tone.WARN if is_there else Tone.CALM,
        blocks=(Paragraph(text=text),),
        tells=(person,),
    )

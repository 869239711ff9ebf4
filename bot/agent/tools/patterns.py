"""Regular expressions of the model's: RE2, so that none can take for ever."""

from typing import Final

import re2

from bot.agent.sources import Pattern
from bot.errors import Reason, Refused

MAX_PATTERN: Final = 500


def compile_pattern(pattern: str) -> Pattern:
    """Return it compiled. Raises `Refused` that says what is wrong with it."""
    if len(pattern) > MAX_PATTERN:
        raise Refused(f"the pattern is longer than {MAX_PATTERN} characters", Reason.TOO_LARGE)
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 8 * 1024 * 1024
    try:
        compiled: Pattern = re2.compile(pattern, options)
    except re2.error as error:
        raise Refused(f"the pattern is not RE2: {_tell(error)[:120]}", Reason.BAD_INPUT) from error
    return compiled


def _tell(error: re2.error) -> str:
    """Return what RE2 says; it says it in bytes."""
    said = error.args[0] if error.args else ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)

"""How long tests wait for what must come. It claims nothing about speed: a busy machine takes its time."""

from typing import Final

HANGS: Final = 300.0
"""Seconds after which a test says that something hangs."""

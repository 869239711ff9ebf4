"""`python -m bot` is the same program as `nightshift`."""

from bot.cli import main

main()

"""Whole numbers on the command line."""

import argparse


class within:  # noqa: N801 -- reads as a type in `add_argument`
    """A whole number between two limits."""

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most

    def __call__(self, text: str) -> int:
        if not text.isdecimal() or not self._least <= int(text) <= self._most:
            raise argparse.ArgumentTypeError(f"a whole number from {self._least} to {self._most} is needed")
        return int(text)

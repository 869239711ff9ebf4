"""Patches in their one form, read strictly; and what in them needs a second person."""

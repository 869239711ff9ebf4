"""CI systems."""

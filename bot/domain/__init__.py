"""The rules of Nightshift: frozen values and pure functions; no I/O, time is an argument."""

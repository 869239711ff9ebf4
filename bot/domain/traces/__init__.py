"""Stack traces as eight languages print them, and links to traces of requests."""

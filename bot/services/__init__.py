"""One use case, one synchronous function that gets a unit of work."""

"""SQL lives here alone."""

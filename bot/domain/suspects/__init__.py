"""What changed, and which change may have caused it."""

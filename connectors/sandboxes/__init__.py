"""Places where repository code may run."""

"""Places where repository code may run: the rungs of the ladder, and what they share."""

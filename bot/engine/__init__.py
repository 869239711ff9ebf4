"""Durable phases, effects and ticks. dbos and apscheduler live here alone."""

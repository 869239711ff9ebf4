"""Metrics: what is asked, what came back, and what moved."""

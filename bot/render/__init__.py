"""Domain values to service-neutral chat messages."""

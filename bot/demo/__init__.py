"""`nightshift demo`: a small real world in which the whole job is done once."""

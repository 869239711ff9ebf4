"""Models and their servers: how they fit, how they are started, how they do, how long they think, what they cost."""

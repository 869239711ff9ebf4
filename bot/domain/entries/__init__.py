"""Single settings and pinned packages of text files: found, and put back alone."""

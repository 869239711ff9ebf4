"""The child process that touches hostile input: logs, git, diffs, sandboxes."""

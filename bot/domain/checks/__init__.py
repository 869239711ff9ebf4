"""The checks of a repository: how they are named, what their output says, and what reproduces a failure."""

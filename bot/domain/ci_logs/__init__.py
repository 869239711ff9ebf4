"""The logs of CI: which lines show what failed."""

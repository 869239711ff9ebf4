"""What the command line does, a module for each command and its parts."""

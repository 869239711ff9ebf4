"""Text and file names, whatever they are about."""

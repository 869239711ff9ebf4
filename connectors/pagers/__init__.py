"""Ways to wake people outside of chat."""

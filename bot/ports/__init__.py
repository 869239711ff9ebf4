"""What Nightshift needs from the outside, as Protocols and value types."""

"""Working copies of repositories."""

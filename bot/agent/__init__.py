"""The headless investigator: redaction, budgets, tools and the loop."""

"""constraints/text."""

"""constraints/families."""

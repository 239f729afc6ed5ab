"""Attention for the reach mask; imports nothing of the package."""

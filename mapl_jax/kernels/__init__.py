"""Attention for the reach mask and log-probabilities in chunks, with their own gradients.

May import: nothing.
"""

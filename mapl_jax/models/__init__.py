"""Decoders described by a config: their weights, heads, adapters and generation.

May import: runtime, kernels, losses.
"""

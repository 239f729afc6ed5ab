"""From preference pairs to batches of token tries.

May import: runtime, constraints, kernels, losses, token_losses.
"""

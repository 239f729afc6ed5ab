"""From batches to a trained model: objective, step, loop, checkpoints, mesh and metrics.

May import: runtime, kernels, losses, pair_losses, token_losses, data, models.
"""

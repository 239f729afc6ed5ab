"""What a run costs: time and memory, measured, estimated, and beside other libraries.

May import: runtime, kernels, losses, pair_losses, data, models, synthesis, training.
"""

"""Numbers about a trained model, and what they leave open: accuracies, intervals, rewards, samples.

May import: runtime, constraints, kernels, losses, data, models, training.
"""

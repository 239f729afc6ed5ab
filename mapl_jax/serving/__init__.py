"""Rewards over HTTP: what requests hold, one queue in front of the model, and the application.

May import: runtime, kernels, data, models, training and evaluation.
"""

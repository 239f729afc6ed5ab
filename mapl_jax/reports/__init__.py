"""Numbers as pages, figures and cards.

May import: runtime, constraints, losses, data, models, synthesis, training, evaluation.
"""

"""Numbers about a trained model, and what they leave open: accuracies, intervals, rewards, samples.

May import: runtime, constraints, kernels, losses, token_losses, data, models, training.
"""

from mapl_jax.evaluation.evaluators import Evaluator as Evaluator
from mapl_jax.evaluation.evaluators import evaluator_of as evaluator_of
from mapl_jax.evaluation.evaluators import kind_of as kind_of

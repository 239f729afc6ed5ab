"""Best of n from N responses: the mean over all subsets of n, by its closed form."""

import itertools

import numpy as np
import pytest

from mapl_jax.evaluation import best_of

RIGHT = [[True, False, False, True, False], [False, False, True, False, False]]
REWARDS = [[0.1, 0.9, 0.9, 0.4, 0.2], [3.0, -1.0, 2.5, 2.5, 0.0]]


@pytest.mark.parametrize("n", [1, 2, 4])
def test_accuracies_are_the_means_over_all_subsets(n):
    found = best_of.curve(RIGHT, REWARDS)[n]
    one, chosen, best = [], [], []
    for right, rewards in zip(RIGHT, REWARDS, strict=True):
        subsets = list(itertools.combinations(range(5), n))
        one.append(np.mean(right))
        # Of equal rewards the first one is chosen.
        chosen.append(np.mean([right[max(s, key=lambda i: (rewards[i], -i))] for s in subsets]))
        best.append(np.mean([any(right[i] for i in s) for s in subsets]))
    np.testing.assert_allclose(found, [np.mean(x) for x in (one, chosen, best)], rtol=1e-12)


def test_of_one_response_every_choice_is_the_same():
    assert len(set(np.round(best_of.curve(RIGHT, REWARDS)[1], 12))) == 1


def test_numbers_of_responses_end_at_the_prompt_that_has_fewest():
    assert list(best_of.curve([[True] * 9, [False] * 5], None)) == [1, 2, 4]
    assert list(best_of.curve([[True] * 9, [False] * 8], None)) == [1, 2, 4, 8]


def test_without_a_reward_model_its_column_is_missing():
    text = best_of.table(best_of.curve(RIGHT, None))
    assert "the best" in text and "selector" not in text
    assert "selector" in best_of.table(best_of.curve(RIGHT, REWARDS))

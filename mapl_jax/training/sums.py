"""What is logged of the sums of a batch, under the names that TRL's trainers log."""

from mapl_jax.losses import ALL_LEVELS, BASE, LevelSums, PolicySums
from mapl_jax.token_losses import TokenSums, perplexity, token_loss

# Of a reward model, of a policy by preferences, and of one by demonstrations.
Sums = LevelSums | PolicySums | TokenSums


def samples(sums: Sums) -> float:
    """How many samples these are the sums of."""
    if isinstance(sums, TokenSums):
        return float(sums.responses)
    levels = sums.levels if isinstance(sums, PolicySums) else sums
    return float(levels.comparisons[BASE])


def metrics(sums: Sums) -> dict[str, float]:
    """What is logged of a batch, by name, from its sums once they are fetched from the device."""
    if isinstance(sums, LevelSums):
        return reward_metrics(sums)
    return policy_metrics(sums) if isinstance(sums, PolicySums) else token_metrics(sums)


def reward_metrics(sums: LevelSums) -> dict[str, float]:
    """The names of TRL's `RewardTrainer`."""
    values = level_metrics(sums)
    if count := values.get("base_count"):
        values |= {name: values[f"base_{name}"] for name in _ordered(values)}
        values["mean_reward"] = float(sums.reward) / (2 * count)
        values["min_reward"] = float(sums.reward_min)
        values["max_reward"] = float(sums.reward_max)
    return values


def policy_metrics(sums: PolicySums) -> dict[str, float]:
    """The names of TRL's `DPOTrainer`.

    `drift` is the mean of log pi - log pi_ref over response tokens: 0 at the start, and the
    negative of a KL divergence if the responses were the reference's own.
    """
    values = level_metrics(sums.levels)
    if count := values.get("base_count"):
        for index, side in enumerate(("chosen", "rejected")):
            values[f"rewards/{side}"] = float(sums.rewards[index]) / count
            values[f"logps/{side}"] = float(sums.logps[index]) / count
        names = {"accuracy": "rewards/accuracies", "margin": "rewards/margins"}
        values |= {names[name]: values[f"base_{name}"] for name in _ordered(values)}
        values["drift"] = float(sums.drift) / float(sums.tokens)
    return values


def _ordered(values: dict[str, float]) -> list[str]:
    """What is known of base comparisons that are not all ties in the data."""
    return [name for name in ("accuracy", "margin") if f"base_{name}" in values]


def token_metrics(sums: TokenSums) -> dict[str, float]:
    """Perplexity of the demonstrations, and how many tokens it is of."""
    if not sums.tokens:
        return {}
    loss = token_loss(float(sums.logp), float(sums.tokens))
    return {"perplexity": perplexity(loss), "response_tokens": float(sums.tokens)}


def level_metrics(sums: LevelSums) -> dict[str, float]:
    """Mean loss, accuracy and margin of each level that occurs, and how often it does."""
    values = {}
    for index, level in enumerate(ALL_LEVELS):
        count = float(sums.comparisons[index])
        if count:
            values[f"{level}_loss"] = float(sums.loss[index]) / count
            if ordered := float(sums.ordered[index]):
                values[f"{level}_accuracy"] = float(sums.correct[index]) / ordered
                values[f"{level}_margin"] = float(sums.gap[index]) / ordered
            values[f"{level}_count"] = count
    return values

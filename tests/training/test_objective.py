"""What a run trains gives the same however the batch is cut, packed or spread over devices."""

import dataclasses
import functools
import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapl_jax import losses, pair_losses
from mapl_jax.data import tokenization, trie_set
from mapl_jax.data.loader import Batches
from mapl_jax.data.rows import make_plan
from mapl_jax.data.settings import TrieSettings
from mapl_jax.kernels.compute import Compute
from mapl_jax.losses import joined
from mapl_jax.models import axes
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import optimizers, scoring, sharding, step, trainer
from mapl_jax.training.objective import PATHS, policy_loss
from mapl_jax.training.settings import run_settings

MODEL = DecoderConfig(320, width=32, layers=1, heads=4, kv_heads=2, head_dim=8, mlp_width=64)
ONE = {"data": 1, "fsdp": 1, "tensor": 1}
WORDS = "bake bread mix flour water salt wait cool eat knead fold rest".split()
LENGTH = 192


def objective_of(config):
    """The objective of a config."""
    return trainer.objective_of(run_settings(config.to_dict()))


def config_of(name, **changes):
    """A config file's config with a model that exists."""
    path = Path(__file__).parents[2] / "configs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config("pretrained") if name == "dpo" else module.get_config()
    config.model.path = str(Path(__file__).parent)
    config.update_from_flattened_dict(changes)
    return config


def sample(i, rng, gamma=0.0):
    ask = " ".join(rng.choice(WORDS, int(rng.integers(3, 12))))
    prompts = [ask, f"{ask} Use few words.", f"{ask} Use many words."]
    return {
        "id": f"s{i}",
        "prompts": [
            {"messages": [{"role": "user", "content": text}], "constraints": []} for text in prompts
        ],
        "responses": [" ".join(rng.choice(WORDS, int(rng.integers(2, 9)))) for _ in range(2)],
        "comparisons": [
            {"level": "base", "prompt": [0, 0], "response": [0, 1], "sign": [1, -1],
             "gamma": gamma},
            {"level": "intra", "prompt": [1, 2], "response": [0, 0], "sign": [1, -1],
             "gamma": 0.0},
            {"level": "inter", "prompt": [1, 1, 0, 0], "response": [0, 1, 0, 1],
             "sign": [1, -1, -1, 1], "gamma": 0.0},
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return tokenization.train([" ".join(WORDS)] * 3, 320)


@pytest.fixture(scope="module")
def encoded(tokenizer, tmp_path_factory):
    """The tries of samples."""

    def of(samples, name):
        settings = TrieSettings(max_length=96, row_length=LENGTH)
        folder = tmp_path_factory.mktemp("tries")
        return trie_set.encode_cached(samples, name, tokenizer, settings, folder)

    return of


@pytest.fixture(scope="module")
def tries(encoded):
    rng = np.random.default_rng(0)
    return encoded([sample(i, rng) for i in range(24)], "pairs")


@pytest.fixture(scope="module")
def shown(encoded):
    """Demonstrations: the chosen responses of the same samples."""
    rng = np.random.default_rng(0)
    samples = [sample(i, rng) for i in range(24)]
    return encoded(
        [
            {**s, "prompts": s["prompts"][:1], "responses": s["responses"][:1], "comparisons": []}
            for s in samples
        ],
        "shown",
    )


@functools.cache
def parameters():
    """Larger than at the start of training."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: np.asarray(0.15 * rng.normal(size=x.shape), np.float32),
        LogpHead().abstract_params(MODEL),
    )


def serve(tries, objective, *, rows=8, length=LENGTH, seed=0, accumulation=1, **options):
    plan = make_plan(
        tries.lengths,
        tries.leaves,
        tries.levels.sum(1),
        scored=tries.predicted if objective.joint else tries.response,
        row_length=length,
        rows_per_batch=rows,
        accumulation=accumulation,
        seed=seed,
    )
    return Batches(tries, plan, joint=objective.joint, weights=objective.weights, **options)


def reference_of(tries, objective, *, rows=8):
    """Log-probabilities of all leaves under the first parameters."""
    mesh = mesh_of()
    places = jax.tree.map(lambda _: sharding.replicated(mesh), parameters())
    leaves = step.compile_scoring(
        functools.partial(objective.leaves, MODEL, compute=Compute()), mesh, places
    )
    return scoring.all_leaves(
        lambda batch: leaves(parameters(), sharding.to_device(batch, mesh)),
        scoring.held_out(tries, mesh, rows_per_batch=rows, pad_token=0, joint=objective.joint),
        PATHS,
    )


@pytest.fixture(scope="module")
def reference(tries):
    return reference_of(tries, dpo())


def take(objective, batches, shape=ONE, steps=2):
    """Metrics of a few steps, and the parameters after them."""
    mesh = mesh_of(shape)
    shapes = LogpHead().abstract_params(MODEL)
    logical = axes.logical_axes(shapes)
    settings = optimizers.OptimizerSettings(learning_rate=1e-3, schedule="constant")
    rate = optimizers.schedule(settings, steps)
    optimizer = optimizers.make(settings, rate, logical)
    _, shardings = step.state_shapes(shapes, optimizer, mesh, logical)
    compute = Compute(spread=sharding.spread(mesh))
    leaves = functools.partial(objective.leaves, MODEL, compute=compute)
    run = step.compile_train_step(
        step.make_train_step(leaves, objective.loss, optimizer, rate), mesh, shardings
    )
    params = jax.device_put(parameters(), shardings.params)
    state = step.compile_first_state(optimizer, shardings)(params)
    log = []
    for number in range(steps):
        batch = batches[number].keeping(objective.fields)
        state, metrics = run(state, sharding.to_device(batch, mesh))
        log.append(step.to_floats(jax.device_get(metrics)))
    assert run._cache_size() == 1
    return log, jax.device_get(state.params)


def mesh_of(shape=ONE):
    return sharding.make_mesh(shape, jax.devices()[: int(np.prod(list(shape.values())))])


def dpo(**changes):
    return objective_of(config_of("dpo", **changes))


@pytest.mark.parametrize(
    ("rows", "joint"), [(4, False), pytest.param(8, False, marks=pytest.mark.slow), (8, True)]
)
def test_the_first_loss_is_log_2_a_level_whatever_the_packing(tries, rows, joint):
    objective = dpo(**{"loss.joint_logp": joint})
    batches = serve(
        tries, objective, rows=rows, seed=rows, reference=reference_of(tries, objective)
    )
    (first, *_), _ = take(objective, batches, steps=1)
    assert first["loss"] == pytest.approx(3 * np.log(2), abs=1e-6)
    for level in losses.LEVELS:
        assert first[f"{level}_loss"] == pytest.approx(np.log(2), abs=1e-6)
    assert first["drift"] == pytest.approx(0, abs=1e-6)


MIXED = {"loss.type": "sigmoid,ipo,sft", "loss.weights": "1,0.01,0.5", "loss.label_smoothing": 0.1}


@pytest.fixture(scope="module")
def alone(tries):
    objective = dpo(**MIXED)
    # Another reference than the policy, so that every comparison has a sign that is no rounding.
    noise = np.random.default_rng(1).normal(0, 4, (int(tries.leaves.sum()), 1)) * (1, 0)
    reference = (reference_of(tries, objective) + noise).astype(np.float32)
    return objective, reference, *take(objective, serve(tries, objective, reference=reference))


@pytest.mark.parametrize(
    "shape", [pytest.param((8, 1, 1, 1), marks=pytest.mark.slow), (1, 2, 1, 4)]
)
def test_eight_devices_give_what_one_gives(tries, alone, shape):
    _, reference, log, params = alone
    shape = dict(zip(sharding.MESH_AXES, shape, strict=True))
    objective = dpo(**MIXED)
    batches = serve(tries, objective, reference=reference)
    found, spread = take(objective, batches, shape)
    same(found, log)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), spread, params)


def test_accumulation_gives_what_the_whole_batch_gives(tries, alone):
    objective, reference, log, _ = alone
    found, _ = take(objective, serve(tries, objective, reference=reference, accumulation=4))
    same(found, log)


def test_tries_in_longer_rows_give_what_one_large_row_gives(tries):
    objective, few = dpo(), tries.first(6)
    noise = np.random.default_rng(1).normal(0, 4, (int(few.leaves.sum()), 1)) * (1, 0)
    reference = (reference_of(few, objective) + noise).astype(np.float32)
    long, large = (
        serve(few, objective, rows=rows, length=length, reference=reference)
        for length, rows in ((few.lengths.max() // 2 + 1, 32), (2048, 1))
    )
    assert len(long) == len(large) == 1
    assert long.plan.shapes[0].row_length >= few.lengths.max() > long.plan.shapes[0].row_length / 2
    (found, spread), (log, params) = (take(objective, each, steps=1) for each in (long, large))
    same(found, log)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), spread, params)


def same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            assert ours[name] == pytest.approx(value, rel=1e-4, abs=2e-5), name


def test_metrics_have_the_names_of_trl(alone):
    log = alone[2]
    for side in ("chosen", "rejected"):
        assert {f"rewards/{side}", f"logps/{side}"} <= log[1].keys()
    second = log[1]
    gap = second["rewards/chosen"] - second["rewards/rejected"]
    assert second["rewards/margins"] == pytest.approx(gap, abs=1e-5)
    assert second["rewards/accuracies"] == second["base_accuracy"]
    assert {"loss", "grad_norm", "learning_rate", "num_tokens", "drift"} <= second.keys()


def test_the_sft_term_is_the_mean_over_all_chosen_tokens_of_the_batch(tries, reference):
    """As in TRL: not the mean of the means of responses."""
    objective = dpo()
    batch = jax.tree.map(lambda x: x[0], serve(tries, objective, reference=reference)[0])
    logps = jnp.asarray(np.random.default_rng(0).normal(-9, 3, batch.leaf_end.shape))
    batch = batch._replace(ref_logp=joined(batch.ref_logp))
    with_sft, _ = policy_loss(logps, batch, beta=0.1, sft=0.5)
    without, _ = policy_loss(logps, batch, beta=0.1)
    chosen = batch.comparisons.term_leaf[..., 0][batch.comparisons.level == losses.BASE]
    row = np.nonzero(batch.comparisons.level == losses.BASE)[0]
    mean = -logps[row, chosen].sum() / batch.response_tokens[row, chosen].sum()
    assert float(with_sft - without) == pytest.approx(0.5 * float(mean), rel=1e-5)


@pytest.mark.parametrize("name", sorted(set(pair_losses.LOSSES) - {"exo_pair"}))
def test_the_base_level_alone_has_the_chosen_loss(tries, reference, name):
    objective = dpo(**{"loss.type": name})
    batch = jax.tree.map(lambda x: x[0], serve(tries, objective, reference=reference)[0])
    logps = jnp.asarray(reference_like(batch))
    _, sums = objective.loss(logps, batch)
    _, plain = policy_loss(logps, batch, beta=0.1)
    np.testing.assert_allclose(sums.levels.loss[1:], plain.levels.loss[1:], rtol=1e-6)
    table = batch.comparisons
    base = np.asarray(table.level == losses.BASE)
    lengths = losses.sides(jnp.asarray(batch.response_tokens, jnp.float32), table)
    sides = losses.sides(0.1 * joined(logps - batch.ref_logp), table)
    pair = pair_losses.Pair(*(x[base] for x in (*sides, table.gamma, *lengths)))
    expected = pair_losses.LOSSES[name](pair, 0.1, 0.0).sum()
    assert float(sums.levels.loss[0]) == pytest.approx(float(expected), rel=1e-5)


def reference_like(batch):
    noise = np.random.default_rng(1).normal(0, 4, batch.ref_logp.shape)
    return (batch.ref_logp + noise).astype(np.float32)


def test_sft_is_the_mean_over_response_tokens(shown):
    objective = objective_of(config_of("sft"))
    (first, *_), _ = take(objective, serve(shown, objective), steps=1)
    logps = reference_of(shown, objective)
    batches = serve(shown, objective)
    used = np.concatenate(batches.plan.batch(0))
    mean = -logps[used].sum() / shown.response[used].sum()
    assert first["loss"] == pytest.approx(mean, rel=1e-5)
    assert first["perplexity"] == pytest.approx(np.exp(mean), rel=1e-4)
    assert first["response_tokens"] == shown.response[used].sum()


def test_sft_scores_response_tokens_alone_and_weighs_them_to_one(shown):
    objective = objective_of(config_of("sft"))
    batch = serve(shown, objective)[0]
    scored = batch.scored_at[0]
    for row in range(len(scored)):
        indices = scored[row][scored[row] >= 0]
        tokens = batch.response_tokens[0][row].sum()
        assert len(indices) == tokens
    total = (batch.sft_weight * batch.response_tokens).sum()
    assert total == pytest.approx(1, rel=1e-6)


def test_margins_of_the_data_need_a_loss_that_knows_them(encoded):
    rng = np.random.default_rng(0)
    with_gamma = encoded([sample(i, rng, gamma=0.5) for i in range(4)], "gamma")
    config = config_of("dpo", **{"loss.type": "ipo"})
    with pytest.raises(UserError, match="margins, and the loss ipo ignores them"):
        objective_of(config).check(with_gamma)
    for name in ("sigmoid", "sigmoid,sft"):
        config = config_of("dpo", **{"loss.type": name})
        objective_of(config).check(with_gamma)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss.beta": 0.0}, "beta is 0"),
        ({"loss.beta": -0.1}, "beta is -0.1"),
        ({"loss.type": "dpo"}, "unknown loss 'dpo'"),
        ({"loss.type": "sft"}, "no preference loss"),
        ({"loss.type": "sigmoid,hinge", "loss.weights": "1"}, "give each a weight"),
        ({"loss.type": "sigmoid,sigmoid"}, "name every loss once"),
        ({"loss.weights": "much"}, "give numbers"),
        ({"loss.type": "sigmoid,sft", "loss.weights": "1,-1"}, "weight of sft"),
        ({"loss.type": "exo_pair"}, "exo_pair needs it"),
        ({"loss.type": "hinge", "loss.label_smoothing": 0.1}, "hinge does not use it"),
        ({"loss.type": "ipo", "loss.joint_logp": True}, "joint_logp"),
        ({"loss.type": "sigmoid,sft", "loss.joint_logp": True}, "joint_logp"),
        ({"loss.base": 0.0}, "loss.base"),
        ({"loss.inter_form": "other"}, "loss.inter_form"),
        ({"objective": "ppo"}, "choose one of reward, dpo, sft"),
        ({"model.path": "nowhere"}, "configs/sft.py"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        dpo(**changes)


def test_an_objective_is_what_its_config_says():
    objective = dpo(**{"loss.base": 0.5, "loss.inter_form": "fixed", "loss.inter_gamma": 0.2})
    assert objective.weights == (0.5, 1.0, 1.0, 1.0)
    assert objective.inter_gamma == 0.2
    assert dataclasses.replace(objective) == objective

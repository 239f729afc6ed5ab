"""A run whose rows have several lengths: compiled once each, and exact after a kill."""

import jax
import numpy as np
import pytest

from mapl_jax.data import loader, rows, tokenization, trie_set
from mapl_jax.data.settings import TrieSettings
from mapl_jax.kernels.compute import Compute
from mapl_jax.models.config import DecoderConfig
from mapl_jax.training import objective, optimizers, sharding, step, trainer
from mapl_jax.training.checkpoints import Checkpoints

from support import SAMPLE, random_like

MODEL = DecoderConfig(320, width=16, layers=1, heads=2, kv_heads=1, head_dim=8, mlp_width=16)
STOP = 4


class Counting:
    """A step that counts how often it is compiled."""

    def __init__(self, inner):
        self.inner, self.count = inner, 0

    def lower(self, *arguments):
        self.count += 1
        return self.inner.lower(*arguments)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trainer, its first parameters, and the batches of two epochs in rows of 64 and 128."""
    answers = [["Fine."] * n + ["Bad, sir."] * (n % 3) for n in (1, 2, 3, 4, 9, 1, 2, 11)]
    samples = [
        {
            **SAMPLE,
            "id": str(i),
            "responses": [" ".join(parts), "No."],
            "prompts": SAMPLE["prompts"],
        }
        for i, parts in enumerate(answers)
    ]
    tokenizer = tokenization.train(["How are you? Fine. Bad, sir. No."] * 3, 300)
    settings = TrieSettings(max_length=64, row_length=64)
    folder = tmp_path_factory.mktemp("tries")
    tries = trie_set.encode_cached(samples, "all", tokenizer, settings, folder)
    plan = rows.make_plan(
        tries.lengths,
        tries.leaves,
        tries.levels.sum(1),
        row_length=max(32, int(np.sort(tries.lengths)[-3])),
        rows_per_batch=2,
        seed=0,
        epochs=3,
    )
    mesh = sharding.make_mesh({"data": 1, "fsdp": 1, "tensor": 1}, jax.devices()[:1])
    reward = objective.make("reward", objective.LossSettings(), logp_chunk=64)
    made = trainer.make_trainer(
        MODEL,
        reward,
        mesh,
        settings=optimizers.OptimizerSettings(learning_rate=1e-2),
        steps=plan.steps,
        compute=Compute(backend="dense"),
    )
    return made, random_like(made.shapes, 0.3), made.batches(tries, plan, reference=None)


def goes_on(run, take, state, start, stop):
    """The state after steps [start, stop), and the losses."""
    made, _, batches = run
    log = []
    for batch in loader.stream(batches, start=start, stop=stop, fields=made.objective.fields):
        state, metrics = take(state, made.to_device(batch))
        log.append(float(metrics.loss))
    return state, log


def test_a_run_with_rows_of_two_lengths_ends_the_same_after_a_kill(run, tmp_path):
    made, params, batches = run
    fields, counted = made.objective.fields, Counting(made.train_step)
    examples = [made.to_device(batch.keeping(fields)) for batch in batches.of_each_shape()]
    take = step.for_shapes(counted, {}, examples)
    steps = len(batches)
    lengths = [batches.plan.shape(at).row_length for at in range(steps)]
    assert len(set(lengths[:STOP])) == len(set(lengths[STOP:])) == 2

    def first():
        return made.first_state(jax.tree.map(lambda x: x + 0, params))

    whole, log = goes_on(run, take, first(), 0, steps)
    with Checkpoints(tmp_path) as checkpoints:
        state, _ = goes_on(run, take, first(), 0, STOP)
        checkpoints.save(STOP, state, {"steps": STOP})
    # What was done after the last checkpoint is lost.
    goes_on(run, take, state, STOP, STOP + 1)
    with Checkpoints(tmp_path) as checkpoints:
        state = checkpoints.restore(STOP, made.abstract)
    resumed, rest = goes_on(run, take, state, STOP, steps)
    assert rest == log[STOP:]
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    assert counted.count == 2, "each shape is compiled once"

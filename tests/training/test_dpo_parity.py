"""Six steps of TRL's own DPO trainer, taken again on tries: no torch is needed.

Recorded with TRL 1.16.0 on a tiny Qwen2: fp32, AdamW, sigmoid, beta 0.1, clipping 1.0. Where torch
and TRL are installed, the other losses are compared with the trainer itself.
"""

import functools

import jax
import numpy as np
import pytest

from mapl_jax import pair_losses
from mapl_jax.data import tries
from mapl_jax.data.loader import Batch
from mapl_jax.kernels.compute import Compute
from mapl_jax.losses import BASE, negative_log_likelihood
from mapl_jax.models import hub
from mapl_jax.models.heads import LogpHead
from mapl_jax.training import objective, sharding, step

from support import SHARED

RECORDED = SHARED / "data" / "parity" / "dpo"
pytestmark = pytest.mark.skipif(not RECORDED.exists(), reason="needs the recorded steps of TRL")

BETA = 0.1
WIDTH = 256  # of a row; one width for all steps compiles once


def batch_of(recorded, number):
    """A recorded batch [chosen; rejected], the trie of each pair in one row."""
    ids, mask, completion = (
        recorded[f"{number}/{name}"] for name in ("input_ids", "attention_mask", "completion_mask")
    )
    pairs = len(ids) // 2
    rows = {
        name: np.zeros((pairs, WIDTH), np.int32) for name in ("tokens", "positions", "reach")
    } | {name: np.full((pairs, WIDTH), -1, np.int32) for name in ("parent", "scored_at")}
    leaf_end, lengths = (np.zeros((pairs, 2), np.int32) for _ in range(2))
    for row in range(pairs):
        paths = []
        for side in range(2):
            i = row + side * pairs
            length = int(mask[i].sum())
            paths.append(tries.TokenPath(ids[i, :length], int(np.argmax(completion[i]))))
            lengths[row, side] = completion[i].sum()
        trie = tries.build(paths)
        for name in ("tokens", "positions", "reach", "parent"):
            rows[name][row, : len(trie)] = getattr(trie, name)
        scored = np.flatnonzero(trie.scored)
        rows["scored_at"][row, : len(scored)] = scored
        leaf_end[row] = trie.leaf_end
    return Batch.of(
        {
            **rows,
            "leaf_end": leaf_end,
            "response_tokens": lengths,
            "sft_weight": np.zeros((pairs, 2), np.float32),
            "term_leaf": np.tile(np.asarray([0, 1, 0, 0], np.int32), (pairs, 1, 1)),
            "term_sign": np.tile(np.asarray([1, -1, 0, 0], np.float32), (pairs, 1, 1)),
            "gamma": np.zeros((pairs, 1), np.float32),
            "level": np.full((pairs, 1), BASE, np.int32),
            "weight": np.full((pairs, 1), 1 / pairs, np.float32),
            "share": np.ones((pairs, 1), np.float32),
            "tie": np.zeros((pairs, 1), bool),
        }
    )


@pytest.fixture(scope="module")
def replayed(replay):
    """The steps as taken here, and the parameters after them."""
    config = hub.load_config(RECORDED / "init")
    recorded = np.load(RECORDED / "batches.npz")

    def leaves(params, batch):
        return LogpHead(64).leaves(config, params, batch, Compute())

    def batches(mesh, shardings, params):
        reference = step.compile_scoring(leaves, mesh, shardings.params)
        for number in range(6):
            batch = jax.tree.map(lambda x: x[None], batch_of(recorded, number))
            ref_logp = np.asarray(reference(params, sharding.to_device(batch, mesh)))
            yield sharding.to_device(batch._replace(ref_logp=ref_logp), mesh)

    params, log = replay(
        leaves,
        functools.partial(objective.policy_loss, beta=BETA),
        LogpHead().abstract_params(config),
        hub.load_params(RECORDED / "init", config, head=False, seed=0),
        lambda *placed: list(batches(*placed)),
    )
    return config, params, log


def test_losses_are_those_of_trl(replayed, recorded_log):
    for ours, theirs in zip(replayed[2], recorded_log, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)


def test_the_first_loss_is_log_2(replayed):
    assert replayed[2][0]["loss"] == pytest.approx(np.log(2), abs=1e-6)


def test_gradient_norms_are_those_of_trl(replayed, recorded_log):
    for ours, theirs in zip(replayed[2], recorded_log, strict=True):
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)


@pytest.mark.parametrize("name", ["rewards/chosen", "rewards/rejected", "rewards/margins"])
def test_rewards_are_those_of_trl(replayed, recorded_log, name):
    for ours, theirs in zip(replayed[2], recorded_log, strict=True):
        assert ours[name] == pytest.approx(theirs[name], abs=2e-5)


@pytest.mark.parametrize("name", ["logps/chosen", "logps/rejected"])
def test_log_probabilities_are_those_of_trl(replayed, recorded_log, name):
    for ours, theirs in zip(replayed[2], recorded_log, strict=True):
        assert ours[name] == pytest.approx(theirs[name], rel=1e-6)


def test_accuracies_are_those_of_trl(replayed, recorded_log):
    # Before the first step policy and reference are the same, and rounding alone has a sign.
    for ours, theirs in list(zip(replayed[2], recorded_log, strict=True))[1:]:
        assert ours["rewards/accuracies"] == theirs["rewards/accuracies"]


def test_weights_end_where_those_of_trl_end(replayed):
    config, params, _ = replayed
    expected = hub.load_params(RECORDED / "final", config, head=False, seed=0)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-5), params, expected)


# The last weights of the recorded run are the policy, the first ones the reference.

# They are so near each other that a large beta is needed to tell losses from their starts.
PEER_BETA = 20.0
PEER_LOSSES = sorted(set(pair_losses.LOSSES) | {"sft"})


@pytest.fixture(scope="module")
def ours():
    """Log-probabilities of the first recorded batch under policy and reference."""
    config = hub.load_config(RECORDED / "init")
    batch = batch_of(np.load(RECORDED / "batches.npz"), 0)
    policy_logps, ref_logps = (
        LogpHead().leaves(
            config,
            hub.load_params(RECORDED / name, config, head=False, seed=0),
            batch,
            Compute(),
        )
        for name in ("final", "init")
    )
    return policy_logps, batch._replace(ref_logp=ref_logps)


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    """TRL's trainer with both models, and the batch as it takes it."""
    torch = pytest.importorskip("torch")
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    transformers = pytest.importorskip("transformers")
    models = [
        transformers.AutoModelForCausalLM.from_pretrained(RECORDED / name).eval()
        for name in ("final", "init")
    ]
    made = trl.DPOTrainer(
        model=models[0],
        ref_model=models[1],
        args=trl.DPOConfig(
            output_dir=str(tmp_path_factory.mktemp("trl")),
            beta=PEER_BETA,
            report_to=[],
            use_cpu=True,
            bf16=False,
        ),
        train_dataset=datasets.Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
        processing_class=transformers.AutoTokenizer.from_pretrained(RECORDED / "init"),
    )
    recorded = np.load(RECORDED / "batches.npz")
    names = ("input_ids", "attention_mask", "completion_mask")
    return made, {name: torch.tensor(recorded[f"0/{name}"]) for name in names}


@pytest.mark.peers
def test_log_probabilities_of_leaves_are_those_of_transformers(ours, trainer):
    torch = pytest.importorskip("torch")
    made, inputs = trainer
    for model, found in ((made.model, ours[0]), (made.ref_model, ours[1].ref_logp)):
        with torch.no_grad():
            logits = model.eval()(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            ).logits
        logps = logits[:, :-1].log_softmax(-1)
        of_tokens = logps.gather(-1, inputs["input_ids"][:, 1:, None])[..., 0]
        expected = (of_tokens * inputs["completion_mask"][:, 1:]).sum(1).numpy()
        chosen, rejected = np.split(expected, 2)
        np.testing.assert_allclose(found, np.stack([chosen, rejected], 1), rtol=0, atol=1e-4)


@pytest.mark.peers
@pytest.mark.parametrize("name", PEER_LOSSES)
def test_a_loss_is_that_of_trl(ours, trainer, name):
    torch = pytest.importorskip("torch")
    made, inputs = trainer
    smoothing = 0.1 if name in ("robust", "exo_pair") else 0.0
    made.loss_types, made.loss_weights = [name], [1.0]
    made.label_smoothing = smoothing
    made.model.eval()
    with torch.no_grad():
        expected = float(made._compute_loss(made.model, dict(inputs), False))
    logps, batch = ours
    if name == "sft":
        lengths = batch.response_tokens[:, 0]
        weight = np.asarray([[1, 0]] * len(lengths)) / lengths.sum()
        found = negative_log_likelihood(logps, weight)
    else:
        loss = pair_losses.combine({name: 1.0}, beta=PEER_BETA, smoothing=smoothing)
        found, _ = objective.policy_loss(logps, batch, beta=PEER_BETA, base_loss=loss)
    # A log-ratio is a difference of sums around 200, and has their rounding times beta.
    assert float(found) == pytest.approx(expected, rel=1e-3)

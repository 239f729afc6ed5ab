"""Batches are a function of the step alone: same rows, same weights, on any number of hosts."""

import jax
import numpy as np
import pytest

from mapl_jax.data import tokenization, trie_set
from mapl_jax.data.loader import Batches, stream
from mapl_jax.data.rows import make_plan
from mapl_jax.data.settings import TrieSettings
from mapl_jax.runtime.errors import UserError

pytestmark = pytest.mark.smoke

WORDS = "bake bread mix flour water salt wait cool eat knead fold rest".split()


def sample(i, rng):
    question = " ".join(rng.choice(WORDS, int(rng.integers(3, 30))))
    answers = [" ".join(rng.choice(WORDS, int(rng.integers(2, 20)))) for _ in range(2)]
    messages = [{"role": "user", "content": question}]
    more = [{"role": "user", "content": question + " Use few words."}]
    return {
        "id": f"s{i}",
        "prompts": [
            {"messages": messages, "constraints": []},
            {"messages": more, "constraints": [{"id": "few:words", "margins": [float(i), -1.0]}]},
        ],
        "responses": answers,
        "comparisons": [
            {"level": "base", "prompt": [0, 0], "response": [0, 1], "sign": [1, -1], "gamma": 0.5},
            {"level": "inter", "prompt": [1, 1, 0, 0], "response": [0, 1, 0, 1],
             "sign": [1, -1, -1, 1], "gamma": 0.0, "k": 3},
        ][: 1 + i % 2],
    }  # fmt: skip


@pytest.fixture(scope="module")
def tries(tmp_path_factory):
    rng = np.random.default_rng(0)
    tokenizer = tokenization.train([" ".join(WORDS)] * 3, 300)
    samples = [sample(i, rng) for i in range(40)]
    settings = TrieSettings(max_length=256, row_length=512)
    return trie_set.encode_cached(samples, "f", tokenizer, settings, tmp_path_factory.mktemp("c"))


def planned(tries, rows_per_batch=4, **options):
    return make_plan(
        tries.lengths,
        tries.leaves,
        tries.levels.sum(1),
        row_length=512,
        rows_per_batch=rows_per_batch,
        seed=0,
        **options,
    )


def test_a_row_is_its_tries_side_by_side(tries):
    plan = planned(tries)
    batch = Batches(tries, plan)[0]
    for row, members in enumerate(plan.batch(0)):
        token = leaf = comparison = 0
        for member in members:
            trie = tries[member]
            n, m, c = len(trie["tokens"]), len(trie["leaf_end"]), len(trie["level"])
            at = slice(token, token + n)
            np.testing.assert_array_equal(batch.row.tokens[0, row, at], trie["tokens"])
            np.testing.assert_array_equal(batch.row.positions[0, row, at], trie["positions"])
            np.testing.assert_array_equal(batch.row.reach[0, row, at] - token, trie["reach"])
            ends = batch.leaf_end[0, row, leaf : leaf + m] - token
            np.testing.assert_array_equal(ends, trie["leaf_end"])
            levels = batch.comparisons.level[0, row, comparison : comparison + c]
            np.testing.assert_array_equal(levels, trie["level"])
            token, leaf, comparison = token + n, leaf + m, comparison + c
        assert (batch.row.reach[0, row, token:] == 0).all()
        assert (batch.leaf_end[0, row, leaf:] == -1).all()
        assert (batch.comparisons.level[0, row, comparison:] == -1).all()
        assert (batch.comparisons.weight[0, row, comparison:] == 0).all()


@pytest.mark.parametrize("joint", [False, True])
def test_scored_tokens_are_those_of_the_responses_or_all_that_are_predicted(tries, joint):
    scored = tries.predicted if joint else tries.response
    plan = planned(tries, scored=scored)
    batch = Batches(tries, plan, joint=joint)[0]
    for row, members in enumerate(plan.batch(0)):
        found = batch.scored_at[0, row]
        found, unused = found[: scored[members].sum()], found[scored[members].sum() :]
        assert (unused == -1).all()
        start, expected = 0, []
        for member in members:
            trie = tries[member]
            counts = (trie["parent"] >= 0) & (joint | trie["scored"])
            expected.append(np.flatnonzero(counts) + start)
            start += len(counts)
        np.testing.assert_array_equal(found, np.concatenate(expected))
        assert (batch.parent[0, row, found] >= 0).all()


def test_leaves_have_the_lengths_of_their_responses_and_the_reference_of_their_trie(tries):
    plan = planned(tries)
    reference = np.arange(tries.leaves.sum(), dtype=np.float32) - 1000
    batch = Batches(tries, plan, reference=reference)[0]
    first = np.cumsum(tries.leaves) - tries.leaves
    for row, members in enumerate(plan.batch(0)):
        leaf = 0
        for member in members:
            n = tries.leaves[member]
            at = slice(leaf, leaf + n)
            np.testing.assert_array_equal(
                batch.ref_logp[0, row, at], reference[first[member] : first[member] + n]
            )
            trie = tries[member]
            for i, end in enumerate(trie["leaf_end"]):
                path = (np.arange(len(trie["reach"])) <= end) & (trie["reach"] > end)
                tokens = int((path & trie["scored"]).sum())
                assert batch.response_tokens[0, row, leaf + i] == tokens
            leaf += n
        assert (batch.ref_logp[0, row, leaf:] == 0).all()


def test_chosen_leaves_share_the_base_weight_among_all_their_tokens(tries):
    batch = Batches(tries, planned(tries), weights=(0.5, 1.0, 1.0, 1.0))[0]
    total = (batch.sft_weight * batch.response_tokens).sum()
    assert total == pytest.approx(0.5, rel=1e-6)
    base = batch.comparisons.level[0] == 0
    rows, _ = np.nonzero(base)
    chosen = batch.comparisons.term_leaf[0][base][:, 0]
    assert (batch.sft_weight[0, rows, chosen] > 0).all()
    assert (batch.sft_weight > 0).sum() == base.sum()


def test_no_token_reaches_beyond_its_own_trie(tries):
    plan = planned(tries)
    batch = Batches(tries, plan)[0]
    for row, members in enumerate(plan.batch(0)):
        ends = np.cumsum([tries.lengths[i] for i in members])
        start = 0
        for end in ends:
            assert batch.row.reach[0, row, start:end].max() == end
            start = end


def test_the_weights_of_a_level_sum_to_its_lambda(tries):
    plan = planned(tries, epochs=2, accumulation=2)
    batches = Batches(tries, plan, weights=(1.0, 0.5, 0.25, 1.0))
    for step in range(plan.steps):
        batch = batches[step]
        for level, total in ((0, 1.0), (2, 0.25)):
            assert batch.comparisons.weight[
                batch.comparisons.level == level
            ].sum() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("hosts", [2, 4])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_parts_of_all_hosts_are_the_global_batch(tries, hosts, accumulation):
    plan = planned(tries, rows_per_batch=8, accumulation=accumulation, data_parts=hosts)
    whole = Batches(tries, plan)[0]
    parts = [Batches(tries, plan, host=h, hosts=hosts)[0] for h in range(hosts)]
    joined = jax.tree.map(lambda *arrays: np.concatenate(arrays, axis=1), *parts)
    jax.tree.map(np.testing.assert_array_equal, joined, whole)


def test_accumulation_changes_the_shape_and_nothing_else(tries):
    one, two = (Batches(tries, planned(tries, accumulation=n))[1] for n in (1, 2))
    assert {x.shape[:2] for x in jax.tree.leaves(two)} == {(2, 2)}
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a.reshape(b.shape), b), two, one)


def test_gamma_holds_the_margin_and_the_constant_per_instruction(tries):
    plan = planned(tries)
    batch = Batches(tries, plan, inter_gamma=0.1)[0]
    assert np.unique(batch.comparisons.gamma[batch.comparisons.level == 0]) == [0.5]
    np.testing.assert_allclose(
        batch.comparisons.gamma[batch.comparisons.level == 2], 0.3, rtol=1e-6
    )


def test_graded_adds_to_gamma_how_far_apart_instructions_are(tries):
    plan = planned(tries)
    plain, graded = (Batches(tries, plan, graded=x)[0].comparisons for x in (0.0, 2.0))
    for row, members in enumerate(plan.batch(0)):
        apart = np.concatenate([tries[member]["apart"] for member in members])
        added = (graded.gamma - plain.gamma)[0, row, : len(apart)]
        np.testing.assert_allclose(added, 2 * apart, atol=1e-6)
    assert (graded.gamma != plain.gamma).any()


def test_the_last_batch_is_filled_with_empty_rows(tries):
    plan = planned(tries, rows_per_batch=7)
    batches = Batches(tries, plan)
    last = batches[plan.steps - 1]
    empty = [i for i, row in enumerate(plan.batch(plan.steps - 1)) if not len(row)]
    assert empty
    assert (last.comparisons.weight[0, empty] == 0).all() and (last.row.reach[0, empty] == 0).all()


@pytest.mark.parametrize("start", [0, 1, 3])
@pytest.mark.parametrize("threads", [0, 2])
def test_a_stream_that_starts_later_is_the_same_stream(tries, start, threads):
    plan = planned(tries, epochs=3)
    batches = Batches(tries, plan)
    got = list(stream(batches, start=start, threads=threads, fields=("comparisons",)))
    assert len(got) == plan.steps - start
    for step, batch in enumerate(got, start):
        absent = ("parent", "scored_at", "response_tokens", "sft_weight", "ref_logp")
        assert [getattr(batch, name) for name in absent] == [None] * 5
        assert batch.row.tiles is None
        np.testing.assert_array_equal(batch.comparisons.weight, batches[step].comparisons.weight)
        np.testing.assert_array_equal(batch.row.tokens, batches[step].row.tokens)


def test_nothing_left_is_an_empty_stream(tries):
    plan = planned(tries)
    assert list(stream(Batches(tries, plan), start=plan.steps)) == []


def test_sample_ids_name_every_row(tries):
    plan = planned(tries)
    ids = Batches(tries, plan).sample_ids(0)
    assert [[f"s{i}" for i in row] for row in plan.batch(0)] == ids


def test_rows_that_do_not_divide_are_refused(tries):
    with pytest.raises(UserError, match="rows_per_batch"):
        Batches(tries, planned(tries), hosts=3)


@pytest.mark.slow
def test_worker_processes_serve_the_same_batches(tries):
    plan = planned(tries)
    batches = Batches(tries, plan)
    for step, batch in enumerate(stream(batches, workers=1)):
        np.testing.assert_array_equal(batch.row.tokens, batches[step].row.tokens)

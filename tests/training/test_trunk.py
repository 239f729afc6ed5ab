"""States of frozen layers are computed once, found again by other runs, and change no number."""

import pickle

import jax
import numpy as np
import pytest

from mapl_jax.data import tokenization, trie_set
from mapl_jax.data.rows import Plan, Shape
from mapl_jax.data.run_data import RunData
from mapl_jax.data.settings import TrieSettings
from mapl_jax.data.splits import Split
from mapl_jax.data.states import States
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.initial import InitialWeights
from mapl_jax.models.lora import Lora
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import scoring, sharding, trainer, trunk
from mapl_jax.training.settings import run_settings

from support import SAMPLE, config_of, random_like

MODEL = DecoderConfig(
    320, width=16, layers=3, heads=2, kv_heads=1, head_dim=8, mlp_width=24,
    lora=Lora(rank=2, layers=1),
)  # fmt: skip
INTER = {"level": "inter", "prompt": [1, 1, 0, 0], "response": [0, 1, 0, 1],
         "sign": [1, -1, -1, 1], "gamma": 0.0, "k": 1}  # fmt: skip
PROMPTS = [
    {"messages": [{"role": "user", "content": text}], "constraints": []}
    for text in ("How are you?", "How are you? No commas.")
]
PAIRS = [
    {**SAMPLE, "id": name, "prompts": PROMPTS, "responses": responses}
    for name, responses in {"a": ["Fine.", "Bad, sir."], "b": ["No.", "Well, I am."]}.items()
]
ALL = [{**pair, "comparisons": [*pair["comparisons"], INTER]} for pair in PAIRS]
ON = {"train.trunk": True, "lora.rank": 2, "lora.layers": 1}


@pytest.fixture(scope="module")
def made():
    """Settings, and the trainer and the first parameters of a model."""
    settings = run_settings(config_of("rm:tiny", ON).to_dict())
    mesh = sharding.make_mesh(settings.mesh, jax.devices()[:1])
    found = trainer.of_run(settings, MODEL, trainer.objective_of(settings), mesh, 4)
    source = InitialWeights(MODEL, lambda _: random_like(found.shapes, 0.3), lambda: "weights")
    return settings, found, source


def test_what_a_step_holds_counts_before_a_run(made):
    _, found, _ = made
    none = np.zeros(0, np.int64)
    plan = Plan(none, none, (Shape(2**17, 2**20, parts=2),), none, (), 1.0)
    layers = found.activations(plan)
    assert layers.shape == (1, 2**19, 2**17, MODEL.width)  # one layer has adapters
    with pytest.raises(UserError, match=r"takes at least .* train.rows_per_batch"):
        sharding.check_memory([found.abstract, layers], "training this model")


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tries")
    tokenizer = tokenization.train(["How are you? Fine. Bad, sir. No commas. Well, I am."] * 3, 300)
    settings = TrieSettings(max_length=64, row_length=128)

    def encode(name, samples):
        return trie_set.encode_cached(samples, name, tokenizer, settings, folder)

    base, whole = encode("base", PAIRS), encode("all", ALL)
    assert base.lengths.sum() < whole.lengths.sum()
    return base, whole


def with_states(made, tries, folder):
    """Training and held-out tries with states that are kept in a folder."""
    settings, found, source = made
    nothing = Split((), "", {})
    return trunk.kept(settings, found, source, RunData(nothing, nothing, None, *tries, folder))


def rewards(made, tries):
    _, found, source = made
    batches = found.held_out(tries, rows_per_batch=1)
    return scoring.all_leaves(found.score(source.make(found.param_shardings)), batches, ("tiles",))


@pytest.fixture(scope="module")
def kept(made, encoded, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    base, whole = encoded
    return folder, with_states(made, (whole, base), folder)


def test_kept_states_give_the_rewards_of_the_tokens(made, encoded, kept):
    _, data = kept
    assert isinstance(data.train.states, States)
    for tries, plain in zip((data.test, data.train), encoded, strict=True):
        np.testing.assert_allclose(rewards(made, tries), rewards(made, plain), atol=1e-5)


def test_tries_that_share_texts_share_states(made, kept):
    folder, data = kept
    (place,) = folder.iterdir()
    assert len(list(place.iterdir())) == 1, "the pairs alone are a part of what is known"
    for index in range(len(data.test)):
        tokens = len(data.test[index]["tokens"])
        assert data.test.states[index].shape == (tokens, MODEL.width)


def test_another_process_reads_the_files_itself(kept):
    _, data = kept
    copied = pickle.loads(content := pickle.dumps(data.train.states))
    assert len(content) < 2_000
    np.testing.assert_array_equal(copied[1], data.train.states[1])


def test_what_is_kept_is_not_computed_again(made, encoded, kept, monkeypatch):
    folder, data = kept
    monkeypatch.setattr(trunk, "computed", None)
    again = with_states(made, encoded, folder)
    np.testing.assert_array_equal(again.test.states[1], data.train.states[1])


def test_damaged_states_are_computed_again(made, encoded, kept, capsys):
    folder, _ = kept
    (path,) = folder.glob("*/*/states.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    again = with_states(made, encoded, folder)
    assert "cannot be used" in capsys.readouterr().err
    np.testing.assert_allclose(rewards(made, again.test), rewards(made, encoded[1]), atol=1e-5)


def test_other_weights_or_layers_have_states_of_their_own(made, encoded, tmp_path):
    settings, found, source = made
    other = InitialWeights(MODEL, source.make, lambda: "other weights")
    for one in (source, other):
        with_states((settings, found, one), encoded, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lora.layers": 0}, "lora.layers to the number"),
        ({"lora.rank": 0}, "set lora.rank"),
        ({"model.reference": "another"}, "leave model.reference empty"),
    ],
)
def test_states_are_kept_only_where_they_are_the_same_in_every_run(change, message):
    config = config_of("dpo" if "model.reference" in change else "rm:tiny", ON | change)
    with pytest.raises(UserError, match=message):
        trunk.check(run_settings(config.to_dict()))

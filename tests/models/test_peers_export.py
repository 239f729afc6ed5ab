"""What is exported gives the same numbers in transformers, its pipelines and PEFT; needs torch."""

import dataclasses
import functools
import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import mapl_jax
from mapl_jax.data import tokenization
from mapl_jax.kernels.rows import Row
from mapl_jax.models import families, heads, hub, lora, saving
from mapl_jax.models import peft as adapters
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead, ScoreHead
from mapl_jax.models.lora import Lora
from mapl_jax.reports import model_card
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import SEAL

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.peers

IDS = np.random.default_rng(0).integers(3, 96, (2, 11)).astype(np.int32)
ROW = Row(IDS, np.tile(np.arange(11), (2, 1)), np.full((2, 11), 11))
EXPERTS = {
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
    "mixtral": {"num_local_experts": 4},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
}
SPECIAL = {
    "granitemoehybrid": {
        "layer_types": ["full_attention"] * 2,
        "num_local_experts": 0,
        "position_embedding_type": "rope",
        "mamba_n_heads": 1,  # has to divide twice the width, though no such layer is there
    }
}
HEADS = {
    "score": (ScoreHead(), transformers.AutoModelForSequenceClassification),
    "logits": (LogpHead(), transformers.AutoModelForCausalLM),
}


def base_folder(folder, family, auto):
    """A tiny random model of a family as `transformers` saves it."""
    config = transformers.AutoConfig.for_model(
        family,
        vocab_size=96,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
        num_labels=1,
        use_cache=False,
        **EXPERTS.get(family, {}),
        **SPECIAL.get(family, {}),
    )
    torch.manual_seed(0)
    auto.from_config(config).save_pretrained(folder)
    return folder


def random(tree, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(0.2 * rng.normal(size=x.shape), jnp.float32), tree)


def ours(kind, model, params):
    if kind == "score":
        function, arrays = heads.rewards, (ROW, np.full((2, 1), 10))
    else:
        function, arrays = heads.logits, (ROW,)
    return np.asarray(jax.jit(functools.partial(function, model))(params, *arrays))


@pytest.mark.parametrize(
    ("family", "kind"),
    # transformers has no classifier of some.
    [
        (name, kind)
        for name, family in families.FAMILIES.items()
        for kind in HEADS
        if kind != "score" or family.classifier
    ],
)
@pytest.mark.parametrize("targets", ["all", "o,down"])
def test_adapters_give_the_same_in_peft(tmp_path, family, kind, targets):
    head, auto = HEADS[kind]
    if family in EXPERTS:  # which have none
        targets = {"all": "q,k,v,o", "o,down": "o"}[targets]
    base = base_folder(tmp_path / "base", family, auto)
    settings = Lora(rank=3, alpha=6.0, targets=targets)
    plain = hub.load_config(base)
    model = dataclasses.replace(plain, lora=settings)
    added = random(lora.split(head.abstract_params(model), settings)[0])
    frozen = hub.load_params(base, plain, head=kind == "score", seed=0)
    frozen.pop("score", None)
    params = lora.join(added, frozen)
    folder = tmp_path / "adapter"
    folder.mkdir()
    try:
        adapters.save(folder, model, params, base=str(base))
    except UserError as error:
        pytest.skip(str(error))
    back = adapters.load(folder, model)
    jax.tree.map(np.testing.assert_array_equal, back, added)

    theirs = peft.PeftModel.from_pretrained(auto.from_pretrained(base), str(folder)).eval()
    with torch.no_grad():
        expected = theirs(input_ids=torch.tensor(IDS, dtype=torch.long)).logits.numpy()
        merged = theirs.merge_and_unload()(input_ids=torch.tensor(IDS, dtype=torch.long))
    found = ours(kind, model, params)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(
        ours(kind, plain, lora.merge(params, settings)), merged.logits.numpy(), atol=1e-4
    )
    without = ours(kind, plain, lora.base(params))
    assert np.abs(without - found).max() > 1e-2, "adapters that do nothing would pass this test"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A reward model with its tokenizer in a folder, and rewards of conversations by our code."""
    texts = ["Name two colours.", "Red and blue.", "What is the time? It is noon.", "Yes, no."]
    tokenizer = tokenization.train(texts * 4, 400)
    model = DecoderConfig(448, 32, 2, 4, 2, 8, 48)
    params = random(ScoreHead().abstract_params(model))
    folder = tmp_path_factory.mktemp("exported") / "model"
    saving.save_params(folder, model, params, tokenizer=tokenization.closed(tokenizer))
    talks = [
        ([{"role": "user", "content": "Name two colours."}], "Red and blue."),
        ([{"role": "user", "content": "What is the time?"}], "It is noon.\n"),
        (
            [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Yes?"},
                {"role": "assistant", "content": "Yes."},
                {"role": "user", "content": "No?"},
            ],
            "",
        ),
    ]
    rewards = []
    for path in tokenization.encode_leaves(tokenizer, talks):
        n = len(path)
        row = Row(path.tokens[None], np.arange(n)[None], np.full((1, n), n))
        rewards.append(float(heads.rewards(model, params, row, np.asarray([[n - 1]]))[0, 0]))
    conversations = [[*m, {"role": "assistant", "content": answer}] for m, answer in talks]
    return folder, conversations, np.asarray(rewards)


@pytest.mark.parametrize("side", ["right", "left"])
def test_templated_text_scores_the_same_in_transformers(exported, side):
    folder, conversations, rewards = exported
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side=side)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    texts = [tokenizer.apply_chat_template(talk, tokenize=False) for talk in conversations]
    inputs = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
    with torch.no_grad():
        np.testing.assert_allclose(model(**inputs).logits[:, 0].numpy(), rewards, atol=1e-4)
    for talk, expected in zip(conversations, rewards, strict=True):
        inputs = tokenizer.apply_chat_template(talk, return_tensors="pt", return_dict=True)
        with torch.no_grad():
            assert model(**inputs).logits[0, 0].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("side", ["right", "left"])
def test_transformers_reads_the_score_of_the_library_alone_and_in_any_batch(exported, side):
    folder, conversations, _ = exported
    talks = [talk for talk in conversations if talk[-1]["content"]] * 3
    known = mapl_jax.load_model(folder)
    expected = [mapl_jax.score(talk[:-1], [talk[-1]["content"]], known)[0] for talk in talks]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side=side)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    texts = [tokenizer.apply_chat_template(talk, tokenize=False) for talk in talks]
    for size in (1, 2, len(texts)):
        for first in range(0, len(texts), size):
            some = slice(first, first + size)
            inputs = tokenizer(
                texts[some], add_special_tokens=False, padding=True, return_tensors="pt"
            )
            with torch.no_grad():
                logits = model(**inputs).logits[:, 0].numpy()
            np.testing.assert_allclose(logits, expected[some], atol=1e-4)


def test_a_pipeline_returns_the_raw_reward(exported):
    folder, conversations, rewards = exported
    classify = transformers.pipeline("text-classification", model=str(folder))
    texts = [classify.tokenizer.apply_chat_template(talk, tokenize=False) for talk in conversations]
    for size in (1, 3):
        found = classify(texts, batch_size=size, add_special_tokens=False)
        np.testing.assert_allclose([item["score"] for item in found], rewards, atol=1e-4)
    assert np.ptp(rewards) > 0.01


def run_card(folder, text, monkeypatch, capsys):
    """Runs the code of a model card in its folder; gives the numbers that it prints."""
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    monkeypatch.chdir(folder)
    capsys.readouterr()
    exec(code, {})
    return [float(line) for line in capsys.readouterr().out.splitlines()]


def test_the_code_of_the_card_runs(exported, monkeypatch, capsys):
    folder, _, _ = exported
    text = model_card.write({}, {}, step=None, adapter=False)
    model, pipe = run_card(folder, text, monkeypatch, capsys)
    assert model == pytest.approx(pipe, abs=1e-5)


def test_the_code_of_the_card_of_adapters_runs(exported, tmp_path, monkeypatch, capsys):
    base, _, _ = exported
    plain = hub.load_config(base)
    model = dataclasses.replace(plain, lora=Lora(rank=2, alpha=4.0, layers=1))
    added = random(lora.split(ScoreHead().abstract_params(model), model.lora)[0], seed=1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    adapters.save(tmp_path, model, added, base=str(base), tokenizer=tokenizer)
    text = model_card.write({}, {"model": {"path": str(base)}}, step=None, adapter=True)
    found = run_card(tmp_path, text, monkeypatch, capsys)
    frozen = lora.split(hub.load_params(base, plain, head=True, seed=0), model.lora)[1]
    prompt = [{"role": "user", "content": "Name two colours. Use no comma."}]
    (path,) = tokenization.encode_leaves(tokenizer, [(prompt, "Red and blue.")])
    n = len(path)
    row = Row(path.tokens[None], np.arange(n)[None], np.full((1, n), n))
    expected = float(
        heads.rewards(model, lora.join(added, frozen), row, np.asarray([[n - 1]]))[0, 0]
    )
    np.testing.assert_allclose(found, [expected, expected], atol=1e-4)


# Exports, opened as others open them.


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """A language model whose padding token ends its turns, and its tokenizer with another one."""
    folder = tmp_path_factory.mktemp("policy") / "model"
    texts = ["Name two colours.", "Red and blue.", "What is the time? It is noon.", "Yes, no."]
    tokenizer = tokenization.train(texts * 4, 400)
    model = DecoderConfig(448, 32, 2, 4, 2, 8, 48, eos_tokens=(7,))
    params = random(LogpHead().abstract_params(model))
    saving.save_params(folder, model, params, tokenizer=tokenizer)
    path = folder / "config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "pad_token_id": tokenizer.eos_token_id}))
    (folder / SEAL).unlink()  # changed on purpose
    return folder, tokenizer


@pytest.mark.parametrize("arguments", [{}, {"num_labels": 1}])
def test_adapters_open_as_the_documentation_of_peft_says(policy, tmp_path, arguments):
    folder, tokenizer = policy
    plain = hub.load_config(folder)
    model = dataclasses.replace(plain, lora=Lora(rank=2, alpha=4.0))
    added = random(lora.split(ScoreHead().abstract_params(model), model.lora)[0], seed=1)
    closed = tokenization.closed(tokenizer)
    assert adapters.needs_base(str(folder), closed)
    adapters.save(tmp_path, model, added, base=str(tmp_path / "base"), tokenizer=closed)
    adapters.write_base(tmp_path / "base", str(folder), closed)
    theirs = peft.AutoPeftModelForSequenceClassification.from_pretrained(tmp_path, **arguments)
    theirs.eval()
    base = hub.load_params(folder, plain, head=True, seed=0)
    params = lora.join(added, lora.split(base, model.lora)[1])
    prompt = [{"role": "user", "content": "Name two colours."}]
    opened = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for answer in ("Red and blue.", "Yes, no."):
        (path,) = tokenization.encode_leaves(tokenizer, [(prompt, answer)])
        n = len(path)
        row = Row(path.tokens[None], np.arange(n)[None], np.full((1, n), n))
        expected = float(heads.rewards(model, params, row, np.asarray([[n - 1]]))[0, 0])
        talk = [*prompt, {"role": "assistant", "content": answer}]
        text = opened.apply_chat_template(talk, tokenize=False)
        inputs = opened(text, add_special_tokens=False, return_tensors="pt")
        with torch.no_grad():
            assert theirs(**inputs).logits[0, 0].item() == pytest.approx(expected, abs=1e-5)


def test_generation_of_others_ends_where_ours_does(policy):
    folder, tokenizer = policy
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert theirs.generation_config.eos_token_id == [7, tokenizer.eos_token_id]
    assert hub.load_config(folder).eos_tokens == (7, tokenizer.eos_token_id)


def check_logits(folder):
    model = hub.load_config(folder)
    params = hub.load_params(folder, model, head=False, seed=0)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = theirs(input_ids=torch.tensor(IDS, dtype=torch.long)).logits.numpy()
    np.testing.assert_allclose(ours("logits", model, params), expected, atol=1e-4)


def test_names_and_matrices_are_read_as_others_read_them(policy, tmp_path):
    """Weights without `model.` before their names, and an output matrix beside a tie."""
    folder, _ = policy
    shutil.copytree(folder, tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    tensors = load_file(path)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"][::-1].copy()
    save_file(tensors, path, metadata={"format": "pt"})
    check_logits(path.parent)
    del tensors["lm_head.weight"]
    bare = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    save_file(bare, path, metadata={"format": "pt"})
    check_logits(path.parent)

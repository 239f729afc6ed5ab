"""Greedy tokens are those of `transformers`, token for token; needs torch."""

import copy
import functools

import jax
import numpy as np
import pytest

from mapl_jax.models import generation, hub
from mapl_jax.models.generation import Sampling

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.peers

PAD, EOS = 0, 1
# Prompts of a batch; the window of those families that have one is 5, within the responses too.
LENGTHS = (1, 13, 6, 24)
NEW = 16
LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 5e4}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e2,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
GEMMA3_ROPE = {
    "full_attention": LINEAR,
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e3},
}
CAPS = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}
WINDOWED = {"head_dim": 16, "sliding_window": 5, "query_pre_attn_scalar": 24}
CASES = {
    "llama": ("llama", {"rope_theta": 5e4}),
    "llama linear": ("llama", {"rope_parameters": LINEAR}),
    "llama 3": ("llama", {"rope_parameters": LLAMA3}),
    "mistral": ("mistral", {"sliding_window": 5, "head_dim": 16}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2 with windows": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", {"head_dim": 16}),
    "gemma": ("gemma", {"head_dim": 16}),
    "gemma2": ("gemma2", {**WINDOWED, **CAPS}),
    "gemma3": (
        "gemma3_text",
        {**WINDOWED, "sliding_window_pattern": 2, "rope_parameters": GEMMA3_ROPE},
    ),
    "olmo2": ("olmo2", {}),
    "phi3": ("phi3", {"sliding_window": 5}),
}


def peer(case):
    """A model whose every tensor is random: biases and norms too."""
    model_type, special = CASES[case]
    fields = {
        "vocab_size": 96,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "pad_token_id": PAD,
        "bos_token_id": 2,
        "eos_token_id": EOS,
    }
    torch.manual_seed(0)
    # transformers puts defaults into the objects that it is given.
    config = transformers.AutoConfig.for_model(model_type, **copy.deepcopy({**fields, **special}))
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4 + (parameter.ndim == 1) * 0.5)
    return model.eval()


def prompts():
    rng = np.random.default_rng(0)
    return [rng.integers(3, 96, length).astype(np.int32) for length in LENGTHS]


def theirs(model, prompt, stop):
    """One prompt at a time, so that nothing depends on their padding."""
    output = model.generate(
        torch.tensor(prompt[None].astype(np.int64)),
        attention_mask=torch.ones((1, len(prompt)), dtype=torch.long),
        max_new_tokens=NEW,
        do_sample=False,
        eos_token_id=stop,
        pad_token_id=PAD,
    )
    return output[0, len(prompt) :].tolist()


@pytest.mark.parametrize("case", CASES)
def test_greedy_tokens_are_those_of_transformers(case, tmp_path):
    model = peer(case)
    model.save_pretrained(tmp_path)
    config = hub.load_config(tmp_path)
    params = hub.load_params(tmp_path, config, head=False, seed=0)
    rows = prompts()
    tokens = np.full((len(rows), max(LENGTHS)), PAD, np.int32)
    for i, row in enumerate(rows):
        tokens[i, tokens.shape[1] - len(row) :] = row
    draws = np.zeros((len(rows), 2), np.int32)

    def ours(stop):
        run = functools.partial(generation.generate, config, sampling=Sampling(NEW, (stop,)))
        found = jax.jit(run)(params, tokens, np.asarray(LENGTHS, np.int32), draws, np.uint32(0))
        return [
            row[:length].tolist()
            for row, length in zip(np.asarray(found.tokens), found.lengths, strict=True)
        ]

    free = [theirs(model, row, EOS) for row in rows]
    assert len({token for row in free for token in row}) > 3
    assert ours(EOS) == free
    # A token that comes early in one of the rows ends it there, and the others go on.
    stop = free[1][min(3, len(free[1]) - 1)]
    assert ours(stop) == [theirs(model, row, stop) for row in rows]

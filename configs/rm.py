"""A reward model that compares on three levels: base, intra and inter.

The demonstration. Nothing is downloaded, and 2 CPU cores are enough:

    python -m mapl_jax.train --config=configs/rm.py

The same within a minute or two, to check an installation (the model learns nothing):

    python -m mapl_jax.train --config=configs/rm.py:tiny

A small model from scratch on your own preference pairs (JSONL, JSON, CSV, Parquet, a folder of
these, or a hub name):

    python -m mapl_jax.train --config=configs/rm.py:small \
        --config.data.train=train.jsonl --config.data.test=test.jsonl

A pretrained model from the hub, with the training settings of arXiv 2502.00814 (learning rate 1e-5,
cosine, 10 steps of warm-up, 64 pairs per step):

    python -m mapl_jax.train --config=configs/rm.py:qwen2.5-0.5b \
        --config.data.train=train.jsonl --config.data.test=test.jsonl

    preset         starts from                   made for          state, GB a device
    smollm2-135m   HuggingFaceTB/SmolLM2-135M    1 device, 16 GB      2.7
    qwen2.5-0.5b   Qwen/Qwen2.5-0.5B             1 device, 24 GB      9.9
    llama-3.2-1b   meta-llama/Llama-3.2-1B       1 device, 40 GB     24.7
    qwen2.5-1.5b   Qwen/Qwen2.5-1.5B             1 device, 40 GB     30.9
    gemma-2-2b     google/gemma-2-2b             1 device, 80 GB     52.3
    qwen2.5-7b     Qwen/Qwen2.5-7B               8 devices, 40 GB    17.7
    llama-3.1-8b   meta-llama/Llama-3.1-8B       8 devices, 40 GB    18.8

State is 20 bytes per parameter, split over the devices: 4 for fp32 weights, 8 for Adam's moments, 8
for gradients (the sum, and those of a part). The activations of one row come on top: with remat
"full" the inputs of all layers, 2 * layers * width * row_length bytes, and what one layer needs, 1
to 3 GB here. With LoRA (`--config.lora.rank=16 --config.train.learning_rate=1e-4`) the state is 2
bytes per parameter, and 20 for each of the few that are trained, so qwen2.5-7b takes 15 GB on one
device.

A step is rows_per_batch rows of row_length tokens. A pair with its instructions is one trie: the
prompt, two sets of instructions and three times both responses, about 1,000 tokens if a prompt has
150 and a response 120. So 16 rows of 4,096 tokens are about 64 pairs; the run prints the numbers
for your data. A longer trie takes a row of 2 or 4 times the length, and so more memory, in a batch
of half or a quarter as many rows; with --config.data.long_rows=1 it is split and its prompt is
computed again. With other numbers of devices, rows_per_batch must stay a multiple of accumulation
times the devices. To measure without network, use random weights of the same shape:
`--config.model.path= --config.model.shape=Qwen/Qwen2.5-0.5B`.

This file sets what is different from the defaults of a run (configs/common.py). All fields are in
docs/configuration.md and in --help, and are set on the command line as
`--config.train.learning_rate=3e-4`. The README says what to expect of demo and small, and on which
machine it was measured.
"""

from ml_collections import ConfigDict

from mapl_jax.runtime.config import beside
from mapl_jax.runtime.errors import UserError

# Preset -> the hub name of the model it starts from, and the number of devices it is made for.
PRETRAINED = {
    "smollm2-135m": ("HuggingFaceTB/SmolLM2-135M", 1),
    "qwen2.5-0.5b": ("Qwen/Qwen2.5-0.5B", 1),
    "llama-3.2-1b": ("meta-llama/Llama-3.2-1B", 1),
    "qwen2.5-1.5b": ("Qwen/Qwen2.5-1.5B", 1),
    "gemma-2-2b": ("google/gemma-2-2b", 1),
    "qwen2.5-7b": ("Qwen/Qwen2.5-7B", 8),
    "llama-3.1-8b": ("meta-llama/Llama-3.1-8B", 8),
}
PRESETS = ("demo", "small", "tiny", *PRETRAINED)

# Families that a model from scratch learns within minutes, because marks, pronouns, lengths and
# endings show them. A pretrained model can have them all: --config.synthesis.families=train
SURFACE = (
    "detectable_content:contractions",
    "detectable_content:contrasts",
    "detectable_content:duties",
    "detectable_content:first_person",
    "detectable_content:hedges",
    "detectable_content:second_person",
    "detectable_format:number_bullet_lists",
    "detectable_format:numbered_steps",
    "length_constraints:blank_line_paragraphs",
    "length_constraints:characters",
    "length_constraints:exact_sentences",
    "length_constraints:number_sentences",
    "length_constraints:number_words",
    "punctuation:exclamation_marks",
    "punctuation:question_marks",
    "startend:question_end",
)

# Those that the demonstration learns in its few minutes.
DEMO = (
    "change_case:english_capital",
    "change_case:english_lowercase",
    "detectable_format:number_bullet_lists",
    "length_constraints:blank_line_paragraphs",
    "length_constraints:number_sentences",
    "length_constraints:number_words",
    "punctuation:exclamation_marks",
    "punctuation:question_marks",
    "startend:question_end",
)


def get_config(preset: str = "") -> ConfigDict:
    """The config of a preset; the empty name is the demonstration."""
    preset = preset or "demo"
    if preset not in PRESETS:
        raise UserError(
            f"unknown preset {preset!r} of configs/rm.py; choose one of {', '.join(PRESETS)}"
        )
    common = beside(__file__, "common")
    config = common.run(*common.OF_POLICIES)
    config.name = f"rm-{preset}"
    config.objective = "reward"
    config.data.train = "demo"
    config.data.demo_pairs = 8000
    config.synthesis.families = ",".join(DEMO)
    # People also ask for one thing only, and one alone is easiest to learn from.
    config.synthesis.k_min = 1
    # Which answer is better is learned in a few steps here; it should not drown the rest.
    config.loss.base = 0.2
    config.tokenizer.vocab_size = 2048
    config.train.rows_per_batch = 12
    config.train.learning_rate = 2e-3
    config.train.warmup = 0.05
    config.train.weight_decay = 0.01
    config.train.b2 = 0.98

    if preset == "small":
        config.data.train = ""
        config.synthesis.families = ",".join(SURFACE)
        config.synthesis.k_min = 2
        config.data.max_length = 384
        config.data.row_length = 1024
        config.tokenizer.vocab_size = 4096
        config.train.epochs = 2
        config.train.learning_rate = 1e-3
        # What people prefer is mostly noise to a model this small; it should not drown the rest.
        config.loss.base = 0.2
        config.train.rows_per_batch = 8
        config.train.log_every = 10
        config.train.eval_every = 250
        config.train.save_every = 250
        config.eval.samples = 100
    if preset == "tiny":
        config.data.demo_pairs = 40
        config.data.num_proc = 1
        config.tokenizer.vocab_size = 320
        config.model.width = 32
        config.model.layers = 1
        config.model.heads = 2
        config.model.kv_heads = 1
        config.model.mlp_width = 64
        config.train.steps = 4
        config.train.rows_per_batch = 8
        config.eval.resamples = 50
    if preset in PRETRAINED:
        path, devices = PRETRAINED[preset]
        config.model.path = path
        config.data.train = ""
        config.data.max_length = 2048
        config.data.row_length = 4096
        config.synthesis.families = "train"
        config.synthesis.k_min = 2
        config.train.rows_per_batch = 16
        config.train.accumulation = 16 // devices  # one row at a time on each device
        config.train.learning_rate = 1e-5
        config.train.warmup = 10
        config.train.weight_decay = 0.0
        config.train.b2 = 0.999
        config.train.dtype = "bfloat16"
        config.train.remat = "full"
        config.train.log_every = 10
        config.train.eval_every = 200
        config.train.save_every = 200
        config.mesh.data = 1
        config.mesh.fsdp = -1  # every device holds a part of the state
    return config

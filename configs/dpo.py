"""A policy that learns from comparisons on three levels: base, intra and inter.

A policy starts from a model that can answer already. The demonstration makes one first, by
configs/sft.py in the folder sft/ of the run; nothing is downloaded, 2 CPU cores are enough:

    python -m mapl_jax.train --config=configs/dpo.py

`config.demo` holds what the demonstration alone is trained with. With data and a model of your own
(pairs in the forms TRL reads; JSONL, JSON, CSV, Parquet, a folder of them, or a hub name), and the
training settings of arXiv 2502.00814:

    python -m mapl_jax.train --config=configs/dpo.py:pretrained \
        --config.data.train=train.jsonl --config.model.path=FOLDER

The reward of a response is beta * (log pi - log pi_ref). The log-probabilities of the reference are
computed once and kept in the run folder. The run ends with accuracies by level on held-out pairs,
and with `model/`, which opens in `transformers.AutoModelForCausalLM`; the demonstration also with
the shares of instructions kept in responses to held-out prompts, before and after (see README).

Losses of the base level, under TRL's names: sigmoid, sigmoid_norm, hinge, ipo, robust, exo_pair,
nca_pair, bco_pair, sppo_hard, apo_zero, apo_down, and sft beside one of them; formulas in
`mapl_jax/pair_losses.py`. Several at once: `--config.loss.type=sigmoid,sft
--config.loss.weights=1,0.1`. The levels intra and inter are always -log sigmoid of the margin.
"""

import importlib.util
from pathlib import Path

from ml_collections import ConfigDict

from mapl_jax.runtime.errors import UserError

PRESETS = ("demo", "pretrained")

# Families that a model from scratch learns within minutes: marks, lengths and endings.
SURFACE = (
    "detectable_format:number_bullet_lists",
    "length_constraints:number_sentences",
    "length_constraints:number_words",
    "punctuation:commas",
    "punctuation:exclamation_marks",
    "punctuation:question_marks",
    "startend:question_end",
)


def _sft() -> ConfigDict:
    """The config of configs/sft.py."""
    path = Path(__file__).with_name("sft.py")
    spec = importlib.util.spec_from_file_location("sft_config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def get_config(preset: str = "") -> ConfigDict:
    """The config of a preset; the empty name is the demonstration."""
    preset = preset or "demo"
    if preset not in PRESETS:
        raise UserError(
            f"unknown preset {preset!r} of configs/dpo.py; choose one of {', '.join(PRESETS)}"
        )
    config = ConfigDict()
    config.name = f"dpo-{preset}"  # the run lies in runs/NAME unless --workdir says otherwise
    config.seed = 0  # of the data order, the first weights and the bootstrap
    config.objective = "dpo"  # "reward", "sft" or "dpo"

    config.data = ConfigDict()
    config.data.train = "demo"  # pairs or samples: a file, a folder, a hub name, or "demo"
    config.data.test = ""  # the same; empty: a part of train is held out
    config.data.test_fraction = 0.1  # that part, by prompt
    config.data.demo_pairs = 1600  # size of the demonstration set
    config.data.on_error = "raise"  # what a bad record does: "raise" or "skip"
    config.data.max_length = 320  # longest prompt and response together, tokens
    config.data.row_length = 512  # tokens of a row
    config.data.truncation = "truncate"  # "truncate" (from the left), "drop" or "error"
    config.data.threads = 2  # that read ahead
    config.data.workers = 0  # processes that read ahead
    config.data.num_proc = 0  # processes that synthesize; 0: one per core
    config.data.cache = ""  # folder of prepared data, for runs that share it; empty: the run's own

    config.synthesis = ConfigDict()
    config.synthesis.mode = "compact"  # 5 comparisons of 6 leaves; "full": of 10 leaves
    config.synthesis.k_min = 2  # instructions added to a prompt
    config.synthesis.k_max = 5  # most instructions of a prompt
    config.synthesis.families = "train"  # "train", "held_out", "all", or ids with commas between
    config.synthesis.wordings = "train"  # "train" or "held_out"
    config.synthesis.seed = 0  # another one draws other instructions
    config.synthesis.reference = 512  # pairs to learn from what the data's responses are like
    config.synthesis.min_share = 0.05  # drop instructions that fewer responses keep
    config.synthesis.min_share_named = 0.0  # the same for those that name words of the response
    config.synthesis.max_share = 0.95  # drop instructions that more responses keep

    config.tokenizer = ConfigDict()
    config.tokenizer.path = ""  # folder or hub name; empty: the model's
    config.tokenizer.chat_template = ""  # replaces the tokenizer's: a template or its file

    config.model = ConfigDict()
    config.model.path = ""  # a folder with safetensors, or a hub name; empty: made by `sft`
    config.model.reference = ""  # another one; empty: the first weights of the policy

    config.lora = ConfigDict()
    config.lora.rank = 0  # of adapters beside a frozen model; 0: the whole model is trained
    config.lora.alpha = 32.0  # adapters are scaled by alpha / rank
    config.lora.targets = "all"  # or of q,k,v,o,gate,up,down

    config.loss = ConfigDict()
    config.loss.beta = 0.1  # of the rewards
    config.loss.base = 1.0  # weights of the levels
    config.loss.intra = 1.0  # the same
    config.loss.inter = 1.0  # the same
    config.loss.inter_form = "margin"  # "margin", "plain", "fixed" or "stopgrad"
    config.loss.inter_gamma = 0.0  # of "fixed": per added instruction
    config.loss.type = "sigmoid"  # of the base level; several with commas between them
    config.loss.weights = ""  # of these, with commas between them; empty: 1 each
    config.loss.label_smoothing = 0.0  # chance that a label is wrong: sigmoid, robust, exo_pair
    config.loss.joint_logp = False  # prompt tokens count too (arXiv 2502.00814), for intra

    config.train = ConfigDict()
    config.train.epochs = 1  # passes over the training data
    config.train.steps = 0  # not 0: this many steps, whatever the epochs come to
    config.train.rows_per_batch = 8  # rows of a step, over all devices
    config.train.accumulation = 1  # parts of a batch, one after the other
    config.train.learning_rate = 3e-4  # its peak
    config.train.schedule = "cosine"  # "cosine", "linear" or "constant"
    config.train.warmup = 0.1  # steps, or below 1 a fraction of all
    config.train.min_ratio = 0.0  # last learning rate over the peak
    config.train.weight_decay = 0.0  # of matrices, not of norms, biases and the reward head
    config.train.b1 = 0.9  # Adam's decay of the first moment
    config.train.b2 = 0.98  # Adam's decay of the second moment
    config.train.eps = 1e-8  # Adam's epsilon
    config.train.clip = 1.0  # largest norm of a gradient; longer ones are scaled down
    config.train.dtype = "float32"  # of the computation: "float32" or "bfloat16"
    config.train.remat = "none"  # what the backward pass computes again: "none", "dots", "full"
    config.train.attention = "auto"  # backend of the reach mask
    config.train.logp_chunk = 256  # scored tokens of a row whose logits are held at once
    config.train.log_every = 5  # steps between lines of metrics.jsonl
    # "tensorboard", "wandb", "trackio", several with commas between them; empty: none.
    config.train.logger = "tensorboard"
    config.train.eval_every = 0  # steps between evaluations; 0: before and after only
    config.train.save_every = 100  # steps between checkpoints
    config.train.keep = 2  # checkpoints that stay
    # A step whose loss or gradient is not finite ends the run ("stop") or is left out ("skip").
    config.train.on_nonfinite = "stop"

    config.eval = ConfigDict()
    config.eval.rows_per_batch = 8  # rows scored at once, over all devices
    config.eval.samples = 200  # samples of an evaluation during training; 0: all
    config.eval.resamples = 1000  # of the bootstrap
    config.eval.generate = 200  # held-out prompts with instructions that are answered; 0: none
    config.eval.generate_rows = 100  # responses at once
    config.eval.max_new_tokens = 80  # longest response, tokens

    config.mesh = ConfigDict()
    config.mesh.data = -1  # whatever the others leave
    config.mesh.fsdp = 1  # parts that parameters and rows are split into
    config.mesh.tensor = 1  # parts that matrices are split into

    if preset == "pretrained":
        config.data.train = ""
        config.data.max_length = 2048
        config.data.row_length = 4096
        config.train.rows_per_batch = 16
        config.train.accumulation = 16  # one row at a time on one device; with 8 of them: 2
        config.train.learning_rate = 1e-6
        config.train.dtype = "bfloat16"
        config.train.remat = "full"
        config.train.log_every = 10
        config.eval.generate = 0
        config.eval.generate_rows = 16
        config.eval.max_new_tokens = 1024
        config.mesh.data = 1
        config.mesh.fsdp = -1  # every device holds a part of the state
        return config

    # Without a model to start from, these stand in for the fields of their names above: what suits
    # the demonstration and its small model. Which response is better is learned at once there; it
    # should not drown the rest, and good responses should stay likely while the gap grows.
    config.demo = ConfigDict()
    config.demo.synthesis = ConfigDict()
    config.demo.synthesis.families = ",".join(SURFACE)
    config.demo.synthesis.k_max = 4
    config.demo.loss = ConfigDict()
    config.demo.loss.base = 0.2
    config.demo.loss.type = "sigmoid,sft"
    config.demo.loss.weights = "1,5"
    config.demo.train = ConfigDict()
    config.demo.train.learning_rate = 1e-3
    # The run before this one makes the model to start from.
    config.sft = _sft()
    config.sft.seed = config.get_ref("seed")
    config.sft.data.instructions = True
    config.sft.model.layers = 3
    config.sft.data.demo_pairs = 2400
    for name in ("num_proc", "cache"):
        config.sft.data[name] = config.data.get_ref(name)
    for name in config.synthesis:
        part = config.demo.synthesis if name in config.demo.synthesis else config.synthesis
        config.sft.synthesis[name] = part.get_ref(name)
    for axis in config.mesh:
        config.sft.mesh[axis] = config.mesh.get_ref(axis)
    return config

"""A policy that learns to answer from demonstrations, because DPO needs a start that can.

The demonstration; nothing is downloaded, 2 CPU cores are enough:

    python -m mapl_jax.train --config=configs/sft.py

With data and a model of your own (`prompt` and `completion`, or `messages`, or the chosen side of
preference pairs; JSONL, JSON, CSV, Parquet, a folder of them, or a hub name):

    python -m mapl_jax.train --config=configs/sft.py \
        --config.data.train=train.jsonl --config.model.path=FOLDER

The loss is the mean over all response tokens of a batch; prompts are not learned. The run ends with
the perplexity of held-out responses before and after, and with `model/`, which opens in
`transformers.AutoModelForCausalLM` and is where configs/dpo.py starts.
"""

from ml_collections import ConfigDict

from mapl_jax.runtime.errors import UserError


def get_config(preset: str = "") -> ConfigDict:
    """The config; there are no presets."""
    if preset:
        raise UserError(f"unknown preset {preset!r} of configs/sft.py; it has none")
    config = ConfigDict()
    config.name = "sft-demo"  # the run lies in runs/NAME unless --workdir says otherwise
    config.seed = 0  # of the data order, the first weights and the bootstrap
    config.objective = "sft"  # "reward", "sft" or "dpo"

    config.data = ConfigDict()
    config.data.train = "demo"  # a file, a folder, a hub name, or "demo"
    config.data.test = ""  # the same; empty: a part of train is held out
    config.data.test_fraction = 0.1  # that part, by prompt
    config.data.demo_pairs = 3600  # size of the demonstration set
    # Pairs get instructions, and responses answer the prompts whose instructions they keep as well.
    config.data.instructions = False
    config.data.on_error = "raise"  # what a bad record does: "raise" or "skip"
    config.data.max_length = 320  # longest prompt and response together, tokens
    config.data.row_length = 512  # tokens of a row
    config.data.truncation = "truncate"  # "truncate" (from the left), "drop" or "error"
    config.data.threads = 2  # that read ahead
    config.data.workers = 0  # processes that read ahead
    config.data.num_proc = 0  # processes that synthesize; 0: one per core
    config.data.cache = ""  # folder of prepared data, for runs that share it; empty: the run's own

    config.synthesis = ConfigDict()  # of the instructions, as in configs/dpo.py
    config.synthesis.mode = "compact"  # "compact": 5 comparisons of 6 leaves; "full": of 10 leaves
    config.synthesis.k_min = 2  # fewest instructions of a prompt
    config.synthesis.k_max = 5  # most instructions of a prompt
    # "train", "held_out", "all", or ids with commas between them.
    config.synthesis.families = "train"
    config.synthesis.wordings = "train"  # "train" or "held_out"
    config.synthesis.seed = 0  # another one draws other instructions
    config.synthesis.reference = 512  # pairs to learn from what the data's responses are like
    config.synthesis.min_share = 0.05  # drop instructions that fewer responses keep
    config.synthesis.min_share_named = 0.0  # the same for those that name words of the response
    config.synthesis.max_share = 0.95  # drop instructions that more responses keep

    config.tokenizer = ConfigDict()
    config.tokenizer.path = ""  # folder or hub name; empty: the model's, or trained on the data
    config.tokenizer.vocab_size = 2048  # of one trained on the data
    config.tokenizer.chat_template = ""  # replaces the tokenizer's: a template or its file

    config.model = ConfigDict()
    config.model.path = ""  # a folder with config.json and safetensors, or a hub name
    config.model.shape = ""  # from scratch, in the shape of a model of mapl_jax/models/published.py
    config.model.width = 128  # of the hidden states; these six without path and shape
    config.model.layers = 2  # blocks of attention and feed-forward
    config.model.heads = 4  # of the queries
    config.model.kv_heads = 2  # of keys and values
    config.model.mlp_width = 384  # of the feed-forward layers
    config.model.rope_theta = 10_000.0  # base of the rotary positions

    config.lora = ConfigDict()
    config.lora.rank = 0  # of adapters beside a frozen model; 0: the whole model is trained
    config.lora.alpha = 32.0  # adapters are scaled by alpha / rank
    config.lora.targets = "all"  # or of q,k,v,o,gate,up,down

    config.train = ConfigDict()
    config.train.epochs = 3  # passes over the training data
    config.train.steps = 0  # not 0: this many steps, whatever the epochs come to
    config.train.rows_per_batch = 8  # rows of a step, over all devices
    config.train.accumulation = 1  # parts of a batch, one after the other
    config.train.learning_rate = 3e-3  # its peak
    config.train.schedule = "cosine"  # "cosine", "linear" or "constant"
    config.train.warmup = 0.05  # steps, or below 1 a fraction of all
    config.train.min_ratio = 0.0  # last learning rate over the peak
    config.train.weight_decay = 0.01  # of matrices, not of norms, biases and the reward head
    config.train.b1 = 0.9  # Adam's decay of the first moment
    config.train.b2 = 0.98  # Adam's decay of the second moment
    config.train.eps = 1e-8  # Adam's epsilon
    config.train.clip = 1.0  # largest norm of a gradient; longer ones are scaled down
    config.train.dtype = "float32"  # of the computation: "float32" or "bfloat16"
    config.train.remat = "none"  # what the backward pass computes again: "none", "dots", "full"
    config.train.attention = "auto"  # backend of the reach mask
    config.train.logp_chunk = 256  # tokens of a row whose logits are held at once
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
    config.eval.samples = 200  # responses of an evaluation during training; 0: all
    config.eval.resamples = 1000  # of the bootstrap
    config.eval.generate = 0  # held-out prompts with instructions that are answered; 0: none
    config.eval.generate_rows = 32  # responses at once
    config.eval.max_new_tokens = 160  # longest response, tokens

    config.mesh = ConfigDict()
    config.mesh.data = -1  # whatever the others leave
    config.mesh.fsdp = 1  # parts that parameters and rows are split into
    config.mesh.tensor = 1  # parts that matrices are split into
    return config

"""Scores a file of preferences with a reward model or a policy.

    python -m mapl_jax.evaluate --config=configs/evaluate.py \
        --config.checkpoint=runs/rm-demo --config.data=pairs.jsonl

Prints accuracies by level with 95 % intervals, and what preferring the longer text would reach. Raw
pairs have only the base level, unless `--config.synthesize=True` adds instructions to them first.

A policy is judged by its implicit reward, beta * (log pi - log pi_ref). A DPO run knows its
reference; for any other policy `--config.reference=DIR` names it.

IFEval's scores from its own files, by its own rules (`mapl_jax.constraints.verdict`):

    python -m mapl_jax.evaluate --config=configs/evaluate.py:ifeval \
        --config.prompts=input_data.jsonl --config.responses=responses.jsonl \
        --config.output=verdicts.jsonl

With a policy instead of responses, the policy answers the prompts first (and its responses are
saved beside the verdicts, in verdicts.responses.jsonl). With several answers to each prompt and a
reward model to choose among them, the table compares a single answer, the reward model's choice,
and the best of the answers.

    python -m mapl_jax.evaluate --config=configs/evaluate.py:ifeval \
        --config.prompts=input_data.jsonl --config.checkpoint=runs/dpo-demo \
        --config.n=8 --config.selector=runs/rm-demo

Rewards of a file of responses (records with `prompt` and `response` or `responses`, or `messages`);
if the command is stopped, run it again and it continues:

    python -m mapl_jax.evaluate --config=configs/evaluate.py:score \
        --config.checkpoint=runs/rm-demo --config.input=responses.jsonl \
        --config.output=rewards.jsonl

Compares finished runs, or folders of evaluations (`--config.output`), with paired differences if
they were tested on the same data, and writes compare.html:

    python -m mapl_jax.evaluate --compare runs/a runs/b
"""

from ml_collections import ConfigDict

from mapl_jax.runtime.errors import UserError


def get_config(preset: str = "") -> ConfigDict:
    """The config of a model's evaluation, of IFEval's scores, or of a file of responses."""
    if preset == "ifeval":
        return _ifeval()
    if preset == "score":
        return _score()
    if preset:
        raise UserError(
            f"unknown preset {preset!r} of configs/evaluate.py; choose one of ifeval, score"
        )
    config = ConfigDict()
    config.checkpoint = ""  # a run, one of its checkpoints/STEP, a model folder or a hub name
    config.reference = ""  # for a policy: its reference model; empty: that of its run
    config.beta = 0.0  # for a policy: scale of its rewards; 0: as in its run, else 0.1
    config.data = ""  # pairs or samples: a file, a folder, a hub name, or "demo"
    config.output = ""  # folder for summary.json and report.html; empty: print only
    config.scores = ""  # file to write, one line per comparison; empty: none
    config.columns = ""  # which column is which, or a published form: docs/data.md
    config.on_error = "raise"  # what to do with a bad record: "raise" an error or "skip" it
    config.template_args = ""  # arguments of the chat template: '{"enable_thinking": false}'
    config.synthesize = False  # add instructions to raw pairs
    config.max_length = 0  # longest prompt and response, in tokens; 0: as in the run, else 2048
    config.row_length = 0  # tokens in a row; 0: as in the run, else twice max_length
    config.truncation = "truncate"  # "truncate" (from the left), "drop" or "error"
    config.rows_per_batch = 8  # rows computed at once, over all devices
    config.dtype = "float32"  # data type of the computation: "float32" or "bfloat16"
    config.attention = "auto"  # attention backend: docs/speed.md
    config.resamples = 1000  # number of bootstrap resamples
    config.seed = 0  # for the bootstrap
    config.plugins = ""  # modules with your own constraints, losses, ...: docs/extending.md

    config.synthesis = ConfigDict()
    config.synthesis.mode = "compact"  # "compact": 5 comparisons of 6 leaves; "full": of 10
    config.synthesis.k_min = 2  # fewest instructions of a prompt, if the pair allows them
    config.synthesis.k_max = 4  # most instructions of a prompt
    config.synthesis.families = "train"  # "held_out": families that training never sees
    config.synthesis.wordings = "train"  # "train" or "held_out"
    # Shares of prompts whose instructions are not after the request.
    config.synthesis.places = "before=0.1,inside=0.04,system=0.15"
    config.synthesis.woven = 0.5  # share of the others that join all in one sentence
    config.synthesis.lists = 0.4  # share of prompts that list their instructions, one per line
    config.synthesis.neutral = 0.0  # share of pairs with comparisons of the level neutral
    config.synthesis.list_base = "all"  # of a list: "all" pairs, or the "best" with the others
    config.synthesis.list_pairs = 1  # how many pairs of a list get instructions
    config.synthesis.seed = 0  # for drawing instructions
    config.synthesis.reference = 512  # pairs to learn from what responses are like
    config.synthesis.min_share = 0.05  # leave out instructions that fewer responses follow
    config.synthesis.min_share_named = 0.0  # the same, for those that name words
    config.synthesis.max_share = 0.95  # leave out instructions that more responses follow

    config.mesh = ConfigDict()
    config.mesh.data = -1  # data parallelism: parts of the rows; -1: all remaining devices
    config.mesh.fsdp = 1  # parts of both parameters and rows (FSDP)
    config.mesh.context = 1  # parts of the tokens of a row
    config.mesh.tensor = 1  # tensor parallelism: parts of matrices
    return config


def _ifeval() -> ConfigDict:
    config = ConfigDict()
    config.prompts = ""  # records with key, prompt, instruction_id_list, kwargs
    config.responses = ""  # records with prompt and response; several for a prompt are samples
    config.on_error = "raise"  # what to do with a prompt that cannot be judged: "raise" or "skip"
    config.checkpoint = ""  # instead: a policy that answers, as in configs/generate.py
    config.selector = ""  # a reward model or a judge that chooses among the samples of a prompt
    config.max_length = 0  # longest prompt and response the selector reads; 0: as in its run
    config.output = ""  # JSONL file for the verdicts; empty: print only
    config.resamples = 1000  # number of bootstrap resamples
    config.seed = 0  # for the bootstrap
    config.plugins = ""  # modules with your own constraints, losses, ...: docs/extending.md

    # Of the policy, as in configs/generate.py.
    config.n = 1  # number of responses to each prompt
    config.max_new_tokens = 1024  # longest response, in tokens
    config.temperature = -1.0  # 0: greedy; -1: greedy for n = 1, else 1
    config.top_p = 1.0  # sample from the most likely tokens with this probability
    config.rows_per_batch = 16  # responses at once; rows at once, for the reward model
    config.dtype = "float32"  # data type of the computation: "float32" or "bfloat16"
    config.attention = "auto"  # attention backend: docs/speed.md
    config.template_args = ""  # arguments of the chat template: '{"enable_thinking": false}'

    config.mesh = ConfigDict()
    config.mesh.data = -1  # data parallelism: parts of the rows; -1: all remaining devices
    config.mesh.fsdp = 1  # parts of both parameters and rows (FSDP)
    config.mesh.tensor = 1  # tensor parallelism: parts of matrices
    return config


def _score() -> ConfigDict:
    config = ConfigDict()
    config.checkpoint = ""  # a run, one of its checkpoints/STEP, a model folder or a hub name
    config.input = ""  # records with prompt and response or responses, or messages
    config.output = ""  # JSONL file for the records with rewards; empty: print
    config.max_length = 0  # longest text, in tokens; 0: as in the run, else 2048
    config.rows_per_batch = 8  # rows computed at once, over all devices
    config.dtype = "float32"  # data type of the computation: "float32" or "bfloat16"
    config.attention = "auto"  # attention backend: docs/speed.md
    config.template_args = ""  # arguments of the chat template: '{"enable_thinking": false}'
    config.plugins = ""  # modules with your own constraints, losses, ...: docs/extending.md

    config.mesh = ConfigDict()
    config.mesh.data = -1  # data parallelism: parts of the rows; -1: all remaining devices
    config.mesh.fsdp = 1  # parts of both parameters and rows (FSDP)
    config.mesh.context = 1  # parts of the tokens of a row
    config.mesh.tensor = 1  # tensor parallelism: parts of matrices
    return config

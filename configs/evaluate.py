"""Scores any preference file with any reward model, or with a policy.

    python -m mapl_jax.evaluate --config=configs/evaluate.py \
        --config.checkpoint=runs/rm-demo --config.data=pairs.jsonl

Prints accuracy by level with 95 % intervals, beside what length alone would reach. Raw pairs have
the base level only, unless `--config.synthesize=True` adds instructions to them first.

A policy is judged by its implicit reward, beta * (log pi - log pi_ref). A DPO run knows its
reference; for any other policy `--config.reference=DIR` names it.

IFEval's scores from its own files, by its own rules (`mapl_jax.constraints.verdict`):

    python -m mapl_jax.evaluate --config=configs/evaluate.py:ifeval \
        --config.prompts=input_data.jsonl --config.responses=responses.jsonl \
        --config.output=verdicts.jsonl

With a policy instead of responses it answers the prompts first (the responses then lie beside the
verdicts, in verdicts.responses.jsonl). With several answers to each prompt and a reward model to
choose among them, the table says what the reward model is worth: one answer, the answer it chooses,
and the best one there was.

    python -m mapl_jax.evaluate --config=configs/evaluate.py:ifeval \
        --config.prompts=input_data.jsonl --config.checkpoint=runs/dpo-demo \
        --config.n=8 --config.selector=runs/rm-demo

Rewards of a file of responses (`prompt` with `response` or `responses`, or `messages`), a line a
record; a command that was stopped goes on:

    python -m mapl_jax.evaluate --config=configs/evaluate.py:score \
        --config.checkpoint=runs/rm-demo --config.input=responses.jsonl \
        --config.output=rewards.jsonl

Finished runs, or the folders of evaluations (`--config.output`), side by side, with paired
differences where they were tested on the same data; writes compare.html:

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
    config.reference = ""  # of a policy: what it is compared with; empty: as its run says
    config.beta = 0.0  # of a policy: factor of its rewards; 0: that of its run, else 0.1
    config.data = ""  # pairs or samples: a file, a folder, a hub name, or "demo"
    config.output = ""  # folder for summary.json and report.html; empty: print only
    config.scores = ""  # file for one line per comparison; empty: none
    config.columns = ""  # which column is which, or a published form: docs/data.md
    config.on_error = "raise"  # what a bad record does: "raise" or "skip"
    config.template_args = ""  # arguments of the chat template: '{"enable_thinking": false}'
    config.synthesize = False  # add instructions to raw pairs
    config.max_length = 0  # longest leaf in tokens; 0: that of the run, else 2048
    config.row_length = 0  # tokens of a row; 0: that of the run, else twice max_length
    config.truncation = "truncate"  # "truncate" (from the left), "drop" or "error"
    config.rows_per_batch = 8  # rows of tokens at once, over all devices
    config.dtype = "float32"  # of the computation: "float32" or "bfloat16"
    config.attention = "auto"  # backend of the reach mask
    config.resamples = 1000  # of the bootstrap
    config.seed = 0  # of the bootstrap
    config.plugins = ""  # modules that register something of your own: docs/extending.md

    config.synthesis = ConfigDict()
    config.synthesis.mode = "compact"  # "compact": 5 comparisons of 6 leaves; "full": of 10 leaves
    config.synthesis.k_min = 2  # fewest instructions of a prompt, if the pair can have them
    config.synthesis.k_max = 4  # most instructions of a prompt
    config.synthesis.families = "train"  # "held_out" shows what was never trained on
    config.synthesis.wordings = "train"  # "train" or "held_out"
    # Shares of prompts whose instructions do not stand behind the request.
    config.synthesis.places = "before=0.1,inside=0.04,system=0.15"
    config.synthesis.woven = 0.5  # share of the others that say all in one sentence of commands
    config.synthesis.lists = 0.4  # share of prompts that list their instructions, a line each
    config.synthesis.neutral = 0.0  # share of the pairs with comparisons of the level neutral
    config.synthesis.list_base = "all"  # of a list: "all" comparisons, or of the "best" alone
    config.synthesis.list_pairs = 1  # pairs of responses of a list that get instructions
    config.synthesis.seed = 0  # another one draws other instructions
    config.synthesis.reference = 512  # pairs to learn from what the data's responses are like
    config.synthesis.min_share = 0.05  # drop instructions that fewer responses keep
    config.synthesis.min_share_named = 0.0  # the same for those that name words of the response
    config.synthesis.max_share = 0.95  # drop instructions that more responses keep

    config.mesh = ConfigDict()
    config.mesh.data = -1  # parts that rows alone are split into; -1: whatever the others leave
    config.mesh.fsdp = 1  # parts that parameters and rows are split into
    config.mesh.context = 1  # parts that the tokens of a row are split into
    config.mesh.tensor = 1  # parts that matrices are split into
    return config


def _ifeval() -> ConfigDict:
    config = ConfigDict()
    config.prompts = ""  # records with key, prompt, instruction_id_list, kwargs
    config.responses = ""  # records with prompt, response; several to a prompt are its samples
    config.on_error = "raise"  # what a prompt that cannot be judged does: "raise" or "skip"
    config.checkpoint = ""  # instead: a policy that answers, as in configs/generate.py
    config.selector = ""  # a reward model or a judge that chooses among the samples of a prompt
    config.max_length = 0  # longest prompt and response the selector reads; 0: that of its run
    config.output = ""  # JSONL of verdicts; empty: print only
    config.resamples = 1000  # of the bootstrap
    config.seed = 0  # of the bootstrap
    config.plugins = ""  # modules that register something of your own: docs/extending.md

    # Of the policy, as in configs/generate.py.
    config.n = 1  # responses to each prompt
    config.max_new_tokens = 1024  # longest response, tokens
    config.temperature = -1.0  # 0: always the likeliest token; -1: that for n = 1, else 1
    config.top_p = 1.0  # draw from the likeliest tokens that together have this probability
    config.rows_per_batch = 16  # responses at once; of the reward model rows
    config.dtype = "float32"  # of the computation: "float32" or "bfloat16"
    config.attention = "auto"  # backend of the reach mask
    config.template_args = ""  # arguments of the chat template: '{"enable_thinking": false}'

    config.mesh = ConfigDict()
    config.mesh.data = -1  # parts that rows alone are split into; -1: whatever the others leave
    config.mesh.fsdp = 1  # parts that parameters and rows are split into
    config.mesh.tensor = 1  # parts that matrices are split into
    return config


def _score() -> ConfigDict:
    config = ConfigDict()
    config.checkpoint = ""  # a run, one of its checkpoints/STEP, a model folder or a hub name
    config.input = ""  # records with prompt and response or responses, or messages
    config.output = ""  # JSONL of the records with reward; empty: print
    config.max_length = 0  # longest text in tokens; 0: that of the run, else 2048
    config.rows_per_batch = 8  # rows of tokens at once, over all devices
    config.dtype = "float32"  # of the computation: "float32" or "bfloat16"
    config.attention = "auto"  # backend of the reach mask
    config.template_args = ""  # arguments of the chat template: '{"enable_thinking": false}'
    config.plugins = ""  # modules that register something of your own: docs/extending.md

    config.mesh = ConfigDict()
    config.mesh.data = -1  # parts that rows alone are split into; -1: whatever the others leave
    config.mesh.fsdp = 1  # parts that parameters and rows are split into
    config.mesh.context = 1  # parts that the tokens of a row are split into
    config.mesh.tensor = 1  # parts that matrices are split into
    return config

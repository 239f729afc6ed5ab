"""Malformed inputs: of a command or a function, the input, and the line that is expected of it."""

WHOLE, FINITE = "a whole number, ", "a finite number, "
BILLION = 10**9
TOO_LONG = "1" + "0" * 400


def whole(least, most, besides=""):
    """What is said of a whole number, and values that are none or out of bounds."""
    # 0 and -1 mean something where they stand beside the bounds.
    below = least - 1 if not besides else -5
    values = [below, most + 1, 1.5, "many", TOO_LONG]
    return f"{WHOLE}at least {least} and at most {most}{besides}", values


def finite(least, most, *values, besides=""):
    """What is said of a number, and values that are none or out of bounds."""
    shown = [f"{x}" if isinstance(x, int) else f"{x:g}" for x in (least, most)]
    said = f"{FINITE}at least {shown[0]} and at most {shown[1]}{besides}"
    return said, ["nan", "inf", "1e39", "-1e39", "many", *values]


# Command and config -> field -> what is said, and values that are refused.
SETTINGS = {
    ("train", "rm:tiny"): {
        "seed": whole(0, 2**32 - 1),
        "train.learning_rate": finite(1e-30, 1000, 0, -1, 1e-60, 1e30),
        "train.warmup": finite(0, BILLION, -1),
        "train.weight_decay": finite(0, 1000, -1),
        "train.min_ratio": finite(0, 1, 1.5),
        "train.b1": finite(0, 0.999999, 1, 0.99999999),
        "train.b2": finite(0, 0.999999, 1, 0.99999999),
        "train.eps": finite(1e-20, 1, 0, 1e-60),
        "train.clip": finite(1e-20, 1e20, -1, 1e-40, besides=", or 0"),
        "train.epochs": whole(1, 10**6),
        "train.steps": whole(0, BILLION),
        "train.rows_per_batch": whole(1, 2**20),
        "train.accumulation": whole(1, 2**20),
        "train.logp_chunk": whole(1, 2**20),
        "train.log_every": whole(1, BILLION),
        "train.save_every": whole(0, BILLION),
        "data.demo_pairs": whole(10, 10**8),
        "data.num_proc": whole(0, 1024),
        "data.workers": whole(0, 1024),
        "data.threads": whole(0, 1024),
        "data.max_length": whole(32, 2**20),
        "data.row_length": whole(1, 2**20),
        "data.long_rows": whole(1, 64),
        "tokenizer.vocab_size": whole(300, 2**22),
        "model.width": whole(1, 2**20),
        "model.layers": whole(1, 2**14),
        "model.mlp_width": whole(1, 2**22),
        "model.rope_theta": finite(1, 1e12, 0),
        "lora.rank": whole(0, 2**16),
        "lora.alpha": finite(1e-6, 1e6, 0),
        "loss.base": finite(1e-6, 1e6, 0),
        "loss.inter": finite(0, 1e6, -1),
        "loss.center": finite(0, 1e6, -1),
        "eval.resamples": whole(0, 10**6),
        "eval.samples": whole(0, BILLION),
        "synthesis.k_max": whole(1, 1000),
        "synthesis.lists": finite(0, 1, 1.5),
        "mesh.fsdp": whole(1, 2**20, ", or -1"),
    },
    ("train", "dpo"): {"loss.beta": finite(1e-6, 1e6, 0), "eval.max_new_tokens": whole(1, 2**20)},
    ("evaluate", "evaluate:ifeval"): {
        "n": whole(1, 10**6),
        "max_new_tokens": whole(1, 2**20),
        "top_p": finite(1e-6, 1, 0, 1.5),
    },
    ("evaluate", "evaluate:score"): {"rows_per_batch": whole(1, 2**20)},
    ("bench", "bench"): {"train.rows_per_batch": whole(1, 2**20)},
    ("plan", "rm"): {"model.layers": whole(1, 2**14), "lora.rank": whole(0, 2**16)},
    ("evaluate", "evaluate"): {
        "max_length": whole(32, 2**20, ", or 0"),
        "rows_per_batch": whole(1, 2**20),
        "resamples": whole(0, 10**6),
    },
    ("generate", "generate"): {
        "n": whole(1, 10**6),
        "max_new_tokens": whole(1, 2**20),
        "temperature": finite(0.001, 1000, -2, 1e-40, besides=", or 0, or -1"),
        "top_p": finite(1e-6, 1, 0, 1.5),
        "rows_per_batch": whole(1, 2**16),
    },
    ("synthesize", "synthesize"): {
        "shard_size": whole(1, 10**7),
        "num_proc": whole(0, 1024),
        "k_min": whole(1, 1000),
        "min_share": finite(0, 1, -1),
    },
}
# Texts that must be one of a few: command and config -> field -> what is said.
CHOICES = {
    ("train", "rm:tiny"): {
        "objective": "choose one of reward, ",
        "train.dtype": "choose one of float32, bfloat16",
        "train.schedule": "choose one of cosine, linear, constant",
        "train.remat": "choose one of none, ",
        "train.on_nonfinite": "choose one of stop, skip",
        "data.truncation": "choose one of truncate, drop, error",
        "data.on_error": "choose one of raise, skip",
    },
    ("evaluate", "evaluate"): {"dtype": "choose one of float32, bfloat16"},
    ("synthesize", "synthesize"): {"format": "choose one of jsonl, parquet"},
}
# Flags of commands without a config, and what is said of them; SHARED has good models.
MODEL = "--checkpoint=SHARED/reward"
PLAIN = [
    ("export", "", "no checkpoint given; set --checkpoint=DIR"),
    ("export", "--checkpoint=nope --output=out", "no such folder: nope"),
    ("export", MODEL, "no output given; set --output=DIR"),
    ("export", f"{MODEL} --output=SHARED/reward", "is an input of this command; name another"),
    ("export", f"{MODEL} --output=SHARED", "holds the input .*reward; name another place"),
    ("export", f"{MODEL} --output=out --dtype=f8", "--dtype is 'f8'; choose one of float32, bf"),
    ("export", f"{MODEL} --output=out --adapter", "has no adapters; leave out --adapter"),
    ("export", f"{MODEL} --output=out --adapter=5", "Non-boolean argument"),
    ("export", f"{MODEL} --output=out --data=nope", "no such file or folder: nope"),
    ("export", f"{MODEL} --output=out --private", "--private is for the hub; give --push"),
    ("export", f"{MODEL} --output=out --push=a/b/c", "a/b/c"),
    ("export", f"{MODEL} --output=out --quiet --verbose", "give --quiet or --verbose, not both"),
    ("export", f"{MODEL} --output=out more", "unexpected argument 'more'; options are written"),
    ("export", f"{MODEL} --output=gs://b/x", "mount the bucket as a folder"),
    ("export", "--config=rm", "config"),
    ("train", "--config=rm:tiny --workdir=/dev/null/x", "/dev/null is a file and no folder"),
    ("train", "--config=rm:tiny --workdir=/", "/ is not empty and holds no run; choose another"),
    ("train", "--config=rm:tiny --workdir=~nosuchuser", "~nosuchuser: no such user"),
    ("serve", "", "no model given; set --model=DIR"),
    ("serve", "--model=nope", "no such folder: nope"),
    ("serve", "--model=SHARED/policy", "is a policy, which gives no rewards; give a reward model"),
    ("serve", "--model=SHARED/pairs.jsonl", "pairs.jsonl"),
    ("serve", "--model=SHARED/reward --template_args=[", r"template_args is not JSON: '\['"),
    ("serve", "--model=SHARED/reward --port=99999", "--port is 99999; it must be a whole number"),
    ("serve", "--model=SHARED/reward --port=x", "--port=x: invalid literal"),
    ("serve", "--model=SHARED/reward --max_length=5", "--max_length is 5; it must be a whole"),
    ("serve", "--model=SHARED/reward --max_texts=0", "--max_texts is 0; it must be a whole"),
    ("serve", "--model=SHARED/reward --max_texts=9 --max_waiting=3", "is more than may wait"),
    ("serve", "--model=SHARED/reward --max_megabytes=99", "--max_megabytes is 99; it must be"),
    ("serve", "--model=SHARED/reward --dtype=f8", "--dtype is 'f8'; choose one of"),
    ("serve", "--models=SHARED/reward", "models"),
    ("serve", "--model=", "no model given; set --model=DIR"),
    ("serve", "--model=/dev/null", "no such folder: /dev/null"),
    ("serve", "--model=~nosuchuser/x", "~nosuchuser/x: no such user"),
    ("serve", "--model=a/b/c", "no such folder: a/b/c"),
    ("serve", "--model=/", "/ holds neither a run nor a model .no config.json."),
    ("serve", "--model=SHARED", "holds neither a run nor a model .no config.json.; give one of"),
    ("serve", "--model=SHARED/reward/model.safetensors", "is a file, and the folder of a model"),
    ("serve", "--model=SHARED/reward/config.json", "is a file, and the folder of a model is need"),
    ("serve", "--model=SHARED/reward --host=999.1.1.1", "cannot listen at 999.1.1.1, port 0: "),
    ("serve", "--model=SHARED/reward --host=", "--host is empty; give an address to listen at"),
    ("serve", "--model=SHARED/reward --port=٨", "--port=٨: invalid literal for int"),
    ("serve", "--model=SHARED/reward --host=-", "cannot listen at -, port 0: .*choose others with"),
    ("serve", "--model=SHARED/reward --port=-1", "--port is -1; it must be a whole number, at le"),
    ("serve", "--model=SHARED/reward --port=1.5", "--port=1.5: invalid literal for int"),
    ("serve", "--model=SHARED/reward --max_length=x", "--max_length=x: invalid literal for int"),
    ("serve", "--model=SHARED/reward --max_length=9999999", "--max_length is 9999999; it must be"),
    ("serve", "--model=SHARED/reward --max_texts=x", "--max_texts=x: invalid literal for int"),
    ("serve", "--model=SHARED/reward --max_texts=70000", "--max_texts is 70000; it must be a who"),
    ("serve", "--model=SHARED/reward --max_waiting=0", "--max_waiting is 0; it must be a whole n"),
    ("serve", "--model=SHARED/reward --max_waiting=x", "--max_waiting=x: invalid literal for int"),
    ("serve", "--model=SHARED/reward --max_megabytes=0", "--max_megabytes is 0; it must be a who"),
    ("serve", "--model=SHARED/reward --max_megabytes=nan", "--max_megabytes=nan: invalid literal"),
    ("serve", "--model=SHARED/reward --rows_per_batch=0", "--rows_per_batch is 0; it must be a w"),
    ("serve", "--model=SHARED/reward --rows_per_batch=x", "--rows_per_batch=x: invalid literal f"),
    ("serve", "--model=SHARED/reward --rows_per_batch=99999999", "--rows_per_batch is 99999999; "),
    ("serve", "--model=SHARED/reward --dtype=", "--dtype is ''; choose one of float32, bfloat16"),
    ("serve", "--model=SHARED/reward --template_args=[1]", "template_args must be an object of J"),
    ("serve", '--model=SHARED/reward --template_args={"a":NaN}', "a number that is not finite"),
    ("serve", "--model=SHARED/reward --quiet --verbose", "give --quiet or --verbose, not both"),
    ("serve", "--model=SHARED/reward --quiet=2", "Non-boolean argument to boolean flag 2"),
    ("serve", "--model=SHARED/reward more", "unexpected argument 'more'; options are written"),
    ("serve", "--model=SHARED/reward --workdir=x", "Unknown command line flag 'workdir'"),
    ("serve", "--model=SHARED/reward --prot=1", "flag 'prot'. Did you mean: port"),
    ("serve", "--checkpoint=SHARED/reward", "Unknown command line flag 'checkpoint'"),
    ("generate", "--config=generate --checkpoint=x --workdir=y", "generate has no --workdir; name"),
    ("plan", "--config=rm --topology=gpu:1 --workdir=y", "plan has no --workdir; it writes nothi"),
    ("bench", "--config=bench --attention --workdir=y", "what measures no run has no --workdir"),
    ("bench", "--config=bench --versus=trl --workdir=y", "what measures no run has no --workdir"),
    (
        "evaluate",
        "--config=evaluate:score --input=x --workdir=y",
        "has no --workdir; name the file",
    ),
    (
        "evaluate",
        "--config=evaluate:ifeval --workdir=y",
        "has no --workdir; name the file to write",
    ),
    ("evaluate", "--compare a b --workdir=y", "--compare has no --workdir; name the page to write"),
    ("evaluate", "--compare a b --config=evaluate --seed=3", "and takes no --config; leave it out"),
    (
        "evaluate",
        "--config=evaluate --checkpoint=SHARED/reward --data=SHARED/pairs.jsonl --output=x "
        "--workdir=y",
        "--workdir is y and --config.output x; give one of them",
    ),
    (
        "synthesize",
        "--config=synthesize --input=SHARED/pairs.jsonl --output=x --workdir=y",
        "--workdir is y and --config.output x; give one of them",
    ),
    ("train", "--config=/dev/zero", "/dev/zero is no regular file; name a config file"),
    ("train", "--config=rm:tiny --name=\udcff", r"the argument '--name=\\udcff' is no UTF-8 text"),
    ("evaluate", "--compare", "no config given"),
    ("evaluate", "--compare SHARED", "--compare takes two run folders or more"),
    ("evaluate", "--compare nope other", "no such folder: nope"),
    ("evaluate", "--compare SHARED/reward SHARED/policy", "reward"),
    ("evaluate", "--compare SHARED/pairs.jsonl SHARED", "pairs.jsonl"),
    (
        "synthesize",
        "--config=synthesize --runner=DirectRunner --beam='",
        "--beam is .*No closing quo",
    ),
    ("synthesize", "", "no config given; try: python -m mapl_jax.synthesize"),
    ("generate", "", "no config given; try: python -m mapl_jax.generate"),
    ("plan", "--topology=gpu:8", "no config given; try: python -m mapl_jax.plan"),
    ("plan", "--config=rm --topology=gpu:1 --train.trunk=True", "set lora.rank, and lora.layers"),
    ("plan", "--config=rm --topology=gpu:1 --seed ٨", "^seed is '٨'; it must be a whole number"),
]
# Plain flags: command, config, flag, what is said.
FLAGS = [
    ("train", "rm:tiny", "--config.lora.layers=1", "lora.layers counts layers with adapters; set"),
    ("train", "dpo", "--config.loss.type=x", "loss: unknown loss 'x'; choose from sigmoid, "),
    ("train", "dpo", "--config.loss.type=hinge", "loss.type is 'hinge' and loss.weights '1,5'; "),
    ("plan", "rm", "--trie_tokens=0", "--trie_tokens is 0; it must be a whole number, at least 1"),
    ("bench", "bench", "--steps=0", "--steps is 0; it must be a whole number, at least 1"),
    ("bench", "bench", "--pairs=-5", "--pairs is -5; it must be a whole number, at least 1"),
    (
        "plan",
        "rm",
        f"--topology=gpu:{TOO_LONG * 20}",
        r"--topology is gpu:.*, more than 10,000 chips",
    ),
    ("plan", "rm", "--topology=v5e:101x100", "--topology is v5e:101x100, more than 10,000 chips"),
    ("plan", "rm", "--topology=gpu:8x", "--topology is 'gpu:8x'; write the kind of chip"),
    ("bench", "bench", "--times", "--times goes with --lengths; give both"),
    ("plan", "rm", "--topology=v5e", "--topology is 'v5e'; write the kind of chip"),
    ("plan", "rm", "--topology=v5e:", "--topology is 'v5e:'; write the kind of chip"),
    ("plan", "rm", "--topology=v5e:-4x4", "--topology is 'v5e:-4x4'; write the kind of chip"),
    ("plan", "rm", "--topology=v5e:4x", "--topology is 'v5e:4x'; write the kind of chip"),
    ("plan", "rm", "--topology=v5e:0x4", "--topology is 'v5e:0x4', which has no chips"),
    ("plan", "rm", "--topology=gpu:1.5", "--topology is 'gpu:1.5'; write the kind of chip"),
    ("plan", "rm", "--topology=gpu:-8", "--topology is 'gpu:-8'; write the kind of chip"),
    ("plan", "rm", "--topology=gpu:8,gpu:4", "--topology is 'gpu:8,gpu:4'; write the kind of"),
    ("plan", "rm", "--topology=GPU:8", "--topology is 'GPU:8'; write the kind of chip"),
    ("plan", "rm", "--topology=cpu:1", "--topology is 'cpu:1'; write the kind of chip"),
    ("plan", "rm", "--topology=gpu:1e3", "--topology is 'gpu:1e3'; write the kind of chip"),
    ("plan", "rm", "--topology=v5e:4*4", "--topology is 'v5e:4.4'; write the kind of chip"),
    ("plan", "rm", "--topology=v5e:4 x4", "--topology is 'v5e:4 x4'; write the kind of chip"),
    ("plan", "rm", "--topology=gpu:८", "--topology is 'gpu:८'; write the kind of chip"),
    ("plan", "rm", "--topology=v5e:４x4", "--topology is 'v5e:４x4'; write the kind of chip"),
    ("plan", "rm", "--trie_tokens=८", "--trie_tokens=८: invalid literal for int"),
    ("train", "rm:tiny", "--config.seed=٨", "^seed is '٨'; it must be a whole number"),
    ("train", "rm:tiny", "--config.loss.inter=٠.٥", "^loss.inter is '٠.٥'; it must be a finite"),
    ("train", "rm:tiny", "--config.data.train=x.jsonl:٠.٥", "x.jsonl:٠.٥"),
    ("train", "rm:tiny", "--coordinator=localhost:٨٠٨٠", "--coordinator is 'localhost:٨٠٨٠'; giv"),
    ("synthesize", "synthesize", "--config.places=before=0.٥", "places is 'before=0.٥'; it must b"),
    ("plan", "evaluate", "--topology=gpu:1", "is of another command; plan takes one such as --c"),
    ("bench", "evaluate", "--steps=2", "is of another command; bench takes one such as --config=c"),
    ("train", "synthesize", "--lost_after=9", "is of another command; train takes one such as -"),
    ("plan", "rm", "--trie_tokens=1.5", "--trie_tokens=1.5: invalid literal for int"),
    ("plan", "rm", "--trie_tokens=-2", "--trie_tokens is -2; it must be a whole number"),
    ("plan", "rm", "--trie_tokens=nan", "--trie_tokens=nan: invalid literal for int"),
    ("plan", "rm", f"--trie_tokens={TOO_LONG}", "--trie_tokens is 1000.*; it must be a whole"),
    ("plan", "rm", "--trie_token=3", "flag 'trie_token'. Did you mean: trie_tokens"),
    ("plan", "rm", "--config.model.width=0", "model.width is 0; it must be a whole number"),
    ("plan", "rm", "--config.model.heads=7", "must be a multiple of model.heads .7."),
    ("plan", "rm", "--config.data.row_length=0", "data.row_length is 0; it must be a whole"),
    ("plan", "rm", "--config.mesh.fsdp=0", "mesh.fsdp is 0; it must be a whole number"),
    ("plan", "rm", "--config.train.accumulation=0", "train.accumulation is 0; it must be a"),
    ("plan", "rm", "--config.train.remat=x", "train.remat is 'x'; choose one of none, dots"),
    ("plan", "rm", "--config.train.dtype=f8", "train.dtype is 'f8'; choose one of float32"),
    ("plan", "rm", "--config.objective=x", "objective is 'x'; choose one of reward, dpo, sft"),
    ("plan", "rm", "--config.train.optimizer=x", "train.optimizer is 'x'; choose one of adamw"),
    ("plan", "rm", "--config.loss.inter=nan", "loss.inter is nan; it must be a finite number"),
    ("plan", "rm", "--overrides=nope.toml", "--overrides=nope.toml: No such file or directory"),
    ("plan", "rm", "--quiet=7", "flag --quiet=7: Non-boolean argument to boolean flag 7"),
    ("bench", "bench", "--steps=x", "--steps=x: invalid literal for int"),
    ("bench", "bench", "--steps=10000000", "--steps is 10000000; it must be a whole number"),
    ("bench", "bench", "--pairs=0", "--pairs is 0; it must be a whole number, at least 1"),
    ("bench", "bench", "--pairs=99999999999", "--pairs is 99999999999; it must be a whole"),
    ("bench", "bench", "--batch=0", "--batch is 0; it must be a whole number, at least 1"),
    ("bench", "bench", "--batch=x", "--batch=x: invalid literal for int"),
    ("bench", "bench", "--repeats=0", "--repeats is 0; it must be a whole number, at least 1"),
    ("bench", "bench", "--versus=TRL", "--versus is 'TRL'; choose one of trl"),
    ("bench", "bench", "--versus=trl,none", "--versus is 'trl,none'; choose one of trl"),
    ("bench", "bench", "--attention=2", "Non-boolean argument to boolean flag 2"),
    ("bench", "bench", "--output=/dev/null/x", "cannot write /dev/null/x: /dev/null is a file"),
    ("bench", "bench", "--output=~nosuchuser/x", "~nosuchuser/x: no such user"),
    ("bench", "bench", "--output=gs://b/x", "gs://b/x is no path, and only runs and models"),
    ("bench", "bench", "--config.model.path=nope/nope/x", "no such folder: nope/nope/x"),
    ("bench", "bench", "--config.data.train=~nosuchuser/x", "~nosuchuser/x: no such user"),
    ("bench", "bench", "--config.mesh.data=3", "the mesh .* does not fit"),
    ("bench", "bench", "--config.objective=x", "objective is 'x'; choose one of reward, dpo"),
    ("bench", "bench", "--config.train.dtype=f8", "train.dtype is 'f8'; choose one of float32"),
    ("bench", "bench", "--config.train.remat=x", "train.remat is 'x'; choose one of none, dots"),
    ("bench", "bench", "--config.model.heads=7", "must be a multiple of model.heads .7."),
    ("bench", "bench", "--config.data.max_length=5", "data.max_length is 5; it must be a whole"),
    ("bench", "bench", "--config.data.row_length=1", "is below data.max_length .1024."),
    ("bench", "bench", "--config.lora.rank=-1", "lora.rank is -1; it must be a whole number"),
    ("bench", "bench", "--config.lora.targets=q", "lora.targets names matrices with adapters"),
    ("bench", "bench", "--config.train.optimizer=x", "train.optimizer is 'x'; choose one of"),
    ("bench", "bench", "--config.seed=-1", "seed is -1; it must be a whole number, at least 0"),
    ("bench", "bench", "--config.loss.lists=x", "loss.lists is 'x'; choose one of pairs"),
    ("bench", "bench", "--config.tokenizer.path=nope", "no such folder: nope"),
    ("bench", "bench", "--config.tokenizer.template_args=[", "template_args is not JSON: '.'"),
    ("study", "study", "--config.arms=nope", "nope"),
    ("study", "study", "--config.seeds=0", "seeds is 0; it must be a whole number, at least 1"),
    ("study", "study", "--config.resamples=0", "resamples is 0; it must be a whole number"),
    ("study", "study", "--config.reward.objective=nope", "reward.objective is 'nope'; choose one"),
    ("study", "study", "--config.reward.train.learning_rate=nan", "reward.train.learning_rate is"),
    ("study", "study", "--config.sft.train.steps=-1", "sft.train.steps is -1; it must be a whole"),
    ("study", "study", "--config.data.max_words=-1", "data.max_words is -1; it must be a whole"),
    (
        "train",
        "rm:tiny",
        "--config.lora.targets=q",
        "lora.targets names matrices with adapters; set",
    ),
    ("train", "rm:tiny", "--config.objective=sft", "loss.base is 0.2, and the objective sft does"),
    ("train", "dpo", "--config.objective=reward", "loss.type is 'sigmoid,sft', and the objective"),
    ("train", "dpo", "--config.model.reference=nope", "nope"),
    ("study", "study", "--config.reward.model.path=nope", "reward: .*nope"),
    ("study", "study", "--config.dpo.model.path=nope", "dpo: no such folder: nope, to start from"),
    ("generate", "generate", "--config.top_p=0.5", "at temperature 0 nothing is drawn; set temp"),
    (
        "evaluate",
        "evaluate",
        "--config.synthesis.k_max=3",
        "synthesize is False; set --config.synth",
    ),
    ("train", "rm:tiny", "--config.=3", "--config.=3 names no field; write --config.FIELD=VALUE"),
    ("train", "rm:tiny", "--config..seed=3", "--config..seed=3 names no field"),
    ("train", "rm:tiny", "--train..steps=3", "--config.train..steps=3 names no field"),
    ("train", "rm:tiny", f"--config.seed={TOO_LONG * 12}", r"^seed is .{,130}; it must be a whole"),
    ("train", "rm:tiny", "--config.data.train=/dev/null", "/dev/null is no regular file; name a"),
    ("study", "study", "--config.keep=5", "keep"),
    (
        "study",
        "study",
        "--config.arms=;",
        "arms is ';', which names none; write names, or leave it",
    ),
    ("study", "study", "--config.once=nope", "no arm 'nope'; choose from base; "),
    ("study", "study", "--config.reward.objective=dpo", "it must be 'reward' here"),
    ("study", "study", "--config.sft.objective=reward", "sft.objective is 'reward'; it must be"),
    ("train", "dpo", "--config.sft.objective=dpo", "sft.objective is 'dpo'; it must be 'sft'"),
    ("study", "study", "--config.presets.dpo=bin", "presets.dpo: no config 'bin'; choose one of"),
    ("study", "study", "--config.presets.reward=rm:bin", "presets.reward: unknown preset 'bin'"),
    ("study", "study", "--config.presets.dpo=rm", "dpo: 'rm' has the objective reward; name a"),
    ("study", "study", "--config.presets.dpo=evaluate", "has the objective None; name a preset"),
    ("study", "study", "--config.dpo.loss.type=x", "dpo: loss.type is 'x' and loss.weights"),
    ("study", "study", "--config.reward.train.logger=x", "reward: .*'x'"),
    ("study", "study", "--config.sft.train.best=x", "sft: train.best"),
    ("study", "study", "--config.reward.mesh.fsdp=7", "reward: .*mesh"),
    ("bench", "bench", "--lengths=5", "flag --lengths=5: Non-boolean argument to boolean flag 5$"),
    ("bench", "bench", "--repeats=1001", "--repeats is 1001; it must be a whole number"),
    ("train", "rm:tiny", "--coordinator=x", "--coordinator is 'x'; give the address of process 0"),
    ("train", "rm:tiny", "--process_id=0", "--coordinator is ''; give the address of process 0"),
    ("train", "rm:tiny", "--overrides=", "--overrides=: name a file that ends in .toml, .yaml"),
    ("train", "rm:tiny", "--overrides=~nosuchuser/x", "~nosuchuser/x: no such user"),
    ("train", "rm:tiny", "--quiet=maybe", "flag --quiet=maybe: Non-boolean argument to boolean"),
    ("train", "rm:tiny", "--config.plugins=nope", "no plugin nope; name a module that can be"),
    ("train", "rm:tiny", "--config.plugins=..", "plugin ..: TypeError"),
    ("train", "rm:tiny", "--config.data.columns=prompt", "data.columns has 'prompt'; write FIELD"),
    ("train", "rm:tiny", "--config.data.columns==x", "data.columns has '=x'; write FIELD=COLUMN"),
    ("train", "rm:tiny", "--config.data.format=nope", "data.format is 'nope'; choose one of"),
    ("train", "rm:tiny", "--config.data.train=~", "is your home folder; give the file or the fold"),
    ("train", "rm:tiny", "--config.data.train=/", "lies in the input /; name another place"),
    ("train", "rm:tiny", "--config.data.train=,", "no such file or folder: ,"),
    ("train", "rm:tiny", "--config.data.train=x:1.5", "the weight 1.5 is the share of x that is"),
    ("train", "rm:tiny", "--config.data.train=/etc/passwd", "/etc/passwd has an unknown ending"),
    ("train", "rm:tiny", "--config.data.cache=gs://b/c", "gs://b/c is no path, and only runs and"),
    ("train", "rm:tiny", "--config.tokenizer.template_args=[1]", "must be an object of JSON, not"),
    ("train", "rm:tiny", '--config.tokenizer.template_args={"a":NaN}', "a number that is not fini"),
    ("train", "rm:tiny", "--config.tokenizer.template_args=" + "[" * 5000, "nested too deeply"),
    ("train", "rm:tiny", "--config.model.shape=nope", "no model shape is called 'nope'; choose"),
    ("train", "rm:tiny", "--config.model.heads=3", "must be a multiple of model.heads .3."),
    ("train", "rm:tiny", "--config.model.kv_heads=3", "and that of model.kv_heads .3."),
    ("train", "rm:tiny", "--config.model.path=/", "lies in the input /; name another place"),
    ("train", "rm:tiny", "--config.train.logger=nope", "train.logger is 'nope'; name any of tens"),
    ("train", "rm:tiny", "--config.train.best=nope", "train.best: no metric 'nope'; choose one"),
    ("train", "rm:tiny", "--config.train.callbacks=nope", "train.callbacks: no callback 'nope'"),
    ("train", "rm:tiny", "--config.train.keep=1", "train.keep must be at least 2, not 1"),
    ("train", "rm:tiny", "--config.train.patience=3", "set train.best as well, to loss for ex"),
    ("train", "rm:tiny", "--config.train.optimizer=nope", "train.optimizer is 'nope'; choose one"),
    ("train", "rm:tiny", "--config.train.trunk=True", "set lora.rank, and lora.layers to the num"),
    ("train", "rm:tiny", "--config.mesh.context=3", "the mesh .* does not fit"),
    ("train", "rm:tiny", "--config.mesh.data=-2", "mesh.data is -2; it must be a whole number"),
    ("train", "rm:tiny", "--config.loss.inter_form=nope", "loss.inter_form is 'nope'; choose one"),
    ("train", "rm:tiny", "--config.loss.lists=nope", "loss.lists is 'nope'; choose one of pairs"),
    ("train", "rm:tiny", "--config.synthesis.families=,", "gives 0 families, fewer than k_min"),
    ("train", "rm:tiny", "--lost_after=0", "--lost_after is 0; it must be a whole number"),
    ("train", "rm:tiny", "--num_processes=0", "--num_processes is 0; it must be a whole number"),
    ("train", "rm:tiny", "--process_id=-7", "--process_id is -7; it must be a whole number"),
]

# Command and config -> fields that name a place, and what else the command needs.
PLACES = {
    ("train", "rm:tiny"): (
        "data.train data.test data.cache tokenizer.path tokenizer.chat_template model.path",
        "",
    ),
    ("evaluate", "evaluate"): (
        "checkpoint data scores output",
        "checkpoint=SHARED/reward data=SHARED/pairs.jsonl",
    ),
    ("evaluate", "evaluate:score"): (
        "input output",
        "checkpoint=SHARED/reward input=SHARED/pairs.jsonl",
    ),
    ("evaluate", "evaluate:ifeval"): ("prompts", "responses=SHARED/pairs.jsonl"),
    ("generate", "generate"): (
        "checkpoint input output",
        "checkpoint=SHARED/policy input=SHARED/pairs.jsonl",
    ),
    ("synthesize", "synthesize"): ("input", ""),
    ("study", "study"): ("data.train data.test", "data.train=SHARED/pairs.jsonl"),
    ("bench", "bench"): ("model.path", ""),
}
# What is no place -> what is said of it, wherever it stands: a pipe, a link to itself, ...
NO_PLACES = {
    "pipe": "is no regular file|no such folder: pipe|is a file; name a folder|not found: pipe",
    "loop": "Too many levels of symbolic links|not found: loop",
    "~nosuchuser/x": "~nosuchuser/x: no such user|not found: ~nosuchuser/x",
    "x" * 300: "x cannot be used: File name too long|not found: x",
}


class Circle(dict):
    """A record that holds itself."""

    def __init__(self):
        super().__init__(prompt="a", chosen="b", rejected="c")
        self["x"] = self


USER = {"role": "user", "content": "q"}
PAIR = {"prompt": "Name a river.", "chosen": "The Nile.", "rejected": "Bread."}
MODELS = (None, 5, [], b"x")
WRONG_TEXTS = ("a", None, 5, [None], [5], [b"a"], {"a": 1})
NO_NUMBER = (1.5, "2", None, True, -1, 0)
# Function, its arguments, what is said. REWARD and POLICY stand for models that are there.
REWARD, POLICY, CONFIG = "the reward model", "the policy", "the config"
OTHER = "the config of another command"


class Misspelled:
    """A callback of which one method is never called."""

    def on_stepp(self, step, metrics):
        """Is no hook."""


# Turns of a tool or of who calls it -> nothing that templates could write.
TURNS = [
    *(
        {"role": "tool", "content": "x", key: value}
        for key in ("name", "tool_call_id")
        for value in (5, ["a"])
    ),
    *(
        {"role": "function_call", "content": text}
        for text in ("x", "[]", "5", '{"name": "f", "arguments": "{"}')
    ),
    *(
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "f", "arguments": text}}],
        }
        for text in (
            "{",
            "[]",
            "[{}]",
            "[1]",
            "null",
            "5",
            '{"a": NaN}',
            '{"a": 1e999}',
            '{"a": "\\ud800"}',
            "[" * 10**5,
        )
    ),
    {"role": "assistant", "content": "", "tool_calls": [{"id": [1], "function": {"name": "f"}}]},
    {"role": "assistant", "content": "", "tool_calls": [{"id": 5}]},
    {"role": "assistant", "content": "x", "function_call": 5},
]
TOOLS = (
    5,
    "x",
    [5],
    [{"name": 5}],
    {"function": 5},
    "[1]",
    '[{"name": "f", "x": NaN}]',
    '[{"name": "a\\ud800"}]',
    True,
)


def calls():
    """Rows of the table of functions."""
    for prompt, said in (
        ("", "prompt is empty"),
        (" ", "prompt is empty"),
        ([], "prompt is an empty list"),
        ([USER, {"role": "assistant", "content": "z"}], "it must end with a user's"),
        ([{"role": "tool", "content": "x"}], "it must end with a user's"),
        ([{"role": "user"}], 'must be an object with "role" and "content"'),
        ([{"role": "user", "content": ""}], "content is empty"),
        ("a\ud800", "surrogate"),
        (None, "prompt is None; it must be text or a list of messages"),
        (5, "prompt is 5; it must be text or a list of messages"),
        ({}, "it must be text or a list of messages"),
    ):
        yield "score", (prompt, ["a"], REWARD), {}, said
        if isinstance(prompt, str | list):
            yield "generate_responses", ([prompt], POLICY), {}, said
    for responses in WRONG_TEXTS:
        yield "score", ("q", responses, REWARD), {}, "responses is .*; it must be a list of texts"
    for text, said in (("", "response 2 is empty"), ("a\ud800", "response 2 .*surrogate")):
        yield "score", ("q", ["a", text], REWARD), {}, said
    for prompts in WRONG_TEXTS:
        said = "prompts is .*; it must be a list of texts or conversations"
        yield "generate_responses", (prompts, POLICY), {}, said
    for model in MODELS:
        said = "model is .*; it must be a Trained, text or a path"
        yield "score", ("q", ["a"], model), {}, said
        yield "generate_responses", (["q"], model), {}, said
        yield "evaluate_model", (model, [PAIR]), {}, said
        yield "export_model", (model, "out", [PAIR]), {}, said
        yield "report_pictures", (model,), {}, said
    yield "score", ("q", ["a"], POLICY), {}, "this is a policy, which gives no rewards"
    yield "generate_responses", (["q"], REWARD), {}, "this is a reward model"
    for value in NO_NUMBER:
        said = f"it must be {WHOLE}at least 1|it must be a whole number"
        yield "score", ("q", ["a"], REWARD), {"rows_per_batch": value}, said
        yield "evaluate_model", (REWARD, [PAIR]), {"rows_per_batch": value}, said
        for name in ("n", "max_new_tokens", "rows_per_batch"):
            yield "generate_responses", (["q"], POLICY), {name: value}, f"{name} is .*{said}"
        yield "propose_instructions", ("Yes!",), {"k": value}, said
    for value in (float("nan"), float("inf"), "x", -0.5, 1e-40, 1e39):
        said = "temperature is .*; it must be a finite number"
        yield "generate_responses", (["q"], POLICY), {"temperature": value}, said
        said = "top_p is .*; it must be a finite number"
        yield "generate_responses", (["q"], POLICY), {"top_p": value}, said
    yield (
        "generate_responses",
        (["q"], POLICY),
        {"n": 2, "temperature": 0.0},
        "responses are the same",
    )
    yield "generate_responses", (["q"], POLICY), {"top_p": 0.5}, "nothing is drawn; set temperature"
    for value in (-1, 1.5, None, "x", 2**70):
        said = "seed is .*; it must be a whole number"
        yield "evaluate_model", (REWARD, [PAIR]), {"seed": value}, said
        yield "generate_responses", (["q"], POLICY), {"seed": value}, said
        yield "propose_instructions", ("Yes!",), {"seed": value}, said
    for added, said in ((5, "must be a mapping or None"), ({"x": 1}, "unknown field synthesis.x")):
        yield "evaluate_model", (REWARD, [PAIR]), {"synthesis": added}, said
    for data, said in (
        (5, "source is 5; it must be text, a path or records"),
        (None, "source is None; it must be text, a path or records"),
        (dict, "source is <class 'dict'>; it must be text, a path or records"),
        ([5], "record 1: must be an object with named fields, not a number"),
        ([{**PAIR, "chosen": "Bread."}], "record 1: chosen and rejected are the same"),
        ([{"prompt": "a"}], "record 1: "),
        ([Circle()], "record 1: is nested more than 100 deep"),
        ([{**PAIR, "prompt": "a\ud800"}], "record 1: .*surrogate"),
        ([{**PAIR, "note": [{"a": "a\ud800"}]}], "record 1: note holds half of a surrogate"),
        ([{**PAIR, "a\ud800": 1}], r"record 1: a\\ud800 holds half of a surrogate"),
        ("nowhere.jsonl", "nowhere.jsonl"),
    ):
        yield "load_pairs", (data,), {}, said
    for turn in TURNS:
        given = {**PAIR, "prompt": [USER, turn, USER]}
        yield "load_pairs", ([given],), {}, "record 1: message 2 of prompt has tools or calls that"
    for tools in TOOLS:
        yield "load_pairs", ([{**PAIR, "tools": tools}],), {}, "record 1: tools has tools or calls"
    for name, said in (
        ("a\0b", "holds a control character"),
        ("\ud800", "holds a control character|holds half of a surrogate pair"),
    ):
        yield "evaluate_model", (POLICY, [PAIR]), {"reference": name}, said
        yield "export_model", (REWARD, name, [PAIR]), {}, said
    yield "export_model", (REWARD, "", [PAIR]), {}, "no output given; set folder"
    for given, said in (
        (5, "callbacks is 5; it must be a list$"),
        ([5], "int is no callback: it needs some of the methods on_step"),
        ([Misspelled], "type is a class; give an object of it"),
        ([Misspelled()], "callback Misspelled: nothing calls on_stepp; did you mean on_step"),
    ):
        yield "train_model", (CONFIG, [PAIR]), {"callbacks": given}, said
    for name, value in (("limit", -1), ("limit", 1.5), ("limit", "x"), ("limit", 10**15)):
        yield "load_pairs", ("demo",), {name: value}, "limit is .*; it must be a whole number"
    for name in ("on_error", "format", "columns"):
        yield "load_pairs", ("demo",), {name: 5}, f"{name} is 5; it must be text"
    for values, said in (
        ({"k": 1}, "settings are "),
        ({"k_min": 0}, "k_min is 0; it must be a whole number, at least 1"),
        ({"k_min": 5, "k_max": 2}, "k_m"),
        ({"families": "x:y"}, "unknown family 'x:y'"),
        ({"families": 5}, "families is 5; it must be text"),
        ({"lists": float("nan")}, "lists is nan; it must be a finite number"),
    ):
        yield "make_samples", ([PAIR],), values, said
    for value, said in (("", "is empty"), (" ", "is empty"), ("a\ud800", "surrogate")):
        yield "propose_instructions", (value,), {}, f"keeps .*{said}"
        yield "propose_instructions", ("Yes!", value), {}, f"breaks .*{said}"
    for value in (
        "",
        " ",
        "\0",
        "rm:nope",
        ":tiny",
        "nope",
        "../rm",
        "x" * 5000,
        "~nosuchuser/x.py",
    ):
        yield (
            "load_config",
            (value,),
            {},
            "no config|unknown preset|control cha|no such user|cannot be",
        )
    for value in (None, 5, b"a", ["b"]):
        yield "propose_instructions", (value,), {}, "keeps is .*; it must be text"
        yield "check_instructions", (["Use no commas."], value), {}, "response is .*; it must be te"
        yield "check_instructions", ([value], "a"), {}, "no instruction|it must be a list of"
    for options, said in (
        ({}, "give a model, constraints or both"),
        ({"constraints": 5}, "constraints is 5; it must be text"),
        ({"model": 5}, "model is 5; it must be a Trained, text, a path, a function or None"),
        ({"model": REWARD, "gate": 0.0}, "gate goes with a model and constraints"),
        ({"model": REWARD, "constraints": "prompt"}, "gate goes with a model and constraints"),
        ({"model": REWARD, "rows_per_batch": 0}, "rows_per_batch is 0; it must be a whole number"),
        ({"model": REWARD, "dtype": "f8"}, "f8"),
        ({"model": POLICY}, "this is a policy"),
        ({"model": "nowhere"}, "nowhere"),
        *(
            ({"model": REWARD, "constraints": "prompt", "gate": gate}, "gate is .*; it must be a f")
            for gate in (float("nan"), "x", True)
        ),
    ):
        yield "reward_function", (), options, said
    for config in (None, 5, "rm", {}, []):
        said = "config is .*; it must be a ConfigDict"
        yield "build_model", (config, [PAIR]), {}, said
        yield "train_model", (config, [PAIR]), {}, said
    for value in (5, [], b"x"):
        yield "load_config", (value,), {}, "name is .*; it must be text"
        said = "path is .*; it must be text or a path"
        yield "load_model", (value,), {}, said
        yield "set_verbosity", (value,), {}, "level is .*; it must be text"
    yield "train_model", (OTHER, [PAIR]), {}, "unknown field attention; did you mean train.attent"
    for values, said in (
        (5, "values is 5; it must be a mapping or None"),
        ({5: 1}, "the name of a config field must be text, not 5"),
        ({"train.step": 1}, "unknown config field 'train.step'; did you mean 'train.steps'"),
        ({"train.steps": "x"}, "the config field train.steps takes an int, not 'x'"),
    ):
        yield "load_config", ("rm", values), {}, said
    for mesh, said in (
        ({"x": 1}, "unknown field mesh.x"),
        ({"data": 0}, "mesh.data is 0; it must be a whole number"),
        ({"data": "a"}, "mesh.data is 'a'; it must be a whole number"),
        ({"data": -1, "fsdp": -1}, "one of them may be -1"),
        (5, "mesh is 5; it must be a mapping or None"),
    ):
        yield "load_model", ("nowhere", mesh), {}, said

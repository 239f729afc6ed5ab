"""Every field of every config: of what type it is, and what it may be.

One table for all commands, so that `data.max_length` means the same everywhere. A config is checked
as soon as it is read, before anything is loaded or written. What only several fields together
decide is checked where they are used, and so are names to choose from.
"""

import ast
import dataclasses
import difflib
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from mapl_jax.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Text:
    """A text."""

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value; None if nothing is."""
        return None if isinstance(value, str) else "it must be text"


@dataclasses.dataclass(frozen=True)
class Switch:
    """True or False."""

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value; None if nothing is."""
        return None if isinstance(value, bool) else "it must be True or False"


@dataclasses.dataclass(frozen=True)
class Number:
    """A number within bounds.

    Attributes:
        low: the smallest one.
        high: the largest one.
        whole: whether it is a count and not a fraction.
        beyond: whether `low` itself is left out.
        below: whether `high` itself is left out.
        besides: a value outside of the bounds with a meaning of its own.
    """

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    beyond: bool = False
    below: bool = False
    besides: float | None = None

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value; None if nothing is."""
        kinds = (int,) if self.whole else (int, float)
        if type(value) in kinds and (value == self.besides or self._holds(value)):
            return None
        return f"it must be {self}"

    def _holds(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        above = value > self.low if self.beyond else value >= self.low
        return above and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        bounds = []
        if self.low > -math.inf:
            bounds.append(f"{'above' if self.beyond else 'at least'} {self.low:g}")
        if self.high < math.inf:
            high = int(self.high) if self.whole else f"{self.high:g}"
            bounds.append(f"{'below' if self.below else 'at most'} {high}")
        kind = "a whole number" if self.whole else "a finite number"
        text = f"{kind}, {' and '.join(bounds)}" if bounds else kind
        return text if self.besides is None else f"{text}, or {self.besides:g}"


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of a few texts."""

    names: tuple[str, ...]

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value; None if nothing is."""
        return None if value in self.names else f"choose one of {', '.join(self.names)}"


TEXT, SWITCH = Text(), Switch()
ON_ERROR = Choice(("raise", "skip"))
COUNT, SOME = Number(0, whole=True), Number(1, whole=True)
SEED = Number(0, 2**32 - 1, whole=True)
WEIGHT, POSITIVE, REAL = Number(0), Number(0, beyond=True), Number()
SHARE, DECAY = Number(0, 1), Number(0, 1, below=True)
AXIS = Number(1, whole=True, besides=-1)
Kind = Text | Switch | Number | Choice

FIELDS: Mapping[str, Kind] = {
    "name": TEXT,
    "seed": SEED,
    "objective": TEXT,
    "data.train": TEXT,
    "data.test": TEXT,
    "data.test_fraction": Number(0, 1, beyond=True, below=True),
    "data.demo_pairs": Number(10, whole=True),
    "data.instructions": SWITCH,
    "data.on_error": ON_ERROR,
    "data.max_length": Number(32, whole=True),
    "data.row_length": SOME,
    "data.truncation": TEXT,
    "data.threads": COUNT,
    "data.workers": COUNT,
    "data.num_proc": COUNT,
    "data.cache": TEXT,
    "synthesis.mode": TEXT,
    "synthesis.k_min": SOME,
    "synthesis.k_max": SOME,
    "synthesis.families": TEXT,
    "synthesis.wordings": TEXT,
    "synthesis.seed": SEED,
    "synthesis.reference": COUNT,
    "synthesis.min_share": SHARE,
    "synthesis.min_share_named": SHARE,
    "synthesis.max_share": SHARE,
    "tokenizer.path": TEXT,
    "tokenizer.vocab_size": Number(300, whole=True),
    "tokenizer.chat_template": TEXT,
    "model.path": TEXT,
    "model.reference": TEXT,
    "model.shape": TEXT,
    "model.width": SOME,
    "model.layers": SOME,
    "model.heads": SOME,
    "model.kv_heads": SOME,
    "model.mlp_width": SOME,
    "model.rope_theta": POSITIVE,
    "lora.rank": COUNT,
    "lora.alpha": POSITIVE,
    "lora.targets": TEXT,
    "loss.base": POSITIVE,
    "loss.intra": WEIGHT,
    "loss.inter": WEIGHT,
    "loss.inter_form": TEXT,
    "loss.inter_gamma": REAL,
    "loss.center": WEIGHT,
    "loss.beta": POSITIVE,
    "loss.type": TEXT,
    "loss.weights": TEXT,
    "loss.label_smoothing": Number(0, 1, below=True),
    "loss.joint_logp": SWITCH,
    "train.epochs": SOME,
    "train.steps": COUNT,
    "train.rows_per_batch": SOME,
    "train.accumulation": SOME,
    "train.learning_rate": POSITIVE,
    "train.schedule": TEXT,
    "train.warmup": WEIGHT,
    "train.min_ratio": SHARE,
    "train.weight_decay": WEIGHT,
    "train.b1": DECAY,
    "train.b2": DECAY,
    # With 0, Adam divides nothing by nothing where a gradient is 0.
    "train.eps": POSITIVE,
    "train.clip": WEIGHT,
    "train.dtype": TEXT,
    "train.remat": TEXT,
    "train.attention": TEXT,
    "train.logp_chunk": SOME,
    "train.log_every": SOME,
    "train.eval_every": COUNT,
    "train.save_every": COUNT,
    "train.keep": SOME,
    "train.on_nonfinite": TEXT,
    "train.logger": TEXT,
    "eval.rows_per_batch": SOME,
    "eval.samples": COUNT,
    "eval.resamples": COUNT,
    "eval.generate": COUNT,
    "eval.generate_rows": SOME,
    "eval.max_new_tokens": SOME,
    "mesh.data": AXIS,
    "mesh.fsdp": AXIS,
    "mesh.tensor": AXIS,
    # Of configs/synthesize.py.
    "input": TEXT,
    "output": TEXT,
    "overwrite": SWITCH,
    "on_error": ON_ERROR,
    "demo_pairs": SOME,
    "mode": TEXT,
    "k_min": SOME,
    "k_max": SOME,
    "families": TEXT,
    "wordings": TEXT,
    "reference": COUNT,
    "min_share": SHARE,
    "min_share_named": SHARE,
    "max_share": SHARE,
    "format": TEXT,
    "shard_size": SOME,
    "num_proc": COUNT,
    # Of configs/generate.py and configs/evaluate.py.
    "checkpoint": TEXT,
    "data": TEXT,
    "scores": TEXT,
    "synthesize": SWITCH,
    "max_length": Number(32, whole=True, besides=0),
    "row_length": COUNT,
    "truncation": TEXT,
    "n": SOME,
    "max_new_tokens": SOME,
    "temperature": Number(0, besides=-1),
    "top_p": Number(0, 1, beyond=True),
    "rows_per_batch": SOME,
    "dtype": TEXT,
    "attention": TEXT,
    "resamples": COUNT,
    "prompts": TEXT,
    "responses": TEXT,
    "selector": TEXT,
    # Of configs/study.py.
    "arms": TEXT,
    "seeds": SOME,
    "keep": SWITCH,
    "data.test_pairs": COUNT,
    "data.max_words": COUNT,
    "presets.reward": TEXT,
    "presets.dpo": TEXT,
}
PARTS = frozenset(name.rpartition(".")[0] for name in FIELDS if "." in name)
# Whole configs, or parts of one, inside another.
NESTED = ("sft", "demo", "reward", "dpo")


def check(config: ConfigDict) -> None:
    """Makes sure that every field is known and means something by itself.

    Raises:
        UserError: one does not; names it.
    """
    for name, value in leaves(config):
        known = _known(name)
        inside = isinstance(value, ConfigDict)
        if inside and (known in PARTS or name in NESTED):
            continue
        if inside and known in FIELDS:
            raise UserError(f"{name} has fields of its own; it must be a single value")
        if known not in FIELDS:
            raise UserError(_unknown(name, value))
        if problem := FIELDS[known].problem(value):
            raise UserError(f"{name} is {value!r}; {problem}")


def problem(name: str, value: str) -> str | None:
    """What is wrong with a field's name or its value as they stand on a command line."""
    kind = FIELDS.get(_known(name))
    if kind is None:
        return _unknown(name, value)
    if isinstance(kind, Text):
        return None
    try:
        read = ast.literal_eval(value.title() if isinstance(kind, Switch) else value)
    except (ValueError, SyntaxError):
        read = float(value) if value.lower().strip("+-") in ("nan", "inf") else value
    wrong = kind.problem(read)
    return wrong and f"{name} is {value!r}; {wrong}"


def _known(name: str) -> str:
    """The name in `FIELDS` of a field, which may be one of a config inside another."""
    nested, _, rest = name.partition(".")
    return rest if nested in NESTED and rest else name


def _unknown(name: str, value: Any) -> str:
    known = _known(name)
    if known in PARTS:
        return f"{name} is {value!r}; it has fields of its own, {name}.NAME"
    close = difflib.get_close_matches(known, [*FIELDS, *PARTS], 1)
    hint = f"did you mean {close[0]}?" if close else "nothing reads it; leave it out"
    return f"unknown field {name}; {hint}"


def leaves(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of all fields, and of the parts that they are in."""
    for name, value in config.items():
        yield f"{prefix}{name}", value
        if isinstance(value, ConfigDict):
            yield from leaves(value, f"{prefix}{name}.")

"""What a study compares. An arm is data and a loss; everything else in a run is the same."""

import dataclasses
from collections.abc import Mapping

from mapl_jax.data.samples import Comparison, Sample
from mapl_jax.runtime.errors import UserError
from mapl_jax.synthesis.corpus import hash_of

_ALL = ("intra", "inter")
_SIGMOID = {"type": "sigmoid", "weights": ""}
_HASHES = 2**128


@dataclasses.dataclass(frozen=True, eq=False)
class Arm:
    """One way to train."""

    name: str
    says: str  # what it is, for the reader
    objective: str = "reward"
    corpus: str = "compact"  # which synthesis, a name of `corpora.TRAIN`
    levels: tuple[str, ...] = _ALL  # which comparisons stay beside base
    change: str = ""  # how others are made of them: "" (as they are), "one_ended" or "iopo"
    share: float = 1.0  # of the samples that have any comparison but base
    loss: Mapping[str, object] = dataclasses.field(default_factory=dict)  # fields of `config.loss`

    @property
    def data(self) -> str:
        """Names the training data; arms of the same name share it."""
        parts = [self.corpus, *self.levels, self.change, f"{100 * self.share:.0f}"]
        return "-".join(part for part in parts if part)


REWARD = (
    Arm("base", "the pairs alone", levels=()),
    Arm("base + intra", "one response, two prompts", levels=("intra",)),
    Arm("base + inter", "two pairs, whose gaps should differ", levels=("inter",)),
    Arm("all", "base, intra and inter of the same prompts (compact)"),
    Arm("all, independent", "the same, each comparison with prompts of its own", corpus="full"),
    Arm(
        "all, inter plain", "inter without the gap of the pair itself", loss={"inter_form": "plain"}
    ),
    Arm(
        "all, inter fixed",
        "inter with a fixed gap for every instruction instead",
        loss={"inter_form": "fixed", "inter_gamma": 0.1},
    ),
    Arm(
        "all, inter stopgrad",
        "inter with the gap of the pair held constant",
        loss={"inter_form": "stopgrad"},
    ),
    Arm(
        "length only",
        "one instruction on the number of words, two prompts (Rc-BT, arXiv 2502.00814)",
        corpus="length",
        levels=("intra",),
    ),
    Arm(
        "augmentation",
        "pairs with instructions as further pairs (as LIFT, arXiv 2406.17744, does with lengths)",
        levels=("inter",),
        loss={"inter_form": "plain"},
    ),
    Arm(
        "one-ended",
        "intra between the prompt with instructions kept and the prompt without any",
        levels=("intra",),
        change="one_ended",
    ),
    Arm(
        "all, neutral",
        "all, and instructions that both responses keep or break, which should move no gap",
        corpus="neutral",
        levels=(*_ALL, "neutral"),
    ),
    Arm(
        "all, graded",
        "all, with a margin asked for where responses are far from the thresholds",
        loss={"graded": 1.0},
    ),
    Arm("all, 10 %", "as all, instructions in a tenth of the samples", share=0.1),
    Arm("all, 40 %", "as all, instructions in two fifths of the samples", share=0.4),
)
POLICY = (
    Arm("DPO base", "the pairs alone", "dpo", levels=()),
    Arm("DPO all", "base, intra and inter; log-probabilities of responses", "dpo"),
    Arm(
        "DPO all, base 1",
        "as DPO all, with the margin of the pairs at full weight instead of a fifth",
        "dpo",
        loss={"base": 1.0, "weights": "1,1"},
    ),
    Arm("DPO all, sigmoid", "as DPO all, without the sft term", "dpo", loss=_SIGMOID),
    Arm(
        "DPO all, joint",
        "as DPO all, sigmoid, with log-probabilities of prompts and responses, which sft excludes",
        "dpo",
        loss={**_SIGMOID, "joint_logp": True},
    ),
    Arm(
        "DPO IOPO",
        "base and the quadruple of arXiv 2411.06208 over both prompts with instructions",
        "dpo",
        levels=("inter",),
        change="iopo",
    ),
)
ARMS = (*REWARD, *POLICY)


def chosen(names: str) -> tuple[Arm, ...]:
    """Arms by name, separated by semicolons; all for an empty text."""
    arms = named(names) if names else ARMS
    if not arms:
        raise UserError(f"arms is {names!r}, which names none; write names, or leave it empty")
    return arms


def named(names: str) -> tuple[Arm, ...]:
    """Arms by name, separated by semicolons; none for an empty text."""
    known = {arm.name: arm for arm in ARMS}
    arms = []
    for name in filter(None, (part.strip() for part in names.split(";"))):
        if name not in known:
            raise UserError(f"no arm {name!r}; choose from {'; '.join(known)}")
        arms.append(known[name])
    return tuple(dict.fromkeys(arms))


def changed(sample: Sample, arm: Arm, seed: int) -> Sample:
    """A sample with the comparisons of an arm.

    Seed and id decide which samples belong to a share; a larger share holds those of a smaller one.
    """
    base = [c for c in sample["comparisons"] if c["level"] == "base"]
    others: list[Comparison] = []
    if hash_of(seed, sample["id"], "study share") < arm.share * _HASHES:
        others = [c for c in sample["comparisons"] if c["level"] in arm.levels]
        others = _CHANGES[arm.change](others)
    return {**sample, "comparisons": base + others}


def _one_ended(comparisons: list[Comparison]) -> list[Comparison]:
    """The prompt whose instructions the response keeps, over the one without any."""
    return [
        {**c, "prompt": [c["prompt"][0], 0], "response": [c["response"][0]] * 2, "sign": [1, -1]}
        for c in comparisons
    ]


def _iopo(comparisons: list[Comparison]) -> list[Comparison]:
    """r(x', y_w) - r(x', y_l) - r(x'', y_w) + r(x'', y_l), once for both inter comparisons."""
    if len(comparisons) < 2:
        return []
    first, second = (c["prompt"][0] for c in comparisons[:2])
    prompts = [first, first, second, second]
    return [{**comparisons[0], "prompt": prompts, "response": [0, 1, 0, 1], "sign": [1, -1, -1, 1]}]


_CHANGES = {"": lambda comparisons: comparisons, "one_ended": _one_ended, "iopo": _iopo}

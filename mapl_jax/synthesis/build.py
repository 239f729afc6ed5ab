"""One pair in, one sample out."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from mapl_jax.data.normalize import Pair
from mapl_jax.data.samples import Comparison, Prompt, Sample, base
from mapl_jax.synthesis import inter, intra
from mapl_jax.synthesis.corpus import Arguments, Corpus, learn_corpus
from mapl_jax.synthesis.draw import BrokenPromise, Draw, Twins, generator
from mapl_jax.synthesis.prompts import write_instructions
from mapl_jax.synthesis.settings import Settings

EMPTY = Corpus()
TOO_FEW = "too few separating constraints"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a pair.

    Attributes:
        sample: the sample.
        dropped: the level and the reason of every comparison that could not be built.
        refused: family -> how often its arguments were left out because they say nothing.
    """

    sample: Sample
    dropped: tuple[str, ...] = ()
    refused: Counter[str] = dataclasses.field(default_factory=Counter)


def build(pair: Pair, settings: Settings, corpus: Corpus = EMPTY) -> Outcome:
    """Synthesizes one sample; depends on nothing but its arguments.

    The base comparison is always there. What the pair cannot carry is left out and named.

    Args:
        pair: a normalized pair.
        settings: what to build.
        corpus: what `learn` found of the data set's responses.

    Raises:
        BrokenPromise: a constraint family contradicts itself.
    """
    if settings.mode == "compact":
        return _compact(pair, settings, corpus)
    return _full(pair, settings, corpus)


def learn(pairs: Sequence[Pair], settings: Settings) -> Corpus:
    """Learns from some pairs of a data set (`corpus.Subset`) what all samples are built by."""

    def arguments(pair: Pair, corpus: Corpus) -> list[Arguments | None]:
        draw, _ = _start(pair, settings, "reference", corpus)
        responses = pair["chosen"], pair["rejected"]
        return [inter.opposed(family, *responses, draw) for family in draw.families]

    return learn_corpus(pairs, settings, arguments)


def _compact(pair: Pair, settings: Settings, corpus: Corpus) -> Outcome:
    """5 comparisons from 6 leaves: x' and x'' of `inter` are set side by side for `intra`."""
    draw, k = _start(pair, settings, "inter", corpus)
    twins = inter.instructions(pair["chosen"], pair["rejected"], k, draw)
    k = len(twins[0])
    prompts = [Prompt(messages=pair["prompt"], constraints=[])]
    comparisons = [base(pair["margin"])]
    dropped = []
    if k < settings.k_min:
        dropped.append(f"inter and intra: {TOO_FEW}")
    else:
        prompts += _write(pair, settings, "inter", twins, draw)
        comparisons += [
            intra.comparison(1, 2, 0, k),
            intra.comparison(2, 1, 1, k),
            *inter.comparisons(1, 2, k),
        ]
    return _outcome(pair, settings, prompts, comparisons, dropped, draw.refused)


def _full(pair: Pair, settings: Settings, corpus: Corpus) -> Outcome:
    """5 comparisons from 10 leaves: every synthesized comparison has prompts of its own."""
    responses = (pair["chosen"], pair["rejected"])
    prompts = [Prompt(messages=pair["prompt"], constraints=[])]
    comparisons = [base(pair["margin"])]
    dropped: list[str] = []
    refused: list[str] = []
    for index, name in enumerate(("chosen", "rejected")):
        draw, k = _start(pair, settings, f"intra {name}", corpus)
        twins = intra.instructions(responses[index], responses[1 - index], k, draw)
        refused += draw.refused
        if len(twins[0]) < settings.k_min:
            dropped.append(f"intra: {TOO_FEW}")
            continue
        place = len(prompts)
        prompts += _write(pair, settings, f"intra {name}", twins, draw)
        comparisons.append(intra.comparison(place, place + 1, index, len(twins[0])))
    draw, k = _start(pair, settings, "inter", corpus)
    twins = inter.instructions(*responses, k, draw)
    refused += draw.refused
    if len(twins[0]) < settings.k_min:
        dropped.append(f"inter: {TOO_FEW}")
    else:
        place = len(prompts)
        prompts += _write(pair, settings, "inter", twins, draw)
        comparisons += inter.comparisons(place, place + 1, len(twins[0]))
    return _outcome(pair, settings, prompts, comparisons, dropped, refused)


def _start(pair: Pair, settings: Settings, purpose: str, corpus: Corpus) -> tuple[Draw, int]:
    """One draw of instructions, and how many to aim for."""
    rng = generator(settings.seed, pair["id"], purpose)
    k = int(rng.integers(settings.k_min, settings.k_max + 1))
    return Draw(settings.family_ids, rng, corpus), k


def _write(pair: Pair, settings: Settings, purpose: str, twins: Twins, draw: Draw) -> list[Prompt]:
    """Prompts for both twins, each instruction kept by one response and broken by the other."""
    responses = (pair["chosen"], pair["rejected"])
    prompts = write_instructions(pair["prompt"], twins, responses, draw.rng, settings)
    for place, prompt in enumerate(prompts):
        for made in prompt["constraints"]:
            verdicts = tuple(margin >= 0 for margin in made["margins"])
            # Those of `inter` say which; `intra` mixes them and looks itself.
            if verdicts[0] is verdicts[1] or (purpose == "inter" and verdicts[place] is not True):
                raise BrokenPromise(
                    f"{pair['id']}: {made['id']} {made['params']} does not part the responses as "
                    f"it was to: margins {made['margins']}"
                )
    return prompts


def _outcome(
    pair: Pair,
    settings: Settings,
    prompts: list[Prompt],
    comparisons: list[Comparison],
    dropped: Sequence[str],
    refused: Sequence[str],
) -> Outcome:
    sample = Sample(
        id=pair["id"],
        prompts=prompts,
        responses=[pair["chosen"], pair["rejected"]],
        comparisons=comparisons,
        synthesis=settings.record(),
    )
    return Outcome(sample, tuple(dropped), Counter(refused))

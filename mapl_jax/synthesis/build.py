"""One pair or list of responses in, one sample out."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from mapl_jax import constraints
from mapl_jax.data.normalize import Pair
from mapl_jax.data.samples import (
    Comparison,
    Constraint,
    Prompt,
    Sample,
    base,
    base_comparisons,
    sample_of,
)
from mapl_jax.synthesis import inter, intra, neutral
from mapl_jax.synthesis.corpus import Arguments, Corpus, learn_corpus
from mapl_jax.synthesis.draw import BrokenPromise, Draw, Item, generator
from mapl_jax.synthesis.placement import request_of
from mapl_jax.synthesis.prompts import write_instructions
from mapl_jax.synthesis.settings import Settings

EMPTY = Corpus()
NONE = "no instruction tells the responses apart"


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
        pair: a normalized pair, or a list of responses.
        corpus: what `learn` found of the data set's responses.

    Raises:
        BrokenPromise: a constraint family contradicts itself.
    """

    def of_pair(two: Pair) -> Outcome:
        made = (_compact if settings.mode == "compact" else _full)(two, settings, corpus)
        refused = _add_neutral(two, settings, corpus, made.sample)
        return dataclasses.replace(made, refused=made.refused + Counter(refused))

    return _of_list(pair, settings, of_pair) if "responses" in pair else of_pair(pair)


def _of_list(pair: Pair, settings: Settings, of_pair: Callable[[Pair], Outcome]) -> Outcome:
    """A list's own comparisons, and instructions between any two of its responses."""
    responses, bare = pair["responses"], Prompt(messages=pair["prompt"], constraints=[])
    prompts = [bare]
    comparisons = base_comparisons(pair, best_only=settings.list_base == "best")
    dropped: list[str] = []
    refused: Counter[str] = Counter()
    every = [
        (i, j)
        for i, j in itertools.combinations(range(len(responses)), 2)
        if responses[i].strip() != responses[j].strip()
    ]
    rng = generator(settings.seed, pair["id"], "two of a list")
    for number, place in enumerate(rng.permutation(len(every))[: settings.list_pairs].tolist()):
        two = every[place]
        chosen, rejected = (responses[index] for index in two)
        name = f"{pair['id']}#{number + 1}"
        made = of_pair(
            Pair(id=name, prompt=pair["prompt"], chosen=chosen, rejected=rejected, margin=0.0)
        )
        dropped += made.dropped
        refused += made.refused
        offset = len(prompts) - 1
        for prompt in made.sample["prompts"][1:]:
            prompts.append(
                {**prompt, "constraints": [_of_all(c, responses) for c in prompt["constraints"]]}
            )
        for entry in made.sample["comparisons"][1:]:
            comparisons.append(
                {
                    **entry,
                    "prompt": [p and p + offset for p in entry["prompt"]],
                    "response": [two[y] for y in entry["response"]],
                }
            )
    return _outcome(pair, settings, prompts, comparisons, dropped, refused.elements())


def _of_all(made: Constraint, responses: Sequence[str]) -> Constraint:
    """An instruction with the margins of all responses of a list."""
    margins = constraints.margins(made["id"], made["params"], responses)
    return {**made, "margins": margins}


def learn(pairs: Sequence[Pair], settings: Settings) -> Corpus:
    """Learns from some pairs of a data set (`corpus.Subset`) what all samples are built by."""

    def arguments(pair: Pair, corpus: Corpus) -> list[Arguments | None]:
        draw, _ = _start(pair, settings, "reference", corpus)
        for_chosen, for_rejected = inter.sides(pair["chosen"], pair["rejected"], draw)
        families = map(constraints.family_of, draw.families)
        return [inter.opposed(family, for_chosen, for_rejected, draw) for family in families]

    return learn_corpus(pairs, settings, arguments)


def _compact(pair: Pair, settings: Settings, corpus: Corpus) -> Outcome:
    """5 comparisons from 6 leaves: x' and x'' of `inter` are set side by side for `intra`."""
    draw, k = _start(pair, settings, "inter", corpus)
    least = min(k, settings.k_min)
    twins = inter.instructions(pair["chosen"], pair["rejected"], k, draw, least)
    k = len(twins[0])
    prompts = [Prompt(messages=pair["prompt"], constraints=[])]
    comparisons = [base(pair["margin"])]
    dropped = []
    if not k:
        dropped.append(f"inter and intra: {NONE}")
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
        if not twins[0]:
            dropped.append(f"intra: {NONE}")
            continue
        place = len(prompts)
        prompts += _write(pair, settings, f"intra {name}", twins, draw)
        comparisons.append(intra.comparison(place, place + 1, index, len(twins[0])))
    draw, k = _start(pair, settings, "inter", corpus)
    twins = inter.instructions(*responses, k, draw, min(k, settings.k_min))
    refused += draw.refused
    if not twins[0]:
        dropped.append(f"inter: {NONE}")
    else:
        place = len(prompts)
        prompts += _write(pair, settings, "inter", twins, draw)
        comparisons += inter.comparisons(place, place + 1, len(twins[0]))
    return _outcome(pair, settings, prompts, comparisons, dropped, refused)


def _add_neutral(pair: Pair, settings: Settings, corpus: Corpus, sample: Sample) -> Sequence[str]:
    """One prompt and comparison more, for the share of pairs that get them, if there are any.

    Returns:
        Families whose arguments were left out because they say nothing, once for every time.
    """
    if not settings.neutral:
        return ()
    draw, k = _start(pair, settings, "neutral", corpus)
    if draw.rng.random() >= settings.neutral:
        return ()
    items = neutral.instructions(pair["chosen"], pair["rejected"], k, draw)
    if len(items) >= min(k, settings.k_min):
        sample["comparisons"].append(neutral.comparison(len(sample["prompts"]), len(items)))
        sample["prompts"] += _write(pair, settings, "neutral", [items], draw)
    return draw.refused


def _start(pair: Pair, settings: Settings, purpose: str, corpus: Corpus) -> tuple[Draw, int]:
    """One draw of instructions, and how many to aim for."""
    rng = generator(settings.seed, pair["id"], purpose)
    request = request_of(pair["prompt"])
    # Along with thanks or a goodbye nobody gives more than one rule.
    k = int(rng.integers(settings.k_min, settings.k_max + 1)) if request.asks else 1
    return Draw(settings.family_ids, rng, corpus, request), k


def _write(
    pair: Pair, settings: Settings, purpose: str, twins: Sequence[list[Item]], draw: Draw
) -> list[Prompt]:
    """Prompts for both twins, each instruction kept by one response and broken by the other.

    A neutral one has no twin, and both responses keep or break each of its instructions.
    """
    responses = (pair["chosen"], pair["rejected"])
    prompts = write_instructions(pair["prompt"], twins, responses, draw.rng, settings)
    for place, prompt in enumerate(prompts):
        for made in prompt["constraints"]:
            chosen, rejected = made["margins"]
            verdicts = chosen >= 0, rejected >= 0
            # In `inter`, chosen keeps all of the first prompt and rejected all of the second;
            # `intra` mixes sides, and checks them where it draws.
            alike = verdicts[0] is verdicts[1]
            if alike is not (purpose == "neutral") or (
                purpose == "inter" and verdicts[place] is not True
            ):
                raise BrokenPromise(
                    f"{pair['id']}: {made['id']} {made['params']} does not part the responses as "
                    f"it was to, or not to: margins {made['margins']}"
                )
    return prompts


def _outcome(
    pair: Pair,
    settings: Settings,
    prompts: list[Prompt],
    comparisons: list[Comparison],
    dropped: Sequence[str],
    refused: Iterable[str],
) -> Outcome:
    sample = sample_of(pair, prompts, comparisons)
    sample["synthesis"] = settings.record()
    return Outcome(sample, tuple(dropped), Counter(refused))

"""One pair in, one sample out."""

import dataclasses
from collections.abc import Sequence

from mapl_jax.data.sources import Pair
from mapl_jax.synthesis import inter, intra
from mapl_jax.synthesis.reference import Arguments, Reference
from mapl_jax.synthesis.reference import learn as reference_of
from mapl_jax.synthesis.samples import Comparison, Prompt, Sample, base
from mapl_jax.synthesis.sets import Twins, generator
from mapl_jax.synthesis.settings import Settings
from mapl_jax.synthesis.wording import append_instructions

UNKNOWN = Reference()
TOO_FEW = "too few separating constraints"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A sample, and for every comparison that could not be built the level and the reason."""

    sample: Sample
    dropped: tuple[str, ...] = ()


def build(pair: Pair, settings: Settings, reference: Reference = UNKNOWN) -> Outcome:
    """Synthesizes one sample; depends on nothing but its arguments.

    The base comparison is always there. What the pair cannot carry is left out and named.

    Args:
        pair: a normalized pair.
        settings: what to build.
        reference: what is known of the data set's responses (`learn`).

    Raises:
        BrokenPromise: a constraint family contradicts itself.
    """
    if settings.mode == "compact":
        return _compact(pair, settings, reference)
    return _full(pair, settings, reference)


def learn(pairs: Sequence[Pair], settings: Settings) -> Reference:
    """Learns from the pairs of `reference.choose` what all samples of a data set are built by."""

    def draw(pair: Pair, known: Reference) -> list[Arguments | None]:
        rng = generator(settings.seed, pair["id"], "reference")
        responses = pair["chosen"], pair["rejected"]
        return [inter.opposed(family, *responses, rng, known) for family in settings.family_ids]

    return reference_of(pairs, settings, draw)


def _compact(pair: Pair, settings: Settings, reference: Reference) -> Outcome:
    """5 comparisons from 6 leaves: x' and x'' of `inter` are set side by side for `intra`."""
    rng, k = _start(pair, settings, "inter")
    families = settings.family_ids
    twins = inter.draw(pair["chosen"], pair["rejected"], families, k, rng, reference)
    k = len(twins[0])
    if k < settings.k_min:
        sample = _sample(pair, settings, (Prompt(tuple(pair["prompt"])),), (base(pair["margin"]),))
        return Outcome(sample, (f"inter and intra: {TOO_FEW}",))
    prompts = (Prompt(tuple(pair["prompt"])), *_write(pair, settings, "inter", twins))
    comparisons = (
        base(pair["margin"]),
        intra.comparison(1, 2, 0, k),
        intra.comparison(2, 1, 1, k),
        *inter.comparisons(1, 2, k),
    )
    return Outcome(_sample(pair, settings, prompts, comparisons))


def _full(pair: Pair, settings: Settings, reference: Reference) -> Outcome:
    """5 comparisons from 10 leaves: every synthesized comparison has prompts of its own."""
    families = settings.family_ids
    responses = (pair["chosen"], pair["rejected"])
    prompts = [Prompt(tuple(pair["prompt"]))]
    comparisons = [base(pair["margin"])]
    dropped = []
    for index, name in enumerate(("chosen", "rejected")):
        rng, k = _start(pair, settings, f"intra {name}")
        twins = intra.draw(responses[index], responses[1 - index], families, k, rng, reference)
        if len(twins[0]) < settings.k_min:
            dropped.append(f"intra: {TOO_FEW}")
            continue
        place = len(prompts)
        prompts += _write(pair, settings, f"intra {name}", twins)
        comparisons.append(intra.comparison(place, place + 1, index, len(twins[0])))
    rng, k = _start(pair, settings, "inter")
    twins = inter.draw(*responses, families, k, rng, reference)
    if len(twins[0]) < settings.k_min:
        dropped.append(f"inter: {TOO_FEW}")
    else:
        place = len(prompts)
        prompts += _write(pair, settings, "inter", twins)
        comparisons += inter.comparisons(place, place + 1, len(twins[0]))
    sample = _sample(pair, settings, tuple(prompts), tuple(comparisons))
    return Outcome(sample, tuple(dropped))


def _start(pair: Pair, settings: Settings, purpose: str):
    """Random numbers for one draw of instructions, and how many instructions to aim for."""
    rng = generator(settings.seed, pair["id"], purpose)
    return rng, int(rng.integers(settings.k_min, settings.k_max + 1))


def _write(pair: Pair, settings: Settings, purpose: str, twins: Twins) -> list[Prompt]:
    rng = generator(settings.seed, pair["id"], f"{purpose} wording")
    held_out = settings.wordings == "held_out"
    responses = (pair["chosen"], pair["rejected"])
    return append_instructions(pair["prompt"], twins, responses, rng, held_out=held_out)


def _sample(
    pair: Pair,
    settings: Settings,
    prompts: tuple[Prompt, ...],
    comparisons: tuple[Comparison, ...],
) -> Sample:
    responses = (pair["chosen"], pair["rejected"])
    return Sample(pair["id"], prompts, responses, comparisons, settings.record())

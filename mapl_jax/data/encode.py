"""Samples to tries: leaves as tokens, cut to what fits, with the comparisons that read them."""

import collections
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Bool, Float, Int

from mapl_jax.data import tokenization, tries
from mapl_jax.data.messages import Message
from mapl_jax.data.samples import Comparison, Leaf, Level, Sample, leaves_of, terms_of
from mapl_jax.data.settings import TrieSettings
from mapl_jax.losses import ALL_LEVELS, share
from mapl_jax.runtime.errors import UserError

# A prompt is never cut to fewer tokens than these: what is left must still be the question.
PROMPT_KEPT = 16
# Samples that are tokenized at once.
TOGETHER = 256
# The leaf of a demonstration, and the chosen one of a base comparison: (prompt, response).
DEMONSTRATED = (0, 0)


class TrieRecord(TypedDict):
    """A trie of n tokens, m leaves and c comparisons, as the columns of its file."""

    id: str
    # As in `tries.Trie`.
    tokens: Int[np.ndarray, "n"]
    positions: Int[np.ndarray, "n"]
    reach: Int[np.ndarray, "n"]
    parent: Int[np.ndarray, "n"]
    leaf_end: Int[np.ndarray, "m"]
    scored: Bool[np.ndarray, "n"]
    # Of every leaf: its place in the sample, and tokens of the whole and of its response.
    leaf_prompt: Int[np.ndarray, "m"]
    leaf_response: Int[np.ndarray, "m"]
    leaf_tokens: Int[np.ndarray, "m"]
    response_tokens: Int[np.ndarray, "m"]
    # Of every comparison, as in `losses.Comparisons` and `samples.Comparison`.
    level: Int[np.ndarray, "c"]
    k: Int[np.ndarray, "c"]  # number of instructions
    term_leaf: Int[np.ndarray, "4c"]
    term_sign: Int[np.ndarray, "4c"]
    gamma: Float[np.ndarray, "c"]
    share: Float[np.ndarray, "c"]  # its weight (`losses.share`)
    apart: Float[np.ndarray, "c"]  # 0 to 1, how far its leaves are parted (`loss.graded`)
    tie: Bool[np.ndarray, "c"]
    families: list[str]  # of its instructions, ids in one text
    subset: str


def encode_samples(
    samples: Iterable[Sample],
    tokenizer: tokenization.Tokenizer,
    settings: TrieSettings,
    counts: collections.Counter[str],
) -> Iterator[TrieRecord]:
    """The trie records of samples, in order.

    Args:
        samples: in the schema of `mapl_jax.data.samples`; one without comparisons is a
            demonstration, its one leaf the first response to the first prompt.
        counts: receives what was read, cut and dropped.
    """
    left = iter(samples)
    while chunk := list(itertools.islice(left, TOGETHER)):
        yield from _encode_chunk(chunk, tokenizer, settings, counts)


def _encode_chunk(
    samples: Sequence[Sample],
    tokenizer: tokenization.Tokenizer,
    settings: TrieSettings,
    counts: collections.Counter[str],
) -> Iterator[TrieRecord]:
    used = [leaves_of(sample["comparisons"]) or [DEMONSTRATED] for sample in samples]
    texts = [
        (sample["prompts"][p]["messages"], sample["responses"][y])
        for sample, leaves in zip(samples, used, strict=True)
        for p, y in leaves
    ]
    paths = iter(tokenization.encode_leaves(tokenizer, texts))
    bos, marks = tokenizer.bos_token_id, tokenization.marks(tokenizer)
    for sample, leaves in zip(samples, used, strict=True):
        of_leaf = {leaf: next(paths) for leaf in leaves}
        counts["samples"] += 1
        messages = sample["prompts"][0]["messages"]
        count_flaws(messages, sample["responses"], of_leaf.values(), marks, counts)
        yield from _encode_sample(sample, of_leaf, bos, settings, counts)


def _encode_sample(
    sample: Sample,
    of_leaf: dict[Leaf, tries.TokenPath],
    bos: int | None,
    settings: TrieSettings,
    counts: collections.Counter[str],
) -> Iterator[TrieRecord]:
    comparisons = list(sample["comparisons"])
    longest = max(map(len, of_leaf.values()))
    if longest > settings.max_length:
        if settings.truncation == "error":
            raise UserError(
                f"sample {sample['id']} has a leaf of {longest} tokens, over data.max_length "
                f"({settings.max_length}); raise it, or set data.truncation to truncate or drop"
            )
        if settings.truncation == "drop":
            counts["samples_dropped_too_long"] += 1
            return
        counts["samples_truncated"] += 1
        kept, whole = truncate(of_leaf, bos, settings.max_length)
        if kept is None:
            counts["samples_dropped_prompt_too_long"] += 1
            return
        of_leaf = kept
        if not whole:
            # What an instruction promised of a response need not hold for a part of it.
            counts["comparisons_dropped_response_cut"] += sum(
                c["level"] != "base" for c in comparisons
            )
            comparisons = [c for c in comparisons if c["level"] == "base"]
    groups: Iterable[Sequence[Comparison]]
    if sample["comparisons"]:
        differing = [c for c in comparisons if _differs(c, of_leaf)]
        if len(differing) < len(comparisons):
            counts["comparisons_dropped_alike"] += len(comparisons) - len(differing)
        levels = collections.Counter(c["level"] for c in differing)
        limit = settings.row_length * settings.long_rows
        groups = _fitting_groups(differing, of_leaf, limit, counts)
    else:
        levels = collections.Counter()
        groups = [()]
        counts["demonstrations"] += 1
    for group in groups:
        record = _record(sample, group, of_leaf, levels)
        counts["tries"] += 1
        counts["trie_tokens"] += len(record["tokens"])
        counts["flat_tokens"] += sum(
            len(of_leaf[leaf])
            for leaves in ([terms_of(c) for c in group] or [[DEMONSTRATED]])
            for leaf in leaves
        )
        for c in group:
            counts[f"comparisons_{c['level']}"] += 1
        yield record


def _differs(comparison: Comparison, of_leaf: Mapping[Leaf, tries.TokenPath]) -> bool:
    """Whether what is + in a comparison is not all - as well, token by token."""
    sides: collections.Counter[bytes] = collections.Counter()
    for leaf, sign in zip(terms_of(comparison), comparison["sign"], strict=True):
        sides[of_leaf[leaf].tokens.tobytes()] += sign
    return any(sides.values())


def count_flaws(
    messages: Iterable[Message],
    responses: Iterable[str],
    paths: Iterable[tries.TokenPath],
    marks: re.Pattern[str],
    counts: collections.Counter[str],
) -> None:
    """Counts a sample of which the template leaves something out, or that holds its marks already.

    The marks are those of chat templates, as `tokenization.marks` finds them.
    """
    found = []
    if not all(path.whole for path in paths):
        found.append("samples_shortened_by_template")
    texts = [*(message["content"] for message in messages), *responses]
    if any(marks.search(text) for text in texts):
        found.append("samples_with_marks")
    for flaw in found:
        counts[flaw] += 1
        counts.setdefault(f"{flaw}_first", counts["samples"])


def truncate(
    of_leaf: Mapping[Leaf, tries.TokenPath], bos: int | None, max_length: int
) -> tuple[dict[Leaf, tries.TokenPath] | None, bool]:
    """Cuts the same number of tokens from the beginning of every prompt, so that sharing stays.

    Args:
        of_leaf: paths, one of them longer than the longest length.
        bos: the token that begins a text, which stays.

    Returns:
        The cut paths, None if not even that is enough; and whether all responses are whole.
    """
    paths = of_leaf.values()
    first = int(bos is not None and all(path.tokens[0] == bos for path in paths))
    excess = max(map(len, paths)) - max_length
    room = min(path.prompt_length for path in paths) - first - PROMPT_KEPT
    cut = max(0, min(excess, room))
    whole = cut == excess
    result = {}
    for leaf, path in of_leaf.items():
        tokens = np.concatenate([path.tokens[:first], path.tokens[first + cut :]])
        prompt_length = path.prompt_length - cut
        if len(tokens) > max_length:
            if prompt_length > max_length - 2:
                return None, False
            tokens = np.append(tokens[: max_length - 1], tokens[-1])
        result[leaf] = tries.TokenPath(tokens, prompt_length)
    return result, whole


def _fitting_groups(
    comparisons: Sequence[Comparison],
    of_leaf: Mapping[Leaf, tries.TokenPath],
    limit: int,
    counts: collections.Counter[str],
) -> list[list[Comparison]]:
    """Splits comparisons, in order, so that the trie of each group has at most `limit` tokens."""

    def paths(group: Sequence[Comparison]) -> list[tries.TokenPath]:
        return [of_leaf[leaf] for leaf in leaves_of(group)]

    def fits(group: Sequence[Comparison]) -> bool:
        return tries.flat_length(paths(group)) <= limit or len(tries.build(paths(group))) <= limit

    if comparisons and fits(comparisons):
        return [list(comparisons)]
    groups: list[list[Comparison]] = []
    for comparison in comparisons:
        if groups and fits([*groups[-1], comparison]):
            groups[-1].append(comparison)
        elif fits([comparison]):
            groups.append([comparison])
        else:
            counts["comparisons_dropped_longer_than_row"] += 1
    if len(groups) > 1:
        counts["samples_split"] += 1
        split = sum(len(tries.build(paths(group))) for group in groups)
        whole = tries.build(paths([comparison for group in groups for comparison in group]))
        counts["tokens_again"] += split - len(whole)
    return groups


def _apart(sample: Sample, comparison: Comparison) -> float:
    """How far apart the instructions of a comparison set its leaves, from 0 to 1.

    An instruction's distance d is the comparison's signed sum of margins instead of rewards, in the
    unit of the family, such as words; d is 1 at least where it parts two leaves. This is the mean
    of 1 - 1/d over the instructions, and 0 of ties and of samples without margins.
    """
    if comparison.get("tie"):
        return 0.0
    apart: collections.defaultdict[int, float] = collections.defaultdict(float)
    for (prompt, response), sign in zip(terms_of(comparison), comparison["sign"], strict=True):
        for place, made in enumerate(sample["prompts"][prompt]["constraints"]):
            margins = made.get("margins")
            apart[place] += sign * margins[response] if margins else 0
    return sum(1 - 1 / max(d, 1.0) for d in apart.values()) / len(apart) if apart else 0.0


def _record(
    sample: Sample,
    comparisons: Sequence[Comparison],
    of_leaf: Mapping[Leaf, tries.TokenPath],
    levels: Mapping[Level, int],
) -> TrieRecord:
    """A trie of some comparisons of a sample, which has so many of each level in all."""
    leaves = leaves_of(comparisons) or [DEMONSTRATED]
    index = {leaf: i for i, leaf in enumerate(leaves)}
    trie = tries.build([of_leaf[leaf] for leaf in leaves])
    term_leaf = np.zeros((len(comparisons), 4), np.int32)
    term_sign = np.zeros((len(comparisons), 4), np.int32)
    families = []
    for row, comparison in enumerate(comparisons):
        terms = terms_of(comparison)
        term_leaf[row, : len(terms)] = [index[leaf] for leaf in terms]
        term_sign[row, : len(terms)] = comparison["sign"]
        names = {
            constraint["id"]
            for p in comparison["prompt"]
            for constraint in sample["prompts"][p]["constraints"]
        }
        families.append(" ".join(sorted(names)) if comparison["level"] != "base" else "")
    return {
        "id": str(sample["id"]),
        "tokens": trie.tokens,
        "positions": trie.positions,
        "reach": trie.reach,
        "parent": trie.parent,
        "leaf_end": trie.leaf_end,
        "scored": trie.scored,
        "leaf_prompt": np.asarray([p for p, _ in leaves], np.int32),
        "leaf_response": np.asarray([y for _, y in leaves], np.int32),
        "leaf_tokens": np.asarray([len(of_leaf[leaf]) for leaf in leaves], np.int32),
        "response_tokens": np.asarray(
            [len(of_leaf[leaf]) - of_leaf[leaf].prompt_length for leaf in leaves], np.int32
        ),
        "level": np.asarray([ALL_LEVELS.index(c["level"]) for c in comparisons], np.int32),
        "k": np.asarray([c.get("k", 0) for c in comparisons], np.int32),
        "term_leaf": term_leaf.reshape(-1),
        "term_sign": term_sign.reshape(-1),
        "gamma": np.asarray([c.get("gamma", 0.0) for c in comparisons], np.float32),
        "apart": np.asarray([_apart(sample, c) for c in comparisons], np.float32),
        "share": np.asarray(
            [share(ALL_LEVELS.index(c["level"]), levels[c["level"]]) for c in comparisons],
            np.float32,
        ),
        "tie": np.asarray([bool(c.get("tie")) for c in comparisons], bool),
        "families": families,
        "subset": sample.get("subset") or "",
    }

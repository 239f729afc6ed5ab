"""The sample: what synthesis writes and training reads.

    {"id": "...",
     "prompts": [{"messages": [{"role", "content"}, ...],
                  "constraints": [{"id", "params", "text", "margins": [2.0, -5.0]}, ...]}, ...],
     "responses": ["chosen", "rejected"],
     "subset": "...",
     "comparisons": [{"level": "inter", "prompt": [1, 1, 0, 0], "response": [0, 1, 0, 1],
                      "sign": [1, -1, -1, 1], "gamma": 0.0, "k": 3}, ...],
     "synthesis": {"mode", "seed", "families", "wordings"}}

Prompt 0 is the pair's own. A comparison is the sum of sign * r(prompt, response) over its terms,
which should exceed gamma; k is the number of instructions behind it, 0 for `base`; with
`"tie": true` the sum should be 0. There may be more than two responses, the best first, and then
several base comparisons. The margins of a constraint are the distances of the responses to its
threshold, >= 0 where it is kept. `subset`, where it is there, is the part of the data it is of.
`synthesis` tells which families and wordings the instructions were drawn from.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict, cast, get_args

from mapl_jax import constraints
from mapl_jax.data.fields import as_object, encodable, is_finite
from mapl_jax.data.messages import Message, prompt_of
from mapl_jax.data.normalize import Pair
from mapl_jax.data.parse import value_of_json
from mapl_jax.data.readers import Entries, read_entries
from mapl_jax.data.records import Ids
from mapl_jax.runtime.errors import UserError

Level = Literal["base", "intra", "inter", "neutral"]  # as in `losses`, which brings JAX
Params = dict[str, Any]  # of a constraint; what they are depends on its family
Leaf = tuple[int, int]  # indices of a prompt and of a response


class Constraint(TypedDict):
    """One instruction of a prompt: which check, with what parameters, in what words.

    `margins` holds the distance of each response to the threshold, in the family's own unit.
    """

    id: str
    params: Params
    text: str
    margins: NotRequired[Sequence[float]]


class Prompt(TypedDict):
    """Messages that end with a user's turn, and the instructions written into that turn."""

    messages: list[Message]
    constraints: list[Constraint]


class Comparison(TypedDict):
    """A signed sum of rewards that should exceed gamma, or be 0 of a tie; one entry a term."""

    level: Level
    prompt: list[int]
    response: list[int]
    sign: list[int]
    gamma: NotRequired[float]
    k: NotRequired[int]
    tie: NotRequired[bool]


class Origin(TypedDict):
    """The choices behind the instructions of a sample (see `synthesis.settings.Settings`)."""

    mode: str
    seed: int
    families: str
    wordings: str


class Sample(TypedDict):
    """Prompts, the responses (the best first), and the comparisons between their leaves.

    One without comparisons is a demonstration: its first response to its first prompt.
    """

    id: str
    prompts: list[Prompt]
    responses: list[str]
    comparisons: list[Comparison]
    synthesis: NotRequired[Origin]
    subset: NotRequired[str]


def base(gamma: float, better: int = 0, worse: int = 1) -> Comparison:
    """r(x, y_w) - r(x, y_l): the pair itself, or two responses of a list."""
    return comparison("base", [0, 0], [better, worse], [1, -1], gamma=gamma)


def base_comparisons(pair: Pair, *, best_only: bool = False) -> list[Comparison]:
    """What a pair or a list says itself: which response is better than which, and what is equal.

    With `best_only`, of a list those that no other is better than are compared with the rest alone.
    """
    over, tied = pair.get("over", [(0, 1)]), pair.get("tied", [])
    if best_only:
        beaten = {worse for _, worse in over}
        over = [(i, j) for i, j in over if i not in beaten] or over
        tied = [(i, j) for i, j in tied if not {i, j} & beaten]
    ties = [Comparison(**base(0.0, *edge), tie=True) for edge in tied]
    return [base(pair["margin"], *edge) for edge in over] + ties


def comparison(
    level: Level,
    prompt: list[int],
    response: list[int],
    sign: list[int],
    *,
    gamma: float = 0.0,
    k: int = 0,
) -> Comparison:
    """A comparison; its fields in the order in which they are written."""
    return Comparison(level=level, prompt=prompt, response=response, sign=sign, gamma=gamma, k=k)


def base_sample(pair: Pair) -> Sample:
    """A pair or a list as a sample with its base comparisons alone."""
    bare = [Prompt(messages=pair["prompt"], constraints=[])]
    return sample_of(pair, bare, base_comparisons(pair))


def sample_of(pair: Pair, prompts: list[Prompt], comparisons: list[Comparison]) -> Sample:
    """A sample of a pair's or a list's responses."""
    sample = Sample(
        id=pair["id"], prompts=prompts, responses=responses_of(pair), comparisons=comparisons
    )
    if "subset" in pair:
        sample["subset"] = pair["subset"]
    return sample


def responses_of(pair: Pair) -> list[str]:
    """All responses of a pair or a list, the best first."""
    return pair.get("responses") or [pair["chosen"], pair["rejected"]]


def demonstration(name: str, prompt: Prompt, response: str) -> Sample:
    """A response to learn from, as a sample without comparisons."""
    return Sample(id=name, prompts=[prompt], responses=[response], comparisons=[])


def response_name(index: int, count: int) -> str:
    """What one of a sample's responses is called."""
    return ("chosen", "rejected")[index] if count == 2 else f"response {index + 1}"


def leaves_of(comparisons: Iterable[Comparison]) -> list[Leaf]:
    """Every leaf that some comparison uses, without repeats."""
    return list(dict.fromkeys(leaf for entry in comparisons for leaf in terms_of(entry)))


def terms_of(entry: Comparison) -> list[Leaf]:
    """The leaf of every term of a comparison."""
    return list(zip(entry["prompt"], entry["response"], strict=True))


def is_sample(record: object) -> bool:
    """Whether a record is a synthesized sample; otherwise it is a pair or a demonstration."""
    return isinstance(record, Mapping) and "comparisons" in record


def read_samples(path: str | os.PathLike[str]) -> list[Sample]:
    """Reads synthesized samples of any source and checks every one against the schema."""
    return list(iter_samples(read_entries(path)))


def iter_samples(entries: Entries) -> Iterator[Sample]:
    """`read_samples` one by one; memory grows by 16 bytes a sample, for its id."""
    ids = Ids()
    number = 0
    for number, (where, value) in enumerate(entries, 1):
        try:
            record = as_object(value)
            if not {"prompts", "comparisons"} & record.keys():
                raise UserError(
                    f"{where}: is no sample, but the records before it are; keep samples and pairs "
                    "in sources of their own"
                )
            sample = check_sample(record)
            if earlier := ids.add(sample["id"], number):
                raise ValueError(f"id {sample['id']!r} repeats that of record {earlier}")
        except ValueError as bad:
            raise UserError(f"{where}: {bad}; synthesize the samples anew") from None
        if subset := entries.subset(sample.get("subset") or ""):
            sample["subset"] = subset
        yield sample
    if not number:
        raise UserError(
            f"{entries.name} holds no samples; synthesize them with mapl_jax.synthesize"
        )


def check_sample(sample: Mapping[str, object]) -> Sample:
    """Checks one sample and returns it.

    What is None is left out: Parquet gives every constraint and comparison all others' fields.

    Raises:
        ValueError: says which part breaks the schema.
    """
    for key in ("id", "prompts", "responses", "comparisons"):
        if key not in sample:
            raise ValueError(f"sample without {key!r}")
    if not isinstance(sample["id"], str) or not sample["id"]:
        raise ValueError("id must be a non-empty string")
    encodable(sample["id"], "id")
    responses = _filled_list(sample["responses"], "responses")
    if len(responses) < 2 or not all(isinstance(text, str) and text.strip() for text in responses):
        raise ValueError("responses must be two non-empty strings or more")
    for text in responses:
        encodable(cast(str, text), "a response")
    prompts = []
    for number, prompt in enumerate(_filled_list(sample["prompts"], "prompts")):
        if not isinstance(prompt, dict) or not isinstance(prompt.get("constraints"), list):
            raise ValueError(f"prompt {number} must be an object with messages and constraints")
        try:
            messages = prompt_of(prompt.get("messages"))
            instructions = [_check_constraint(it, len(responses)) for it in prompt["constraints"]]
        except ValueError as error:
            raise ValueError(f"prompt {number}: {error}") from None
        prompts.append({"messages": messages, "constraints": instructions})
    comparisons = []
    for number, entry in enumerate(_filled_list(sample["comparisons"], "comparisons")):
        problem = _comparison_problem(entry, len(prompts), len(responses))
        if problem:
            raise ValueError(f"comparison {number}: {problem}")
        comparisons.append(_filled(cast(dict[str, object], entry)))
    if not isinstance(sample.get("subset", ""), str | None):
        raise ValueError("subset must be text")
    known = {**sample, "prompts": prompts, "comparisons": comparisons}
    return cast(Sample, _filled(known))


def _filled(record: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in record.items() if value is not None}


def _filled_list(value: object, name: str) -> list[object]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name} must be a non-empty list")
    return value


def _check_constraint(item: object, responses: int) -> Constraint:
    if not isinstance(item, dict) or not all(isinstance(item.get(k), str) for k in ("id", "text")):
        raise ValueError("a constraint needs id and text")
    params = item.get("params")
    if isinstance(params, str):
        # Parquet has one type a column, so parameters stand there as JSON.
        params = value_of_json(params.encode("utf-8", "replace"))
    if not isinstance(params, dict):
        raise ValueError(f"params of {item['id']!r} must be an object")
    params = {key: value for key, value in params.items() if value is not None}
    constraints.validate(item["id"], params)
    margins = item.get("margins")
    if margins is not None and not (
        isinstance(margins, list)
        and len(margins) == responses
        and all(each is not None and is_finite(each) for each in margins)
    ):
        raise ValueError(f"margins of {item['id']!r} must be a finite number for each response")
    return cast(Constraint, {**item, "params": params})


def _comparison_problem(entry: object, prompts: int, responses: int) -> str | None:
    """What is wrong with a comparison, or None."""
    if not isinstance(entry, dict):
        return "must be an object"
    if entry.get("level") not in get_args(Level):
        return f"level must be one of {', '.join(get_args(Level))}, not {entry.get('level')!r}"
    columns: list[list[int]] = [entry.get(key) for key in ("prompt", "response", "sign")]  # type: ignore[misc]
    if not all(isinstance(column, list) for column in columns):
        return "prompt, response and sign must be lists"
    if len({len(column) for column in columns}) != 1 or len(columns[0]) not in (2, 4):
        return "prompt, response and sign must have one length, 2 or 4"
    if not all(type(value) is int for column in columns for value in column):
        return "prompt, response and sign must be integers"
    sizes = (prompts, responses)
    for name, column, size in zip(("prompt", "response"), columns, sizes, strict=False):
        if not all(0 <= value < size for value in column):
            return f"a {name} index is out of range"
    if sorted(columns[2]) != sorted([-1, 1] * (len(columns[2]) // 2)):
        return "signs must be as many +1 as -1"
    if entry.get("tie") not in (None, True, False) or (entry.get("tie") and entry.get("gamma")):
        return "tie must be true or false, and gamma of a tie 0"
    if entry["level"] == "neutral" and not entry.get("tie"):
        return "a neutral comparison is a tie"
    if not is_finite(entry.get("gamma")):
        return "gamma must be a finite number"
    k = entry.get("k", 0)
    if type(k) is not int or not 0 <= k < 2**31:
        return "k must be a whole number of 0 or more"
    weights: Counter[tuple[int, int]] = Counter()
    for prompt, response, sign in zip(*columns, strict=True):
        weights[prompt, response] += sign
    if not any(weights.values()):
        return "it compares leaves with themselves; what is + in it is - as well"
    return None

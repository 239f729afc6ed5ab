"""How good the responses of a list are: by scores, ranks, a strength, a choice, or a graph."""

import contextlib
import re
from collections.abc import Mapping

from mapl_jax.data.fields import is_finite
from mapl_jax.data.form_table import Form
from mapl_jax.data.meaning import is_missing
from mapl_jax.data.parse import BadRecord
from mapl_jax.data.written import listed

Edge = tuple[int, int]  # of two responses
# What a column is called that says which of two responses is better ...
VERDICT = re.compile(r"winner|choice|prefer|better|label|best|chosen|overall|comparison|selected")
# ... and what one is called that says how much.
ABOUT = re.compile(r"strength|rank|degree|margin|confidence|score|rating")
_TIE = re.compile(r"ties?|tied|draw")
_STATE = re.compile(r"status|verdict|outcome|result|judg")
_NO_SCORE = re.compile(r"\s*n/?a\.?\s*", re.IGNORECASE)
_JUDGED = re.compile(r"\[*(\w+?)_?([<>=])[<>=]*_?(\w+)\]*")


def graph(fields: Mapping[str, object], count: int) -> list[Edge]:
    """What is over what, where two lists name the better and the worse response of every edge."""
    better, worse = fields["better"], fields.get("worse")
    names = fields.get("names", list(range(count)))
    lists = [value for value in (better, worse, names) if isinstance(value, list)]
    if len(lists) < 3 or len(lists[0]) != len(lists[1]) or len(lists[2]) != count:
        raise BadRecord("bad preferences", "needs a better and a worse response of each preference")
    edges = {*zip(*lists[:2], strict=True)}
    if both := next(((a, b) for a, b in edges if (b, a) in edges), None):
        raise BadRecord(
            "bad preferences", f"prefers {both[0]!r} to {both[1]!r} and the other way round"
        )
    for name in (*lists[0], *lists[1]):
        if name not in lists[2]:
            raise BadRecord("bad preferences", f"prefers a response {name!r} that it does not have")
    return [(lists[2].index(a), lists[2].index(b)) for a, b in zip(*lists[:2], strict=True)]


def rated(responses: list[object], fields: dict[str, object]) -> tuple[list[object], int]:
    """The responses that have a score or a rank, where two or more do; and how many have none.

    The scores or ranks of `fields` become those of the responses that are left.
    """
    name = "scores" if "scores" in fields else "ranks"
    scores = listed(fields.get(name))
    if not isinstance(scores, list) or len(scores) != len(responses):
        return responses, 0
    kept = [i for i, x in enumerate(scores) if not (is_missing(x) or _NO_SCORE.fullmatch(str(x)))]
    if len(kept) < 2:
        return responses, 0  # said where they are read
    fields[name] = [scores[i] for i in kept]
    return [responses[i] for i in kept], len(scores) - len(kept)


def tied_by(record: Mapping[str, object]) -> str:
    """The column of a record that calls its two replies equally good; empty where none does."""
    for name, value in record.items():
        is_verdict = (VERDICT.search(name) or _STATE.search(name)) and not ABOUT.search(name)
        if is_verdict and isinstance(value, str) and _TIE.fullmatch(value.strip().lower()):
            return name
    return ""


def values(fields: Mapping[str, object], count: int, form: Form) -> list[float]:
    """How good each response is: by its score, its rank, or the choice between two.

    In a form with several columns of a choice, each is a vote.
    """
    if "strength" in fields:
        strength = number(fields["strength"], "strength")
        values = [-strength, strength]
    elif "choice" in fields:
        given = fields["choice"]
        if is_missing(given):
            raise BadRecord("empty choice", "choice is empty; fill it in or remove the record")
        if count != 2:
            raise BadRecord(
                "bad choice", f"choice is between two responses, not {count}; give scores or ranks"
            )
        votes = [given]
        if isinstance(given, list) and "|" in form.columns["choice"]:
            votes = [vote for vote in given if not is_missing(vote)]
        both = [choice_values(vote, fields.get("names"), form.ties) for vote in votes]
        values = [sum(some) for some in zip(*both, strict=True)]
    else:
        name = next((key for key in ("scores", "ranks") if key in fields), "scores")
        given = listed(fields.get(name))
        if not isinstance(given, list):
            raise BadRecord(f"bad {name}", f"{name} must be a list, one number for each response")
        sign = -1 if name == "ranks" else 1
        values = [sign * number(value, name) for value in given]
    if len(values) != count:
        raise BadRecord("bad scores", f"has {len(values)} scores for {count} responses")
    return values


def contradicts(strength: object, record: Mapping[str, object], columns: list[str]) -> str:
    """The column that says which of two responses is better, and not what a strength says.

    Args:
        strength: below 0 where the first is better.
        record: what may say it in a column of its own.
        columns: paths of the responses.
    """
    given = number(strength, "strength")
    for name, value in record.items():
        if VERDICT.search(name) and not ABOUT.search(name):
            with contextlib.suppress(BadRecord):
                first, second = choice_values(value, columns)
                if (second - first) * given < 0:
                    return name
    return ""


def choice_values(given: object, columns: object, ties: tuple[str, ...] = ()) -> list[float]:
    """Values of two responses by a choice between them: [1, 0], [0, 1], or [0, 0] for a tie.

    A choice is a number from 0, a letter, or the name of a column.

    It says that neither is better where it is one of `ties`, or "tie". Judges write "A>B",
    "[[B>>A]]" and "A=B" too.
    """
    if isinstance(given, str) and re.fullmatch(r"\s*\d+\.\d+\s*", given):
        given = float(given)  # as tables of text have it
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    choice = re.sub(r"\s", "_", str(given).strip().lower())
    if judged := _JUDGED.fullmatch(choice):
        left, sign, right = judged.groups()
        choice = "tie" if sign == "=" else left if sign == ">" else right
    names = [str(name).lower() for name in columns] if isinstance(columns, list) else []
    apart = _without_same_end(names)
    ends = [re.sub(r".*?_?(\d+|[a-z])$", r"\1", name) for name in apart]
    sides = [
        ["0", "a", "model_a", "response_a", "left"],
        ["1", "b", "model_b", "response_b", "right"],
    ]
    if ends == ["1", "2"]:  # which number means which, these say
        if isinstance(given, float) and 1 < given < 2:  # AlpacaEval's, how sure a judge is
            return [2 - given, given - 1]
        sides = [["1", *sides[0][1:]], ["2", *sides[1][1:]]]
    for side, *words in zip(sides, names, apart, ends, strict=False):
        side += words
    values = [float(choice in side) for side in sides]
    if choice in ties:
        return [0.0, 0.0]
    if sum(values) != 1 and not re.match("tie|both|neither", choice):
        known = ", ".join(
            dict.fromkeys(name for pair in zip(*sides, strict=False) for name in pair)
        )
        raise BadRecord("bad choice", f"choice must be one of {known} or tie, not {choice!r}")
    return values


def _without_same_end(names: list[str]) -> list[str]:
    """Names of columns up to where they differ: of `a.text` and `b.text`, `a` and `b`."""
    parts = [re.split(r"([._])", name) for name in names]
    while len(names) > 1 and all(len(some) > 2 and some[-2:] == parts[0][-2:] for some in parts):
        parts = [some[:-2] for some in parts]
    return ["".join(some) for some in parts]


def number(value: object, name: str) -> float:
    """A number, as text too, or whether something is right."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(value, bool):
        value = int(value)  # right or wrong
    if not is_finite(value):
        raise BadRecord(f"bad {name}", f"{name} must be numbers, not {value!r}")
    return float(value)

"""One record of any form as a preference or a demonstration: columns to fields to messages."""

import functools
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

from mapl_jax.data import form_table, forms, hints, tools, worth_of
from mapl_jax.data.fields import as_object, encodable, is_finite, kind_of
from mapl_jax.data.messages import (
    Message,
    messages_of,
    prompt_of,
    replies_of,
    split_conversation,
    split_conversations,
    text_of,
)
from mapl_jax.data.parse import BadRecord
from mapl_jax.data.worth_of import Edge
from mapl_jax.data.written import listed, single_turns
from mapl_jax.runtime.errors import UserError


class Pair(TypedDict):
    """A preference: the prompt's messages, the better and the worse reply, and how far apart.

    Of more than two replies, or of two that are equally good, `responses` holds all, the best
    first; `over` says which is better than which, and `tied` which are equally good. `subset` is
    the part of the data that the record belongs to, where it says one.
    """

    id: str
    prompt: list[Message]
    chosen: str
    rejected: str
    margin: float
    responses: NotRequired[list[str]]
    over: NotRequired[list[Edge]]
    tied: NotRequired[list[Edge]]
    subset: NotRequired[str]
    notes: NotRequired[list[str]]  # for people; goes to the tally


class Demonstration(TypedDict):
    """A reply to learn from, and its prompt's messages."""

    id: str
    prompt: list[Message]
    completion: str


_AUTOMATIC = (forms.PAIR, *(known for known in forms.FORMS.values() if known.automatic))
# Fields whose columns must be there where they are named.
_NAMED = (
    "prompt", "chosen", "rejected", "responses", "scores", "ranks", "strength", "choice",
)  # fmt: skip
# What is wrong with a record where another mapping may read it.
_OTHER_COLUMNS = ("no prompt", "bad chosen", "bad rejected", "bad responses")


def pair_of(form: forms.Form | None, value: object, unread: set[str]) -> Pair:
    """The preference of a record of any accepted form; its id is empty where none is given."""
    record = as_object(value)
    try:
        return _read_pair(form, record, unread)
    except BadRecord as bad:
        more = forms.described(forms.form_of(record, form, _AUTOMATIC), record)
        if form is None and (bad.reason in _OTHER_COLUMNS or bad.reason.startswith("column ")):
            more = hints.mapping(record, functools.partial(_tried, record)) or more
        raise BadRecord(bad.reason, f"{bad}{more}") from None


def _tried(record: Mapping[str, object], columns: str) -> str:
    """Why a mapping does not read a record, in two words; empty where it does."""
    try:
        _read_pair(forms.requested_form(columns=columns), record, set())
        return ""
    except BadRecord as bad:
        return bad.reason
    except UserError:
        return "bad mapping"


def _read_pair(form: forms.Form | None, record: Mapping[str, object], unread: set[str]) -> Pair:
    if "comparisons" in record:
        raise BadRecord("a sample", "holds a synthesized sample, but preference pairs are needed")
    found = forms.form_of(record, form, _AUTOMATIC)
    for key in found.needs:
        if key not in record and "[" not in key:
            there = ", ".join(sorted(map(str, record))) or "nothing"
            raise BadRecord(
                f"no {key}",
                f"has no {key!r} (found: {there}); rename the column to {key!r}"
                + hints.hint(record, functools.partial(_tried, record)),
            )
    asked = form and found.columns is form.columns
    for ours in _NAMED if asked else ():
        path = found.columns.get(ours, "")
        if path and not re.search(r"[/|]", path) and not forms.has(record, path):
            there = ", ".join(sorted(map(str, record)))
            raise BadRecord(f"no {path}", f"has no {path!r} to read {ours!r} from (found: {there})")
    fields = forms.fields_of(record, found, unread)
    if "strength" in fields:
        _refuse_doubt(record, found, fields)
    if "responses" in fields:
        return _of_list(fields, found)
    if "conversation" in fields:
        turns = messages_of(fields.pop("conversation"), "messages")
        fields |= {"prompt": turns[:-1], "chosen": turns[-1:]}
    for key in ("chosen", "rejected"):
        if key not in fields:
            raise BadRecord(f"no {key}", f"has no {key!r}; name its column in data.columns")
    given = [fields.get("prompt"), fields["chosen"], fields["rejected"]]
    fields["prompt"], fields["chosen"], fields["rejected"] = single_turns(given)
    if found.columns is forms.PAIR.columns:
        hints.refuse_names(record, fields, found.beside, functools.partial(_tried, record))
    read = {*found.beside, *(x for path in found.columns.values() for x in path.split("/"))}
    tie = worth_of.tied_by({k: x for k, x in record.items() if k not in read})

    def _compared(prompt: list[Message], texts: list[str], over: list[Edge]) -> Pair:
        if not tie:
            return _pair(fields, prompt, texts, over)
        pair = _pair(fields, prompt, texts, [], over)
        return {**pair, "notes": [f"pairs that {tie!r} calls a tie, which are read as ties"]}

    prompt = prompt_in(fields)
    sides = [_several(fields[key], key) for key in ("chosen", "rejected")]
    if prompt is None:
        if any(len(some) > 1 for some in sides):
            raise BadRecord("no prompt", "has several replies on a side and no 'prompt'; add it")
        prompt, *both = split_conversations(fields["chosen"], fields["rejected"])
        return _compared(_with_system(prompt, fields), both, [(0, 1)])
    prompt, texts = replies_of(prompt, sides[0] | sides[1])
    good, bad = (range(len(sides[0])), range(len(sides[0]), len(texts)))
    return _compared(prompt, list(texts.values()), [(i, j) for i in good for j in bad])


def _refuse_doubt(
    record: Mapping[str, object], form: forms.Form, fields: Mapping[str, object]
) -> None:
    """Refuses a record whose strength says the opposite of a column that says which is better."""
    path, responses = form.columns["strength"], form.columns.get("responses", "")
    left = {k: x for k, x in record.items() if k != path and k not in form.beside}
    if name := worth_of.contradicts(fields["strength"], left, responses.split("|")):
        asked = f"prompt={form.columns['prompt']}," if form.columns.get("prompt") in record else ""
        raise BadRecord(
            "strength and choice differ",
            f"prefers one response by {path!r} ({fields['strength']}) and the other by {name!r} "
            f"({record[name]}); if {path!r} only says how much better one is, set "
            f"data.columns={asked}responses={responses},choice={name}; if {name!r} says nothing, "
            f"ignore={name}",
        )


def _pair(
    fields: Mapping[str, object],
    prompt: list[Message],
    responses: list[str],
    over: list[Edge],
    tied: Sequence[Edge] = (),
) -> Pair:
    """The first response and the worst, and where there are more or a tie, all of them."""
    same = [text.strip() for text in responses]
    if any(same[i] == same[j] for i, j in over):
        raise BadRecord("identical replies", "chosen and rejected are the same; remove the record")
    ties = [(i, j) for i, j in tied if same[i] != same[j]]
    if not over and not ties:
        raise BadRecord("no preference", "prefers none of its responses; remove the record")
    worst = max(i for i, text in enumerate(same) if text != same[0])
    pair = Pair(
        id=_given_id(fields.get("id")),
        prompt=with_tools(prompt, fields),
        chosen=responses[0],
        rejected=responses[worst],
        margin=_margin(fields.get("margin")),
    )
    if len(responses) > 2 or ties:
        pair |= {"responses": responses, "over": over, "tied": ties}
    if "subset" in fields:
        pair["subset"] = _named(fields["subset"], "subset")
    return pair


def _several(value: object, name: str) -> dict[str, object]:
    """The replies of a side by their names: one, or each of a list of them."""
    if isinstance(value, list):
        value = [item for item in value if item is not None]
    if isinstance(value, list) and value and all(isinstance(item, str | list) for item in value):
        return {name if len(value) == 1 else f"{name} {i}": x for i, x in enumerate(value, 1)}
    return {name: value}


def _of_list(fields: dict[str, object], form: forms.Form) -> Pair:
    """The preference of a list of responses, by a number for each or by what is over what."""
    responses = listed(fields["responses"])
    if not isinstance(responses, list) or len(responses) < 2:
        raise BadRecord("bad responses", "responses must be a list of two or more")
    responses, without = worth_of.rated(responses, fields)
    fields["prompt"], *responses = single_turns([fields.get("prompt"), *responses])
    names = [f"response {number}" for number in range(1, len(responses) + 1)]
    prompt = prompt_in(fields)
    if prompt is None:
        if len(responses) != 2:
            raise BadRecord("no prompt", "has no 'prompt'; add what the responses answer")
        prompt, *texts = split_conversations(*responses)
        prompt = _with_system(prompt, fields)
    else:
        prompt, found = replies_of(prompt, dict(zip(names, responses, strict=True)))
        texts = list(found.values())
    every = list(itertools.combinations(range(len(texts)), 2))
    if "better" in fields:
        over, tied = worth_of.graph(fields, len(texts)), []
        worth = [float(sum((i == a) - (i == b) for a, b in over)) for i in range(len(texts))]
    else:
        worth = worth_of.values(fields, len(texts), form)
        over = [(i, j) if worth[i] > worth[j] else (j, i) for i, j in every if worth[i] != worth[j]]
        over = [(i, j) for i, j in over if texts[i].strip() != texts[j].strip()]
        tied = [(i, j) for i, j in every if worth[i] == worth[j]]
    order = sorted(range(len(texts)), key=lambda i: -worth[i])
    place = {i: rank for rank, i in enumerate(order)}
    ranked = [sorted((place[i], place[j]) for i, j in edges) for edges in (over, tied)]
    pair = _pair(fields, prompt, [texts[i] for i in order], *ranked)
    if without:
        pair["notes"] = ["responses without a score or rank, which are left out"] * without
    return pair


def prompt_in(fields: Mapping[str, object]) -> list[Message] | None:
    """The prompt, with what other columns say before or after it; None without one."""
    if fields.get("prompt") is None:
        if "history" in fields or "input" in fields:
            raise BadRecord("no prompt", "has no 'prompt' beside its other columns; add it")
        return None
    prompt = prompt_of(fields["prompt"])
    if "input" in fields:
        extra = text_of(fields["input"], "input")
        last = prompt[-1]
        prompt = [*prompt[:-1], Message(role="user", content=f"{last['content']}\n{extra}")]
    if "history" in fields:
        turns = listed(fields["history"])
        if not isinstance(turns, list):
            raise BadRecord("bad history", "history must be a list of [question, answer] pairs")
        said = [turn for pair in turns for turn in (pair if isinstance(pair, list) else [pair])]
        if all(isinstance(turn, str) for turn in said) and len(said) == 2 * len(turns):
            roles = ("user", "assistant") * len(turns)
            said = [{"role": r, "content": text} for r, text in zip(roles, said, strict=True)]
        prompt = [*messages_of(said, "history"), *prompt]
    return _with_system(prompt, fields)


def _with_system(prompt: list[Message], fields: Mapping[str, object]) -> list[Message]:
    """A prompt with the text of a system column before it."""
    if "system" not in fields:
        return prompt
    given = fields["system"]
    if isinstance(given, list) and not any(isinstance(x, dict) and "role" in x for x in given):
        given = {"role": "system", "content": given}  # in parts
    if isinstance(given, dict | list):
        given = "\n".join(turn["content"] for turn in messages_of(given, "system"))
    system = text_of(given, "system")
    if prompt[0]["role"] != "system":
        return [Message(role="system", content=system), *prompt]
    if prompt[0]["content"].strip() != system.strip():
        raise BadRecord(
            "two system texts", "has a system column and another system message; keep one"
        )
    return prompt


def with_tools(prompt: list[Message], fields: Mapping[str, object]) -> list[Message]:
    """A prompt with the tools of a column, where its first message holds them."""
    if "tools" not in fields:
        return prompt
    first = prompt[0].copy()
    first["tools"] = tools.tools_of(fields["tools"], "tools")
    return [first, *prompt[1:]]


def demonstration_of(form: forms.Form | None, value: object, unread: set[str]) -> Demonstration:
    """A record of any accepted form as a demonstration; the id is empty where none is given."""
    record = as_object(value)
    if "comparisons" in record:
        raise BadRecord(
            "a sample", "holds a synthesized sample among other records; keep them apart"
        )
    if (verdict := hints.judged(record)) and not record[verdict]:
        raise BadRecord("a bad reply", f"is a bad reply by its {verdict!r}; remove the record")
    pairs = form is None and not {"completion", "chosen"} & record.keys()
    if form is None:
        pairs &= any(
            known.automatic and forms.fits_form(record, known) for known in forms.FORMS.values()
        )
    elif not {"completion", "conversation"} & form.columns.keys():
        pairs = "responses" in form.columns or forms.has(record, form.columns["rejected"])
        form = form if pairs else forms.demonstrated(form)
    if pairs:
        best = pair_of(form, value, unread)
        if not best.get("over", True):
            raise BadRecord("a tie", "prefers none of its responses; remove the record")
        return Demonstration(id=best["id"], prompt=best["prompt"], completion=best["chosen"])
    found = forms.form_of(record, form, form_table.DEMONSTRATIONS)
    name = found.columns.get("completion") or found.columns["conversation"]
    if not forms.has(record, name):
        there = ", ".join(sorted(map(str, record))) or "nothing"
        raise BadRecord(
            "no completion",
            f"has no 'completion', 'messages' or 'chosen' (found: {there}); "
            "rename the column of the reply to 'completion'",
        )
    # The other side of a pair is not learned from, and need not be named.
    fields = forms.fields_of(
        {k: v for k, v in record.items() if not k.startswith("rejected")}, found, unread
    )
    prompt = None if "conversation" in fields else prompt_in(fields)
    turns = fields.get("conversation", fields.get("completion"))
    last = turns[-1] if isinstance(turns, list) and turns else None
    if isinstance(last, dict) and last.get("weight", 1) == 0:
        raise BadRecord(
            "weight 0",
            f"{name} ends with a reply of weight 0, which is not to be "
            "learned from; remove the record",
        )
    if prompt is None:
        value = fields.get("conversation", fields.get("completion"))
        prompt, completion = split_conversation(value, name.partition("/")[0])
        prompt = _with_system(prompt, fields)
    else:
        value = next(iter(_several(fields["completion"], name).values()))
        prompt, texts = replies_of(prompt, {name.partition("/")[0]: value})
        (completion,) = texts.values()
    prompt = with_tools(prompt, fields)
    return Demonstration(id=_given_id(fields.get("id")), prompt=prompt, completion=completion)


def _given_id(value: object) -> str:
    return "" if value is None or value == "" else _named(value, "id")


def _named(value: object, name: str) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # as pandas keeps integers beside missing ones
    if type(value) not in (str, int):
        raise BadRecord(f"bad {name}", f"{name} must be text or an integer, not {kind_of(value)}")
    return encodable(str(value), name)


def _margin(value: object) -> float:
    if value is None:
        return 0.0
    if not is_finite(value):
        shown = repr(value) if isinstance(value, str | float) else kind_of(value)
        raise BadRecord(
            "bad margin", f"margin must be a finite number, not {shown}; mend or remove it"
        )
    return float(value)

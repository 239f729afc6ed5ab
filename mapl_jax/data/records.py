"""Preference pairs and demonstrations: records of every form that people keep, in one form.

Every record is checked before anything is built from it, and a message about a bad one names the
file, the record and what to do.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, Protocol, TypedDict, TypeVar, Unpack

import numpy as np

from mapl_jax.data import form_table, forms, normalize, side_scores, unfolded, worth_of
from mapl_jax.data.fields import as_object
from mapl_jax.data.meaning import is_missing
from mapl_jax.data.messages import Message, last_asked, prompt_of
from mapl_jax.data.normalize import Demonstration, Pair
from mapl_jax.data.parse import BadRecord
from mapl_jax.data.readers import Entries, read_entries
from mapl_jax.data.written import is_list_of_texts
from mapl_jax.runtime.errors import UserError

_Record = TypeVar("_Record", Pair, Demonstration)
_Made_co = TypeVar("_Made_co", Pair, Demonstration, covariant=True)


# Raises `BadRecord` for a prompt, and the id it was given, that cannot be used.
Accept = Callable[[Sequence[Message], str], None]


def takes_all(messages: Sequence[Message], name: str) -> None:
    """Every prompt can be used."""


@dataclasses.dataclass
class Tally:
    """What became of the records of one source."""

    read: int = 0
    # Reason -> records left out (only with `on_error="skip"`).
    dropped: Counter[str] = dataclasses.field(default_factory=Counter)
    unread: set[str] = dataclasses.field(default_factory=set)  # columns that nothing was read from
    # Of a list of sources, the records that each of them gave.
    parts: Counter[str] = dataclasses.field(default_factory=Counter)
    repeating: int = 0  # pairs whose replies both begin with the whole text of their prompt
    printed: int = 0  # pairs of which a reply is a list of texts, written as text
    # Records by the columns that score both of their sides.
    scored: Counter[str] = dataclasses.field(default_factory=Counter)
    # Those of them whose scores say that the rejected reply is the better one.
    opposite: Counter[str] = dataclasses.field(default_factory=Counter)
    # What was made of records, where it is not what one would expect, and of how many.
    noted: Counter[str] = dataclasses.field(default_factory=Counter)
    # Records by the column of a strength, and its sign.
    strengths: Counter[tuple[str, int]] = dataclasses.field(default_factory=Counter)

    def weigh(self, record: Mapping[str, object], form: forms.Form | None = None) -> None:
        """Counts a record, as it stands, whose scores contradict its sides; and its strength."""
        for path in form.columns.get("strength", "").split("/") if form else ():
            if not is_missing(given := forms.at(record, path)):
                with contextlib.suppress(BadRecord):  # a demonstration's need not be a number
                    strength = worth_of.number(given, path)
                    self.strengths[path, (strength > 0) - (strength < 0)] += 1
                break
        for compared, is_opposite in side_scores.contradicted(record):
            self.scored[compared] += 1
            self.opposite[compared] += is_opposite

    def count(self, part: str) -> None:
        """Counts a record of a part that is kept; of a source that is no list, nothing."""
        if part:
            self.parts[part] += 1

    def notes(self) -> list[str]:
        """What was left out, and what each source gave, a line each; empty where nothing is."""
        lines = [self.describe()] if self.dropped else []
        if self.parts:
            counts = ", ".join(f"{count} of {part}" for part, count in self.parts.items())
            lines.append(f"records kept: {counts}")
        if self.repeating:
            lines.append(
                f"pairs whose replies both begin with the text of their prompt: {self.repeating}; "
                "where the replies repeat the prompt, cut it off"
            )
        if self.printed:
            lines.append(
                f"pairs of which a reply is a list, written as text: {self.printed}; where that is "
                "several replies, store them as a list"
            )
        lines += [f"{what}: {count}" for what, count in self.noted.items()]
        lines += side_scores.described(self.scored, +self.opposite)
        lines += side_scores.one_sided(self.strengths)
        if self.unread:
            names = (name or "(without a name)" for name in sorted(self.unread))
            lines.append(f"columns that are not read: {', '.join(names)}")
        return lines

    def describe(self) -> str:
        """One line for people: how many records were read, kept and dropped, and why."""
        lost = self.dropped.total()
        line = f"{self.read} records read, {self.read - lost} kept"
        if lost:
            reasons = ", ".join(f"{reason} {n}" for reason, n in self.dropped.most_common())
            line += f", {lost} dropped ({reasons})"
        return line


@dataclasses.dataclass(frozen=True)
class Records(Generic[_Record]):
    """The records of one source, with what became of every one."""

    records: list[_Record]  # those kept, in the order of the source
    tally: Tally  # what was read and dropped


Pairs = Records[Pair]


class Ids:
    """The ids of a source so far, kept as 8-byte hashes with the numbers of their records."""

    _RECENT = 2**15  # held in a dict before they go to the arrays, which take 16 bytes an id

    def __init__(self) -> None:
        self._hashes = np.empty(0, np.int64)  # sorted
        self._numbers = np.empty(0, np.int64)
        self._recent: dict[int, int] = {}

    def add(self, name: str, number: int) -> int | None:
        """Takes the id of a record; gives the number of an earlier record that has it."""
        earlier = self._number(hash(name))
        if earlier is None:
            self._recent[hash(name)] = number
            if len(self._recent) == self._RECENT:
                self._merge()
        return earlier

    def unused(self, stem: str) -> str:
        """An id that no record has: the stem, or one made unique by a count."""
        name, count = stem, 1
        while self._number(hash(name)) is not None:
            count += 1
            name = f"{stem}-{count}"
        return name

    def _number(self, key: int) -> int | None:
        if key in self._recent:
            return self._recent[key]
        index = int(np.searchsorted(self._hashes, key))
        known = index < len(self._hashes) and self._hashes[index] == key
        return int(self._numbers[index]) if known else None

    def _merge(self) -> None:
        hashes = np.fromiter(self._recent.keys(), np.int64, len(self._recent))
        numbers = np.fromiter(self._recent.values(), np.int64, len(self._recent))
        order = np.argsort(hashes)
        index = np.searchsorted(self._hashes, hashes[order])
        self._hashes = np.insert(self._hashes, index, hashes[order])
        self._numbers = np.insert(self._numbers, index, numbers[order])
        self._recent.clear()


def read_pairs(path: str | os.PathLike[str], *, on_error: str = "raise") -> Pairs:
    """Reads preference pairs of any source and brings them to one form.

    Accepted rows are TRL's: `prompt` as text or messages, `chosen` and `rejected` as text or
    messages; without `prompt`, whole conversations as messages (the shared leading messages are the
    prompt) or as HH-RLHF's "Human: ... Assistant: ..." text. `id` and `margin` are optional. A
    missing id is made from the content; a pair that occurs again then gets "-2", "-3", ... An id
    that is given must be unique.
    """
    return collect(iter_pairs, read_entries(path), on_error=on_error)


class Reading(TypedDict, total=False):
    """How records are read."""

    on_error: str  # "raise" (the default) stops at the first bad one; "skip" counts it
    form: forms.Form | None  # what the columns are; None where their names say it
    accept: Accept  # raises `BadRecord` for a prompt that cannot be used


def iter_pairs(entries: Entries, tally: Tally, **how: Unpack[Reading]) -> Iterator[Pair]:
    """`read_pairs` one by one, counted; memory grows by 16 bytes a record, for its id."""
    names = ("pair", "preference pairs")
    for pair in _checked(entries, tally, normalize.pair_of, names, **how):
        tally.noted.update(pair.pop("notes", ()))
        if subset := entries.subset(pair.get("subset", "")):
            pair["subset"] = subset
        asked = pair["prompt"][-1]["content"].strip()
        replies = (pair["chosen"], pair["rejected"])
        tally.repeating += all(reply.lstrip().startswith(asked) for reply in replies)
        tally.printed += any(map(is_list_of_texts, replies))
        yield pair


def iter_demonstrations(
    entries: Entries, tally: Tally, **how: Unpack[Reading]
) -> Iterator[Demonstration]:
    """Prompts with a reply to learn from, one by one; arguments as for `iter_pairs`.

    Accepted rows are TRL's: `prompt` and `completion`, or `messages` that end with the assistant's
    reply; of preference pairs in any form that `read_pairs` takes, the chosen reply. Only the last
    reply of a conversation is learned; what comes before it is the prompt.
    """
    names = ("demonstration", "demonstrations")
    return _checked(entries, tally, normalize.demonstration_of, names, **how)


class _Iterate(Protocol[_Made_co]):
    def __call__(
        self, entries: Entries, tally: Tally, **how: Unpack[Reading]
    ) -> Iterator[_Made_co]: ...


def collect(
    iterate: _Iterate[_Record], entries: Entries, *, limit: int = 0, **how: Unpack[Reading]
) -> Records[_Record]:
    """What `iter_pairs` or `iter_demonstrations` makes of a source, in memory; at most `limit`."""
    tally = Tally()
    return Records(list(itertools.islice(iterate(entries, tally, **how), limit or None)), tally)


def _checked(
    entries: Entries,
    tally: Tally,
    read: Callable[[forms.Form | None, object, set[str]], _Record],
    names: tuple[str, str],
    *,
    on_error: str = "raise",
    form: forms.Form | None = None,
    accept: Accept = takes_all,
) -> Iterator[_Record]:
    """Every record in one form, with an id of its own; `names` are what one and many are called."""
    if on_error not in ("raise", "skip"):
        raise UserError(f'on_error must be "raise" or "skip", not {on_error!r}')
    ids, kept, part, before = Ids(), 0, "", 0
    for where, value in unfolded.each(entries, form):
        if entries.part != part:
            part, before = entries.part, tally.read
        tally.read += 1
        try:
            record = read(form, value, tally.unread)
            accept(record["prompt"], record["id"])
            name = record["id"] or ids.unused(_content_id(record))
            earlier = ids.add(name, tally.read)
            if earlier and earlier <= before:  # sources of a list count from 1 each
                name = f"{part}/{name}"
                earlier = ids.add(name, tally.read)
            if earlier:
                raise BadRecord(
                    "repeated id",
                    f"id {name!r} was used before, in record {earlier} of the source; "
                    "make ids unique, or leave them out (data.columns=ignore=id) to have them made",
                )
        except BadRecord as bad:
            if on_error == "raise":
                raise UserError(f"{where}: {bad}") from None
            tally.dropped[bad.reason] += 1
            continue
        kept += 1
        record["id"] = name
        tally.count(entries.part)
        if isinstance(value, dict):
            tally.weigh(value, form)
        yield record
    for part in filter(None, entries.parts):
        tally.parts[part] += 0  # one of which nothing was drawn or kept is said, too
    if not tally.read:
        raise UserError(f"{entries.name} holds no records; {names[1]} are needed")
    if not kept:
        raise UserError(f"no {names[0]} of {entries.name} can be used: {tally.describe()}")


def read_prompts(path: str | os.PathLike[str]) -> list[tuple[dict[str, object], list[Message]]]:
    """Reads what is to be answered: `prompt` as text or messages, or `messages`.

    Gives every record as it stands, and its prompt's messages, which end with a user's turn.
    """
    prompts = []
    for where, value in read_entries(path):
        try:
            record = as_object(value)
            prompts.append((record, prompt_in_record(record)))
        except BadRecord as bad:
            raise UserError(f"{where}: {bad}") from None
    if not prompts:
        raise UserError(f"{os.fspath(path)} holds no records; prompts are needed")
    return prompts


def prompt_in_record(record: Mapping[str, object]) -> list[Message]:
    """The messages of what is to be answered, which end with a user's turn."""
    if not any(name in record for name in form_table.PROMPT.split("/")):
        raise BadRecord("no prompt", "has no 'prompt' and no 'messages'; add one of them")
    fields = forms.fields_of(record, forms.Form(forms.ASKED, ()), set())
    prompt = normalize.prompt_in(fields) or prompt_of(record.get("prompt"))
    return normalize.with_tools(prompt, fields)


def asked_in_record(record: Mapping[str, object]) -> str:
    """What the user said last, of a record that may hold much else."""
    value = next((record[name] for name in form_table.PROMPT.split("/") if record.get(name)), None)
    if value is None:
        raise BadRecord("no prompt", "has no prompt")
    return last_asked(prompt_of(value))


def _content_id(record: Mapping[str, object]) -> str:
    keys = ("prompt", "chosen", "rejected", "completion", "responses")
    content = json.dumps([record[key] for key in keys if key in record], ensure_ascii=True)
    return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()

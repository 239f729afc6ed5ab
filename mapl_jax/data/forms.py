"""The forms in which people keep preferences: which columns they have, and what those are here.

A form is a table from our fields to paths of their columns. "a/b" is the first of two columns that
is there, "a.b" a field of an object, "a|b" both as a list, "a[].b" a field of every object of a
list, "a[0]" and "a[1:]" parts of a list. The published forms stand in `data.form_table`; one of a
user's own is `data.columns`.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping

from mapl_jax.data.form_table import ASKED, FORMS, PAIR, Form
from mapl_jax.data.meaning import changes_meaning, is_missing, is_tag, unread_fields
from mapl_jax.data.parse import BadRecord
from mapl_jax.data.values import by_rows
from mapl_jax.data.written import listed, until_turn
from mapl_jax.runtime.errors import UserError

FIELDS = (
    *ASKED,
    "id",
    "tools",
    "chosen",
    "rejected",
    "conversation",
    "completion",
    "margin",
    "responses",
    "scores",
    "ranks",
    "strength",
    "choice",
    "names",
    "better",
    "worse",
    "subset",
    "ignore",
)


# Columns that change what the answer is to, beside those with a word of `changes_meaning`; what is
# not read of them must stand in what is read.
_MEANING = frozenset(
    "input context prompt messages conversation conversations question query article background "
    "passage".split()
)
# What no text can stand for.
_NEVER_TEXT = re.compile(r"tool|function|image|pixel|media|audio|video")
_MORE_REPLIES = re.compile(
    r"(?:chosen|rejected)_?(?:\d+|s|(?:response|reply|answer|completion|output|message|text|content)s?)"
    r"|(?:response|reply|answer|completion|output)_?(?:chosen|rejected)"
)
_ALWAYS = {name: name for name in ("id", "margin", "tools", "subset")}
_MAY_LACK = (*_ALWAYS, "input", "system", "history")
_OBJECT = (dict, Mapping)  # a dict is told at once, anything else takes longer
_STEPS = re.compile(r"[.\[\]]")
_STEP = re.compile(r"([^.\[\]]+)(?:\[([0-9]*)(:?)\])?")


def requested_form(format: str = "", columns: str = "") -> Form | None:
    """The form that settings ask for, or None.

    Args:
        format: a name of `FORMS`, or empty.
        columns: our fields and their paths, "prompt=context,chosen=good,rejected=bad"; a name of
            `FORMS`, alone or before other fields; or empty.
    """
    if format and columns:
        raise UserError("set data.format or data.columns, not both")
    first, _, more = columns.partition(",")
    if first.strip() in FORMS:
        format, columns = first.strip(), more
    if format and format not in FORMS:
        raise UserError(f"data.format is {format!r}; choose one of {', '.join(FORMS)}")
    known = FORMS.get(format)
    if not columns:
        return known
    given: dict[str, str] = {}
    for part in columns.split(","):
        ours, equals, path = (piece.strip() for piece in part.partition("="))
        if not equals or not path or ours not in FIELDS:
            raise UserError(
                f"data.columns has {part.strip()!r}; write FIELD=COLUMN with a field of "
                f"{', '.join(FIELDS)}"
            )
        given[ours] = path
    ignored = tuple(given.pop("ignore", "").split("|"))
    if known:
        fields = {**known.columns, **given} if given else known.columns
        return dataclasses.replace(known, columns=fields, beside=(*known.beside, *ignored))
    if not given:  # a pair's columns, where no other form fits
        return dataclasses.replace(PAIR, beside=ignored)
    sides = {"chosen": "chosen", "rejected": "rejected"}
    if {"responses", "conversation", "completion"} & given.keys():
        sides = {}
    asked = {} if "conversation" in given else ASKED
    return Form({**asked, **sides, **given}, (), beside=ignored)


def form_of(record: Mapping[str, object], asked: Form | None, automatic: tuple[Form, ...]) -> Form:
    """The form of a record; the first of the automatic ones where none fits."""
    fits = (form for form in ((asked,) if asked else ()) + automatic if fits_form(record, form))
    found = next(fits, automatic[0])
    return dataclasses.replace(found, beside=(*found.beside, *asked.beside)) if asked else found


def described(form: Form, record: Mapping[str, object]) -> str:
    """The form that a record was read as, and what of it; empty where its columns say it all."""
    if not (name := _name_of(form)):
        return ""
    there = {ours: [p for p in x.split("/") if has(record, p)] for ours, x in form.columns.items()}
    return f" (read as {name}: {','.join(f'{k}={v[0]}' for k, v in there.items() if v)})"


def _name_of(form: Form) -> str:
    """The name of a published form; empty for one of a user's own, and for a pair's columns."""
    return next((name for name, known in FORMS.items() if known.columns is form.columns), "")


def _leaving(form: Form, column: str) -> str:
    """The setting that reads a form and leaves a column unread, in words."""
    if not form.automatic and not (name := _name_of(form)):
        return f"by adding ignore={column} to data.columns"
    own = "" if form.automatic else f"{name},"
    others = [x for x in form.beside if x and (form.automatic or x not in FORMS[name].beside)]
    return f"with data.columns={own}ignore={'|'.join((*others, column))}"


def fits_form(record: Mapping[str, object], form: Form) -> bool:
    """Whether a record has what a form needs."""
    return all(has(record, name) for name in form.needs)


def has(record: Mapping[str, object], path: str) -> bool:
    """Whether a record has a column, or something at a path."""
    return path in record or any(
        part in record or not is_missing(at(record, part)) for part in path.split("/")
    )


def demonstrated(form: Form) -> Form:
    """The form of demonstrations whose reply is the chosen one, or stands where it usually does."""
    others = {k: path for k, path in form.columns.items() if k not in ("chosen", "rejected")}
    replies = f"{form.columns['chosen']}/completion/output/response"
    needs = ("chosen",) if form.automatic else ()
    return Form({**others, "completion": replies}, needs, beside=form.beside)


def fields_of(record: Mapping[str, object], form: Form, unread: set[str]) -> dict[str, object]:
    """The fields of a record that are there; nulls and empty lists are missing.

    Args:
        unread: receives the names of columns that are not read.
    """
    found: dict[str, object] = {}
    used: set[str] = set()
    read: set[str] = set()
    for ours, paths in {**_ALWAYS, **form.columns}.items():
        there = [
            (path, value)
            for path in paths.split("/")
            if path not in form.beside
            and ((value := at(record, path)) is not None or path in record)
        ]
        if not there:
            continue
        if ours in ASKED:  # two of these are never read from one column
            there = [(path, value) for path, value in there if not _columns(path) & used]
        filled = [
            (path, value)
            for path, value in there
            # A margin that is no number was meant to be one.
            if not is_missing(value) or (ours == "margin" and isinstance(value, float))
        ]
        if not filled and ours not in _MAY_LACK:
            # What stands there empty is named by the check of its field.
            filled = [
                (path, value)
                for path, value in there
                if path in record and (value is not None or ours != "prompt")
            ]
        if filled:
            found[ours] = filled[0][1]
            used |= _columns(filled[0][0])
            read.add(filled[0][0])
    for ours in found.keys() & {"scores", "ranks"}:
        found[ours] = _in_order(record, form.columns, ours, found[ours])
    if form.turn in record and form.turn not in form.beside:
        used.add(form.turn)
        found["responses"] = until_turn(found.get("responses"), record[form.turn])
    if "choice" in found and "|" in form.columns.get("responses", ""):
        found["names"] = form.columns["responses"].split("|")
    left = {k: x for k, x in record.items() if k not in used} | _beside(record, read)
    known = "\n".join(str(text) for text in _texts(list(found.values())))
    for name in used:
        unread.update(f"{field} of messages" for field in unread_fields(record.get(name)))
    for name, value in left.items():
        if is_missing(value) or name in form.beside:
            continue
        if is_tag(name, record.keys()):
            unread.add(name)
            continue
        if "rejected" in form.columns and _MORE_REPLIES.fullmatch(name):
            raise BadRecord(
                f"column {name}",
                f"has a column {name!r} beside 'chosen' and 'rejected'; put all replies of a side "
                "into one list, or remove the column",
            )
        if name not in _MEANING and not changes_meaning(name, value):
            unread.add(str(name))
        elif _NEVER_TEXT.search(name.lower()) or not all(
            isinstance(text, str) and _stands_in(text.strip(), known)
            for text in _texts(value) or [0]
        ):
            raise BadRecord(
                f"column {name}",
                f"has a column {name!r} that is not read and may change what is answered; "
                "remove the record or the column, say which column is which with "
                f"data.columns=FIELD=COLUMN,..., or leave it unread {_leaving(form, name)}",
            )
    return found


def _in_order(
    record: Mapping[str, object], columns: Mapping[str, str], ours: str, given: object
) -> object:
    """Numbers in the order of the replies, where both stand in lists of objects that name them."""
    parts = [columns.get(name, "").partition("[].") for name in ("responses", ours)]
    lists = [by_rows(at(record, part[0])) for part in parts if part[1]]
    if len(lists) < 2 or parts[0][0] == parts[1][0] or not isinstance(given, list):
        return given
    rows = [[x for x in some if isinstance(x, Mapping)] for some in lists if isinstance(some, list)]
    for key in rows[0][0] if len(rows) == 2 and all(rows) else ():
        names, theirs = ([row.get(key) for row in some] for some in rows)
        told = all(isinstance(name, str) for name in (*names, *theirs))
        if (
            told
            and len({*names}) == len(given)
            and sorted(map(str, theirs)) == sorted(map(str, names))
        ):
            return [given[theirs.index(name)] for name in names]
    return given


@functools.lru_cache(maxsize=1024)
def _columns(path: str) -> frozenset[str]:
    return frozenset(re.split(r"[.\[]", part)[0] for part in path.split("|"))


def _beside(record: Mapping[str, object], paths: set[str]) -> dict[str, object]:
    """What objects hold beside the fields that are read of them, by its path."""
    found: dict[str, object] = {}
    for path in [part for several in paths for part in several.split("|")]:
        head, dot, _ = path.rpartition(".")
        owner = at(record, head.removesuffix("[]")) if dot and path not in record else None
        for item in owner if isinstance(owner, list) else [owner]:
            if isinstance(item, Mapping):
                found |= {f"{head}.{k}": v for k, v in item.items() if not is_missing(v)}
    return {name: value for name, value in found.items() if name not in paths}


def _stands_in(text: str, known: str) -> bool:
    """Whether a text is in another, and not within a word of it."""
    return bool(re.search(rf"(?<!\w){re.escape(text)}(?!\w)", known))


def at(record: object, path: str) -> object:
    """What stands at a path of a record; None where there is nothing."""
    if "|" in path:
        return [at(record, part) for part in path.split("|")]
    if isinstance(record, _OBJECT) and path in record:
        return record[path]
    if not _STEPS.search(path):
        return None
    step = _STEP.match(path)
    if step is None or not isinstance(record, _OBJECT):
        return None
    value, rest = (
        by_rows(record.get(step[1])) if step[2] == "" else record.get(step[1]),
        path[step.end() :].lstrip("."),
    )
    if step[3] or step[2]:
        first, value = int(step[2] or 0), listed(value)
        if not isinstance(value, list) or len(value) <= first:
            return None
        return value[first:] if step[3] else at(value[first], rest) if rest else value[first]
    if step[2] is not None:
        return (
            [at(item, rest) if rest else item for item in value]
            if isinstance(value, list)
            else None
        )
    return at(value, rest) if rest else value


def _texts(value: object) -> list[object]:
    """What a value holds, however deep; of messages the contents alone."""
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    if isinstance(value, str) or not isinstance(value, Mapping):
        return [] if value is None else [value]
    inner = {key: part for key, part in value.items() if key not in ("role", "from", "type")}
    return [text for part in inner.values() for text in _texts(part)]

"""What would read a record that no form fits, for the error that names it."""

import re
from collections.abc import Callable, Iterator, Mapping

from mapl_jax.data.form_table import FORMS, PROMPT
from mapl_jax.data.forms import fits_form
from mapl_jax.data.meaning import is_spoken
from mapl_jax.data.parse import BadRecord
from mapl_jax.data.worth_of import ABOUT, VERDICT

_ABOUT_REPLY = re.compile(
    r"score|rating|reward|source|reason|feedback|label|parsed|ground_truth|reference"
    r"|model(?:[_.-]?(?:name|id|a|b|\d))?$|(?:^|[_.])(?:id|type)$"
)
_REPLY = re.compile(
    r"response|answer|completion|output|reply|(?<!con)text|generation|candidate|conv|summar"
    r"|content|ref|target"
)
_SIDES = (
    re.compile(
        r"chosen|(?<!dis)preferred|better|winning|winner|positive|accepted|good|best|_j$"
        r"|(?:^|_)(?:w|win|pos)$|^pos_"
    ),
    re.compile(
        r"reject|dispreferred|worse|losing|loser|negative|bad|worst|_k$"
        r"|(?:^|_)(?:l|lose|neg)$|^neg_"
    ),
)
_WORTH = re.compile(
    r"score|rating|reward|winner|vote|rank|quality|chosen|selected|correct", re.IGNORECASE
)
# Of several verdicts, the one on the whole, and people's, come before those on a part and models'.
_FIRST = re.compile(r"overall|human")
_EDITED = (re.compile(r"edited|revised|improved|corrected"), re.compile(r"original|unedited"))
# What says of a single reply whether it is good.
_JUDGED = ("label", "kto_tag", "is_correct", "correct", "is_good", "accepted", "is_safe")
_ASKED = (*PROMPT.split("/"), "history", "context", "post", "conversation", "problem", "inputs")
_WORDS = re.compile(r"\d+|[A-Z]?[a-z]+|[A-Z]")
_ANSWERS = re.compile(r"response|answer|completion|reply|output")
# Tries a mapping; gives why it does not read a record, or nothing.
_Read = Callable[[str], str]
_MOST_LEFT = 3
# Two replies within one text, as a judge is asked about them.
_BOTH = re.compile(r"\b(response|answer|assistant) ?[1A]\b.*\b\1 ?[2B]\b", re.I | re.DOTALL)


def hint(record: Mapping[str, object], read: _Read) -> str:
    """What would read a record that no automatic form fits; `read` tries a mapping."""
    for name, form in FORMS.items():
        if not form.automatic and fits_form(record, form):
            return f"; these are the columns of {name}: set data.format={name}"
    if found := mapping(record, read, leaving=True):
        return found
    if verdict := judged(record):
        return f"; {verdict!r} judges single replies (KTO's form), and pairs are needed"
    if is_spoken({"content": record.get("text"), **record}):
        return "; it is one message, and a record must hold a prompt and the replies to compare"
    texts = [name for name, x in dict(_paths(record)).items() if isinstance(x, str)]
    replies = [x for x in texts if _REPLY.search(x) and not _ABOUT_REPLY.search(x) and not _asks(x)]
    if (
        len(replies) == 1
        and any(map(_asks, map(str, record)))
        and not any(_BOTH.search(str(record.get(x))) for x in texts)
    ):
        return (
            f"; {replies[0]!r} is a single reply: put those to one prompt into one record, as "
            "'responses' with their 'scores'"
        )
    if asked := next((x for x in texts if _BOTH.search(str(record.get(x)))), ""):
        return (
            f"; {asked!r} asks a judge about two replies in one text: store the prompt, the "
            "replies and the verdict in columns of their own"
        )
    says = [x for x in dict(_paths(record)) if _WORTH.search(x) or VERDICT.search(x)]
    several = next((found for _, found in _numbered(replies)), None)
    if several and not any(ABOUT.search(x) for x in record) and not {*says} - {*replies}:
        return (
            f"; no column says which of {' and '.join(map(repr, several))} is better, and texts "
            "about them are no preference; add a score of each, or a choice, and name it in "
            "data.columns"
        )
    return "; or say which column is which with data.columns=prompt=COLUMN,chosen=COLUMN,..."


def mapping(record: Mapping[str, object], read: _Read, *, leaving: bool = False) -> str:
    """The mapping that the names of columns suggest, in words; empty where none reads it.

    Args:
        record: in a form of its own.
        read: tries a mapping.
        leaving: whether a mapping may leave columns unread that could change what is answered.
    """
    guesses = list(_guesses(dict(_paths(record))))
    for most in (0, _MOST_LEFT) if leaving else (0,):
        for guess in guesses:
            left: list[str] = []
            while (reason := read(f"{guess}{_ignoring(left)}")).startswith("column "):
                if len(left) == most:
                    break
                left.append(reason.removeprefix("column "))
            if not reason:
                names = " and ".join(map(repr, left))
                more = f", and {names} is no part of what is answered" if left else ""
                return (
                    f"; if they mean what their names say{more}: "
                    f"data.columns={guess}{_ignoring(left)}"
                )
    return ""


def _ignoring(columns: list[str]) -> str:
    return f",ignore={'|'.join(columns)}" if columns else ""


def judged(record: Mapping[str, object]) -> str:
    """The column that says whether a single reply is good, as KTO's data has it; or nothing."""
    return next((name for name in _JUDGED if isinstance(record.get(name), bool)), "")


def refuse_names(
    record: Mapping[str, object],
    fields: Mapping[str, object],
    ignored: tuple[str, ...],
    read: _Read,
) -> None:
    """Refuses a record whose chosen and rejected are names of replies that stand elsewhere in it.

    Columns of `ignored` are left unread, whatever they hold; `read` tries a mapping.
    """
    left = {k: x for k, x in record.items() if k not in ("chosen", "rejected", *ignored)}
    names = {name.lower() for column, x in left.items() for name in _names(column, x)}
    sides = [fields["chosen"], fields["rejected"]]
    if all(isinstance(side, str | int) and str(side).strip().lower() in names for side in sides):
        found = mapping(record, lambda guess: read(guess) if "choice=chosen" in guess else "no")
        raise BadRecord(
            "names of replies",
            f"chosen and rejected ({sides[0]!r}, {sides[1]!r}) seem to name replies that stand in "
            f"other columns{found}; if they are the replies, remove those columns",
        )


def _names(column: str, value: object) -> Iterator[str]:
    """What the replies in a column may be called: by its name, its end, a number or a field."""
    if not _REPLY.search(column.lower()):
        return
    if isinstance(value, str):
        yield column
        yield from re.findall(r"(?:(?<=_)[A-Za-z]|\d+|(?<=[a-z])[A-Z])$", column)
    elif isinstance(value, list):
        yield from map(str, range(len(value)))
        items = [item for item in value if isinstance(item, Mapping)]
        yield from (str(x) for i in items for k, x in i.items() if not _REPLY.search(str(k)))
    elif isinstance(value, Mapping):
        yield from map(str, value)


def _paths(record: Mapping[str, object], owner: str = "") -> Iterator[tuple[str, object]]:
    """Every column with its path, and those of the objects that columns hold."""
    for name, value in record.items():
        path = f"{owner}{name}"
        if isinstance(value, Mapping) and not is_spoken(value):
            yield from _paths(value, f"{path}.")
        elif isinstance(value, list) and value and all(isinstance(x, Mapping) for x in value):
            if is_spoken(value[0]):
                yield path, value
            for key, part in {**dict(_paths(value[0])), **value[0]}.items():
                whole = isinstance(part, str | bool | int | float) or _is_said(part)
                if whole and "." not in key:
                    yield f"{path}[].{key}", [item.get(key) for item in value]
        else:
            yield path, value


def _is_said(value: object) -> bool:
    """Whether a value is a message or a list of such."""
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, Mapping) and is_spoken(first)


def _guesses(columns: Mapping[str, object]) -> Iterator[str]:
    """Mappings that the names of columns suggest, the likeliest first."""
    texts = [
        path
        for path, x in columns.items()
        if isinstance(x[0] if isinstance(x, list) and x else x, str | dict | list)
        and not _ABOUT_REPLY.search(path.lower())
    ]
    asked = _asked(columns, texts)
    verdicts = [x for x in columns if VERDICT.search(x) and not ABOUT.search(x.lower())]
    verdicts.sort(key=lambda x: not _FIRST.search(x.lower()))
    first = f"prompt={asked}," if asked else ""
    for two in (_SIDES, _EDITED):
        sides = [[x for x in _outer(texts) if words.search(x.lower())] for words in two]
        if all(len(paths) == 1 for paths in sides):
            yield f"{first}chosen={sides[0][0]},rejected={sides[1][0]}"
    if asked and {"chosen", "rejected"} <= columns.keys():
        yield first.rstrip(",")
    if asked and "rejected" in columns:  # a conversation and the reply that it should not have
        yield f"conversation={asked},rejected=rejected"
    replies = [path for path in texts if path != asked and _is_reply(path)]
    numbers = [
        path
        for path, x in columns.items()
        if _WORTH.search(path) and _is_number(x[0] if isinstance(x, list) and x else x, path)
    ]
    for ends, paths in [*_numbered(replies), *_numbered(replies, last=False)]:
        for other in numbers:
            several = columns[other]
            if isinstance(several, list) and "[]" not in other and len(several) == len(paths):
                yield f"{first}responses={'|'.join(paths)},{_worth([other])}"
        worths = [found for other, found in _numbered(numbers, last=False) if other == ends]
        yield from (f"{first}responses={'|'.join(paths)},{_worth(found)}" for found in worths)
        if len(paths) == 2 and not worths:
            # That of one reply (`preferred_a`) is no choice between two.
            ends_so = {found[-1].lower() for path in paths if (found := _WORDS.findall(path))}
            yield from (
                f"{first}responses={'|'.join(paths)},choice={v}"
                for v in verdicts
                if not {_WORDS.findall(v)[-1].lower()} & ends_so
            )
    for path in replies:
        if isinstance(columns[path], list):
            yield from (f"{first}responses={path},{_worth([other])}" for other in numbers)
            yield from (f"{first}responses={path},choice={c}" for c in verdicts)


def _outer(paths: list[str]) -> list[str]:
    """Those that lie in none of the others."""
    return [path for path in paths if not any(path.startswith(f"{x}[") for x in paths)]


def _asked(columns: Mapping[str, object], texts: list[str]) -> str:
    """The column of the prompt: by its name, by the name of its object, or as a conversation."""
    texts = [path for path in texts if not _asks_a_judge(path, columns)]
    texts = sorted(texts, key=lambda path: ("[]" in path, -len(str(columns[path]))))
    for part in (slice(None), slice(-1, None), slice(0, 1)):
        for name in _ASKED:
            if found := next(
                (x for x in texts if ".".join(x.lower().split(".")[part]) == name), ""
            ):
                return found
    others = (_ANSWERS, *_SIDES)
    asks = (x for x in texts if _asks(x) and not any(some.search(x.lower()) for some in others))
    if found := next(asks, ""):
        return found
    return next((path for path, value in columns.items() if _ends_with_question(value)), "")


def _asks(path: str) -> bool:
    """Whether a word in the name of a column is that of a prompt."""
    return bool({word.lower() for word in _WORDS.findall(path.split(".")[-1])} & {*_ASKED})


def _asks_a_judge(path: str, columns: Mapping[str, object]) -> bool:
    """Whether a text holds two or more of the replies."""
    text = columns[path]
    replies = {x for p, x in columns.items() if isinstance(x, str) and x.strip() and _is_reply(p)}
    return isinstance(text, str) and sum(reply in text for reply in replies - {text}) > 1


def _is_reply(path: str) -> bool:
    return bool(_REPLY.search(path.split("[].")[-1].lower()))


def _ends_with_question(value: object) -> bool:
    last = value[-1] if isinstance(value, list) and value else None
    return isinstance(last, Mapping) and last.get("role", last.get("from")) in ("user", "human")


def _is_number(value: object, path: str) -> bool:
    """Whether a value is a number; in a list of objects, as text too, or as what says "none"."""
    if isinstance(value, str) and "[]" in path:
        return bool(re.fullmatch(r"\s*(?:-?\d+(?:\.\d+)?|n/?a)\s*", value, re.I))
    return isinstance(value, int | float)


def _worth(paths: list[str]) -> str:
    return f"{'ranks' if 'rank' in paths[0].lower() else 'scores'}={'|'.join(paths)}"


def _numbered(paths: list[str], *, last: bool = True) -> list[tuple[tuple[str, ...], list[str]]]:
    """Paths that differ in one number or letter, with what they differ in: `a_1`, `a_2`.

    With `last`, that must stand at their end.
    """
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for path in paths:
        words = _WORDS.findall(path)
        for i in range(len(words) - 1 if last else 0, len(words)):
            if len(words[i]) == 1 or words[i].isdigit():
                stem = (*words[:i], "", *words[i + 1 :])
                found.setdefault(stem, {})[words[i].lower()] = path
    return [(tuple(some), list(some.values())) for some in found.values() if len(some) > 1]

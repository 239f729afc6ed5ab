"""What would read a record that no form fits, for the error that names it."""

import re
from collections.abc import Callable, Iterator, Mapping

from mapl_jax.data.forms import FORMS, PROMPT, fits_form
from mapl_jax.data.meaning import is_spoken
from mapl_jax.data.parse import BadRecord

_ABOUT_REPLY = re.compile(
    r"score|rating|reward|model|source|reason|feedback|(?:^|[_.])(?:id|type)$"
)
_REPLY = re.compile(
    r"response|answer|completion|output|reply|text|generation|candidate|conv|summar|content|ref"
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
_VERDICT = re.compile(r"winner|choice|prefer|better|label|best|chosen|overall")
_WORTH = re.compile(
    r"score|rating|reward|winner|vote|rank|quality|chosen|selected|correct", re.IGNORECASE
)
# What says of a single reply whether it is good.
_JUDGED = ("label", "kto_tag", "is_correct", "correct", "is_good", "accepted", "is_safe")
_ASKED = (*PROMPT.split("/"), "history", "context", "post", "conversation")
_Reads = Callable[[str], bool]


def hint(record: Mapping[str, object], reads: _Reads) -> str:
    """What would read a record that no automatic form fits; `reads` tries a mapping."""
    for name, form in FORMS.items():
        if not form.automatic and fits_form(record, form):
            return f"; these are the columns of {name}: set data.format={name}"
    if found := mapping(record, reads):
        return found
    if verdict := judged(record):
        return f"; {verdict!r} judges single replies (KTO's form), and pairs are needed"
    if is_spoken({"content": record.get("text"), **record}):
        return "; it is one message, and a record must hold a prompt and the replies to compare"
    replies = [
        name for name, x in record.items() if isinstance(x, str | list) and _REPLY.search(name)
    ]
    if (
        len(replies) == 1
        and isinstance(record[replies[0]], str)
        and any(name in record for name in _ASKED)
    ):
        return (
            f"; {replies[0]!r} is a single reply: put those to one prompt into one record, as "
            "'responses' with their 'scores'"
        )
    return "; or say which column is which with data.columns=prompt=COLUMN,chosen=COLUMN,..."


def mapping(record: Mapping[str, object], reads: _Reads) -> str:
    """The mapping that the names of columns suggest, in words; empty where none reads it."""
    guess = next(filter(reads, _guesses(dict(_paths(record)))), "")
    return f"; if they mean what their names say: data.columns={guess}" if guess else ""


def judged(record: Mapping[str, object]) -> str:
    """The column that says whether a single reply is good, as KTO's data has it; or nothing."""
    return next((name for name in _JUDGED if isinstance(record.get(name), bool)), "")


def refuse_names(
    record: Mapping[str, object],
    fields: Mapping[str, object],
    ignored: tuple[str, ...],
    reads: _Reads,
) -> None:
    """Refuses a record whose chosen and rejected are names of replies that stand elsewhere in it.

    Args:
        fields: that were read of it.
        ignored: columns that are left unread, whatever they hold.
        reads: tries a mapping.
    """
    left = {k: x for k, x in record.items() if k not in ("chosen", "rejected", *ignored)}
    names = {name.lower() for column, x in left.items() for name in _names(column, x)}
    sides = [fields["chosen"], fields["rejected"]]
    if all(isinstance(side, str | int) and str(side).strip().lower() in names for side in sides):
        found = mapping(record, lambda guess: "choice=chosen" in guess and reads(guess))
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
    first = f"prompt={asked}," if asked else ""
    sides = [[x for x in _outer(texts) if words.search(x.lower())] for words in _SIDES]
    if all(len(paths) == 1 for paths in sides):
        yield f"{first}chosen={sides[0][0]},rejected={sides[1][0]}"
    if asked and {"chosen", "rejected"} <= columns.keys():
        yield first.rstrip(",")
    if asked and "rejected" in columns:  # a conversation and the reply that it should not have
        yield f"conversation={asked},rejected=rejected"
    replies = [
        path for path in texts if path != asked and _REPLY.search(path.split("[].")[-1].lower())
    ]
    numbers = [
        path
        for path, x in columns.items()
        if _WORTH.search(path) and isinstance(x[0] if isinstance(x, list) and x else x, int | float)
    ]
    for ends, paths in _numbered(replies):
        worths = [found for other, found in _numbered(numbers, last=False) if other == ends]
        yield from (f"{first}responses={'|'.join(paths)},{_worth(found)}" for found in worths)
        if len(paths) == 2 and not worths:
            verdicts = (path for path in columns if _VERDICT.search(path))
            yield from (f"{first}responses={'|'.join(paths)},choice={v}" for v in verdicts)
    for path in replies:
        if isinstance(columns[path], list):
            yield from (f"{first}responses={path},{_worth([other])}" for other in numbers)
            yield from (
                f"{first}responses={path},choice={c}" for c in columns if _VERDICT.search(c)
            )


def _outer(paths: list[str]) -> list[str]:
    """Those that lie in none of the others."""
    return [path for path in paths if not any(path.startswith(f"{x}[") for x in paths)]


def _asked(columns: Mapping[str, object], texts: list[str]) -> str:
    """The column of the prompt: by its name, by the name of its object, or as a conversation."""
    texts = sorted(texts, key=lambda path: -len(str(columns[path])))
    for part in (slice(None), slice(-1, None), slice(0, 1)):
        for name in _ASKED:
            if found := next(
                (x for x in texts if ".".join(x.lower().split(".")[part]) == name), ""
            ):
                return found
    return next((path for path, value in columns.items() if _ends_with_question(value)), "")


def _ends_with_question(value: object) -> bool:
    last = value[-1] if isinstance(value, list) and value else None
    return isinstance(last, Mapping) and last.get("role", last.get("from")) in ("user", "human")


def _worth(paths: list[str]) -> str:
    return f"{'ranks' if 'rank' in paths[0].lower() else 'scores'}={'|'.join(paths)}"


def _numbered(paths: list[str], *, last: bool = True) -> list[tuple[tuple[str, ...], list[str]]]:
    """Paths that differ in one number or letter, with what they differ in: `a_1`, `a_2`.

    Args:
        paths: names of columns.
        last: whether that must stand at their end.
    """
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for path in paths:
        words = re.findall(r"\d+|[A-Z]?[a-z]+|[A-Z]", path)
        for i in range(len(words) - 1 if last else 0, len(words)):
            if len(words[i]) == 1 or words[i].isdigit():
                stem = (*words[:i], "", *words[i + 1 :])
                found.setdefault(stem, {})[words[i].lower()] = path
    return [(tuple(some), list(some.values())) for some in found.values() if len(some) > 1]

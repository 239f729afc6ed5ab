"""What would read a record that no form fits, for the error that names it."""

import re
from collections.abc import Mapping

from mapl_jax.data.forms import FORMS, PROMPT, fits_form

_ABOUT_REPLY = re.compile(r"score|rating|reward|model|source|reason|feedback|(?:^|_)id$")
_SIDES = (
    re.compile(r"chosen|(?<!dis)preferred|better|winning|winner|positive|accepted|good|best"),
    re.compile(r"reject|dispreferred|worse|losing|loser|negative|bad|worst"),
)
_ONE_OF_TWO = re.compile(
    r"(?:response|answer|completion|output|reply|text)_?[abjk01]$", re.IGNORECASE
)
_VERDICT = re.compile(r"winner|choice|preference|preferred|better|label")


def hint(record: Mapping[str, object]) -> str:
    """What would read a record that no automatic form fits."""
    for name, form in FORMS.items():
        if not form.automatic and fits_form(record, form):
            return f"; these are the columns of {name}: set data.format={name}"
    if verdict := judged(record):
        return f"; {verdict!r} judges single replies (KTO's form), and pairs are needed"
    if guess := _guess(record):
        return f"; if they mean what their names say: data.columns={guess}"
    return "; or say which column is which with data.columns=prompt=COLUMN,chosen=COLUMN,..."


def judged(record: Mapping[str, object]) -> str:
    """The column that says whether a single reply is good, as KTO's data has it; or nothing."""
    return next((x for x in ("label", "kto_tag") if isinstance(record.get(x), bool)), "")


def _guess(record: Mapping[str, object]) -> str:
    """The mapping that names of columns suggest, as `data.columns` takes it; empty without one."""
    texts = [
        k for k, x in record.items() if isinstance(x, str | list) and not _ABOUT_REPLY.search(k)
    ]
    asked = next((name for name in (*PROMPT.split("/"), "history", "context") if name in texts), "")
    first = f"prompt={asked}," if asked else ""
    sides = [[name for name in texts if words.search(name)] for words in _SIDES]
    if all(len(names) == 1 for names in sides):
        return f"{first}chosen={sides[0][0]},rejected={sides[1][0]}"
    two = [name for name in texts if _ONE_OF_TWO.search(name)]
    verdict = next((name for name in record if _VERDICT.search(name)), "")
    return (
        f"{first}responses={two[0]}|{two[1]},choice={verdict}" if len(two) == 2 and verdict else ""
    )

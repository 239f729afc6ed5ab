"""Which names say that a column, or a field of a message, changes what is said."""

import functools
import re
from collections.abc import Collection, Iterator, Mapping

from mapl_jax.data.parse import BadRecord
from mapl_jax.data.tools import read_of

# Words in the name of a column, or of a field of a message, that change what is said ...
_MEANING = frozenset(
    "system sys systemprompt systemmessage sysprompt preprompt developer instruction instructions "
    "history turns dialog dialogue memory context contexts passage passages doc docs document "
    "documents tool tools function functions image images pixel media audio audios video videos "
    "reasoning think thinking thought thoughts persona prefix suffix prefill preamble steps "
    "premise paragraph paragraphs transcript evidence excerpt scenario scratchpad schema past "
    "previous chat attachment attachments knowledge background character facts examples exemplars "
    "shots fewshot demos demonstrations options choices table tables post pre profile guideline "
    "guidelines story stories retrieved starter".split()
)
# ... but for what is only about it (image_count, instruction_id_list, tool_choice).
_ABOUT = frozenset(
    "id ids idx index hash count num n length len tokens source name type kind lang language "
    "category score scores rating model fingerprint choice following version kwargs author url tag "
    "tags label labels flag flags".split()
)

# Where a model has tagged prompts so, `knowledge` is what it takes to answer one (Magpie's data).
_TAGS = frozenset("intent difficulty input_quality task_category".split())

# What messages consist of: OpenAI's, ShareGPT's and Gemini's.
_SPOKEN = ({"role", "content"}, {"from", "value"}, {"role", "parts"})


def is_missing(value: object) -> bool:
    """Whether a value says nothing: null, blank, NaN, or made of such, as text or not."""
    if isinstance(value, str):
        return value.strip() in ("", "[]", "{}", "null", "NULL", "None", "nan", "NaN", "<NA>")
    if isinstance(value, dict):
        return all(map(is_missing, value.values()))
    if isinstance(value, float):
        return value != value
    return value is None or (isinstance(value, list) and all(map(is_missing, value)))


def changes_meaning(name: str, value: object) -> bool:
    """Whether a column or a field of a message, by its name, changes what is said."""
    return _says_more(name) and not isinstance(value, bool | int | float) and not is_missing(value)


@functools.lru_cache(maxsize=1024)
def _says_more(name: str) -> bool:
    words = set(re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
    return bool(words & _MEANING and not words & _ABOUT) or "chat_template" in name.lower()


def is_tag(name: str, columns: Collection[str]) -> bool:
    """Whether a column only says of what kind a prompt is, by the columns beside it."""
    return name == "knowledge" and len(_TAGS.intersection(columns)) > 1


def refuse_meaning(fields: Mapping[str, object], owner: str) -> None:
    """Refuses an object with a field that changes what it says."""
    for field, value in fields.items():
        if changes_meaning(field, value):
            raise BadRecord(field, f"{owner} has {field!r}, which is not read; remove it")


def is_spoken(item: Mapping[str, object]) -> bool:
    """Whether an object is a message: who speaks, and what is said."""
    return any(names <= item.keys() for names in _SPOKEN)


def unread_fields(value: object) -> Iterator[str]:
    """The names of what messages, wherever in a value, hold beside a role and a content."""
    if isinstance(value, dict):
        if is_spoken(value):
            said = next(names for names in _SPOKEN if names <= value.keys())
            read = said | read_of(value.get("role"))
            yield from (k for k, v in value.items() if k not in read and not is_missing(v))
        else:
            value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from unread_fields(part)

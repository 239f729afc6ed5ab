"""Records that keep replies in a way of their own: in their last message, or those of many turns.

Amazon's models are tuned with the first: the last message holds `candidates`, each with a label.
PRISM has the second: after every turn of a user stand several replies, and the conversation goes on
from one of them; each such turn is a comparison of its own.
"""

from collections.abc import Iterable, Iterator, Mapping

from mapl_jax.data.form_table import Form
from mapl_jax.data.parse import BadRecord
from mapl_jax.data.values import by_rows
from mapl_jax.data.written import listed

Entry = tuple[str, object]


def each(entries: Iterable[Entry], form: Form | None) -> Iterator[Entry]:
    """The entries of a source, those that hold several comparisons as one entry for each."""
    for where, value in entries:
        try:
            if isinstance(value, dict) and form and form.branches in value:
                yield from _turns(where, value, form.branches)
            elif isinstance(value, dict) and _has_candidates(value.get("messages")):
                yield where, _labelled(value)
            else:
                yield where, value
        except BadRecord as bad:
            yield where, bad


def _has_candidates(messages: object) -> bool:
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, dict) and isinstance(last.get("candidates"), list)


def _labelled(record: Mapping[str, object]) -> dict[str, object]:
    """A record of Amazon's form as one with a prompt and lists of chosen and rejected replies."""
    messages = record["messages"]
    assert isinstance(messages, list)
    *asked, last = messages
    sides: dict[str, list[object]] = {"preferred": [], "non-preferred": []}
    for number, candidate in enumerate(last["candidates"], 1):
        label = candidate.get("preferenceLabel") if isinstance(candidate, dict) else None
        if label not in sides:
            raise BadRecord(
                "bad candidates",
                f"candidate {number} of its last message has the preferenceLabel {label!r}; it "
                "must be 'preferred' or 'non-preferred'",
            )
        said = {key: part for key, part in candidate.items() if key != "preferenceLabel"}
        sides[label].append([{"role": "assistant", **said}])
    if not all(sides.values()):
        raise BadRecord("bad candidates", "needs a preferred candidate and one that is not")
    others = {key: part for key, part in record.items() if key != "messages"}
    better, worse = sides.values()
    return {**others, "prompt": asked, "chosen": better, "rejected": worse}


def _turns(where: str, record: Mapping[str, object], column: str) -> Iterator[Entry]:
    """A record for each turn of a user that is answered more than once."""
    history = by_rows(listed(record[column]))
    if not isinstance(history, list) or not all(isinstance(x, dict) for x in history):
        raise BadRecord(f"bad {column}", f"{column} must be a list of messages")
    others = {key: part for key, part in record.items() if key not in (column, "conversation_id")}
    prompt: list[dict[str, object]] = []
    replies: list[dict[str, object]] = []
    count = 0
    for message in [*history, {"role": "user"}]:
        if message.get("role") != "user":
            replies.append(message)
            continue
        if len(replies) > 1:
            count += 1
            name = f"{record['conversation_id']}/{count}" if "conversation_id" in record else ""
            yield (
                f"{where}, comparison {count}",
                {
                    **others,
                    "id": name,
                    "prompt": [*prompt],
                    "responses": [reply.get("content") for reply in replies],
                    "scores": [reply.get("score") for reply in replies],
                },
            )
        if replies:
            prompt.append(_said(next((x for x in replies if x.get("if_chosen")), replies[0])))
        prompt.append(_said(message))
        replies = []
    if not count:
        raise BadRecord("no comparison", f"no turn of its {column} is answered more than once")


def _said(message: Mapping[str, object]) -> dict[str, object]:
    return {"role": message.get("role"), "content": message.get("content")}

"""Tools in a prompt: what there is to call, what was called, and what came back."""

import json
from collections.abc import Iterator, Mapping, Sequence

from mapl_jax.data.parse import BadRecord
from mapl_jax.runtime.files import parse_json

# Names of the turns that bring the result of a tool, and of those that call one (ShareGPT).
RESULTS = ("tool", "function", "observation", "ipython")
CALL = "function_call"
# What the result of a tool says of its call.
NAMES = ("name", "tool_call_id")


def fields_of(item: Mapping[str, object], part: str) -> dict[str, object]:
    """What a message says of tools, as templates read it: `tools`, `tool_calls`, the tool's name.

    Raises:
        BadRecord: its tools or calls are in no form that is known.
    """
    found: dict[str, object] = {}
    calls = item.get("tool_calls") or item.get(CALL)
    calls = item["content"] if item["role"] == CALL else calls
    if calls:
        found["tool_calls"] = [_call(call, part) for call in _objects(calls, part)]
    if item.get("tools"):
        found["tools"] = tools_of(item["tools"], part)
    if item["role"] in RESULTS:
        found |= {key: _text(item[key], part) for key in NAMES if item.get(key)}
    return found


def read_of(role: object) -> set[str]:
    """The fields of a message of some role that are read here."""
    return {"tools", "tool_calls", CALL, *(NAMES if role in RESULTS else ())}


def tools_of(value: object, part: str) -> list[dict[str, object]]:
    """The tools that there are to call, each a description with a name."""
    found = _objects(value, part)
    for tool in found:
        _name(tool, part)
    return found


def _call(call: dict[str, object], part: str) -> dict[str, object]:
    function = call.get("function", call)
    arguments = function.get("arguments", {}) if isinstance(function, dict) else None
    if isinstance(arguments, str):  # templates write them as JSON, and would do so twice
        arguments = _json(arguments or "{}", part)
    if not isinstance(arguments, dict):
        raise _bad(part)
    named = {"name": _name(call, part), "arguments": arguments}
    found = {"id": _text(call["id"], part)} if call.get("id") else {}
    return {"type": "function", "function": named, **found}


def _name(tool: dict[str, object], part: str) -> str:
    function = tool.get("function", tool)
    name = function.get("name") if isinstance(function, dict) else None
    return _text(name, part)


def _text(value: object, part: str) -> str:
    if not isinstance(value, str) or not value:
        raise _bad(part)
    return value


def _json(text: str, part: str) -> object:
    try:
        return parse_json(text)
    except ValueError:
        raise _bad(part) from None


def _objects(value: object, part: str) -> list[dict[str, object]]:
    if isinstance(value, str):
        value = _json(value, part)
    some = value if isinstance(value, list) else [value]
    found: list[dict[str, object]] = [item for item in some if isinstance(item, dict)]
    if len(found) < len(some) or not some:
        raise _bad(part)
    return found


def _bad(part: str) -> BadRecord:
    return BadRecord(
        "tools in an unknown form",
        f"{part} has tools or calls that are no objects with a 'name' (and 'arguments'), or whose "
        "names and ids are no text; write them as OpenAI does",
    )


def left_out(messages: Sequence[Mapping[str, object]], text: str) -> Iterator[str]:
    """What messages say of tools that their text lacks, in words."""
    for message in messages:
        for tool in _listed(message.get("tools")):
            if _name(tool, "") not in text:
                yield f"the tool {_name(tool, '')!r}"
        for call in _listed(message.get("tool_calls")):
            if _name(call, "") not in text:
                yield f"the call of {_name(call, '')!r}"
        if message["role"] != "tool":
            continue
        content = str(message["content"]).strip()
        shown = (content, json.dumps(content)[1:-1], json.dumps(content, ensure_ascii=False)[1:-1])
        if not any(form in text for form in shown):
            yield "the result of a tool"


def _listed(value: object) -> list[dict[str, object]]:
    return value if isinstance(value, list) else []

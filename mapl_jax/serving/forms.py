"""What requests hold and what answers say, in the forms that clients of other servers know.

A form reads a body into texts to score and says what becomes of their rewards. Nothing of a request
is more than data: it names no file, and no template of its own is run.
"""

import contextlib
import dataclasses
import difflib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence

from mapl_jax.data.fields import kind_of
from mapl_jax.data.messages import Message, messages_of, prompt_of, split_conversation, text_of
from mapl_jax.data.parse import BadRecord
from mapl_jax.runtime.errors import UserError

Body = Mapping[str, object]
Conversation = tuple[Sequence[Message], str]
Answer = Callable[[Sequence[float], Sequence[int]], object]
# What clients send beside a form's own fields: names of the model, of the request and of who asks;
# that the text is whole as it is, which it is; and that they want rewards and no probabilities.
ACTIVATIONS = ("activation", "use_activation", "softmax")
SHARED = ("model", "user", "rid", "request_id", "priority", "add_special_tokens", *ACTIVATIONS)
LABEL = "LABEL_0"  # as `transformers` calls the one label of a reward model


class Refused(UserError):
    """A request that cannot be answered: what is wrong with which field, and the HTTP status."""

    def __init__(self, message: str, field: str = "", status: int = 400):
        super().__init__(message)
        self.field, self.status = field, status


@dataclasses.dataclass(frozen=True)
class Request:
    """What a request asks for."""

    # Conversations with a response each, or texts that a chat template wrote.
    texts: Sequence[Conversation | str]
    fields: Sequence[str]  # what each of them is called in the request
    asked: str  # the field of what the responses answer
    answer: Answer  # from the rewards of the texts and their tokens to the body of the answer


@dataclasses.dataclass(frozen=True)
class Form:
    """A form of requests: its fields, and how one is read for a model of some name."""

    fields: Sequence[str]
    read: Callable[[Body, str, int], Request]


def request_of(form: Form, body: object, name: str, most: int) -> Request:
    """What a body asks for, of at most so many texts."""
    if not isinstance(body, dict):
        raise Refused(f"the body must be an object of JSON, not {kind_of(body)}")
    known = [*form.fields, *SHARED]
    for field in body:
        if field not in known:
            close = difflib.get_close_matches(field[:100], known, 1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(form.fields)}"
            raise Refused(f"unknown field {field[:100]!r}; {hint}", field[:100])
    model = body.get("model")
    if model is not None and model != name:
        raise Refused(f"there is no model {str(model)[:100]!r}; here is {name}", "model", 404)
    for field in ACTIVATIONS:
        if body.get(field):
            raise Refused(f"{field} must be false: a reward is no probability", field)
    return form.read(body, name, most)


def score(body: Body, name: str, most: int) -> Request:
    """A prompt, or the messages before an answer, and responses: rewards in their order."""
    asked = _one_of(body, "prompt", "messages")
    prompt = _prompt(body[asked], asked)
    responses = _texts(body.get("responses"), "responses", most)

    def answer(rewards: Sequence[float], tokens: Sequence[int]) -> object:
        return {"model": name, "rewards": rewards, "usage": _usage(tokens)}

    fields = [f"responses[{i}]" for i in range(len(responses))]
    return Request([(prompt, text) for text in responses], fields, asked, answer)


def rerank(body: Body, name: str, most: int) -> Request:
    """A query and documents, as Jina, Cohere and vLLM have it: the best response first."""
    prompt = _prompt(body.get("query"), "query")
    documents = body.get("documents")
    if isinstance(documents, list):  # each may be an object with its text
        documents = [it.get("text") if isinstance(it, dict) else it for it in documents]
    texts = _texts(documents, "documents", most)
    top = body.get("top_n")
    if top is not None and (type(top) is not int or top < 1):
        raise Refused("top_n must be a whole number from 1 on", "top_n")
    with_texts = body.get("return_documents", True)
    if not isinstance(with_texts, bool):
        raise Refused("return_documents must be true or false", "return_documents")

    def answer(rewards: Sequence[float], tokens: Sequence[int]) -> object:
        order = sorted(range(len(rewards)), key=lambda i: -rewards[i])[:top]
        results = [
            {
                "index": i,
                "relevance_score": rewards[i],
                **({"document": {"text": texts[i]}} if with_texts else {}),
            }
            for i in order
        ]
        return {"id": _id("rerank"), "model": name, "usage": _usage(tokens), "results": results}

    fields = [f"documents[{i}]" for i in range(len(texts))]
    return Request([(prompt, text) for text in texts], fields, "query", answer)


def classify(body: Body, name: str, most: int) -> Request:
    """Whole conversations as messages or rendered: `input` as vLLM has it, `text` as SGLang."""
    asked = _one_of(body, "input", "messages", "text")
    value = body[asked]
    texts: Sequence[Conversation | str]
    if asked == "messages":
        with _reading(asked):
            if not isinstance(value, list):
                raise BadRecord("no list", f"messages must be a list, not {kind_of(value)}")
            messages_of(value, asked)
            texts = [split_conversation(value, asked)]
    else:
        texts = _texts([value] if isinstance(value, str) else value, asked, most)

    def vllm(rewards: Sequence[float], tokens: Sequence[int]) -> object:
        data = [
            {"index": i, "label": LABEL, "probs": [reward], "num_classes": 1}
            for i, reward in enumerate(rewards)
        ]
        about = {"id": _id("classify"), "object": "list", "created": int(time.time())}
        return {**about, "model": name, "data": data, "usage": _usage(tokens)}

    def sglang(rewards: Sequence[float], tokens: Sequence[int]) -> object:
        data = [
            {"embedding": [reward], "meta_info": {"id": _id("classify"), "prompt_tokens": count}}
            for reward, count in zip(rewards, tokens, strict=True)
        ]
        return data[0] if isinstance(value, str) else data

    listed = isinstance(value, list) and asked != "messages"
    fields = [f"{asked}[{i}]" if listed else asked for i in range(len(texts))]
    return Request(texts, fields, asked, sglang if asked == "text" else vllm)


_RERANK = Form(("query", "documents", "top_n", "return_documents"), rerank)
_CLASSIFY = Form(("input", "messages", "text"), classify)
FORMS = {
    "/score": Form(("prompt", "messages", "responses"), score),
    "/rerank": _RERANK,
    "/v1/rerank": _RERANK,
    "/classify": _CLASSIFY,
    "/v1/classify": _CLASSIFY,
}


@contextlib.contextmanager
def _reading(field: str) -> Iterator[None]:
    """Names the field in which a record is bad."""
    try:
        yield
    except BadRecord as bad:
        raise Refused(str(bad).partition("; fill it in")[0], field) from None


def _one_of(body: Body, *names: str) -> str:
    """The one of some fields that is there."""
    given = [name for name in names if body.get(name) is not None]
    if len(given) == 1:
        return given[0]
    if given:
        raise Refused(f"give only one of {', '.join(given)}", given[1])
    raise Refused(f"{' or '.join(names)} is needed", names[0])


def _prompt(value: object, field: str) -> list[Message]:
    """What is answered: a text, which is a user's turn as it stands, or messages."""
    with _reading(field):
        if isinstance(value, str):
            return [Message(role="user", content=text_of(value, field))]
        if not isinstance(value, list):
            kind = "missing" if value is None else f"not {kind_of(value)}"
            raise BadRecord("no prompt", f"{field} must be text or messages; it is {kind}")
        return prompt_of(value)


def _texts(value: object, field: str, most: int) -> list[str]:
    """A list of texts with something in each."""
    if not isinstance(value, list) or not value:
        kind = "missing" if value is None else "empty" if value == [] else f"not {kind_of(value)}"
        raise Refused(f"{field} must be a list of texts; it is {kind}", field)
    if len(value) > most:
        raise Refused(
            f"{field} holds {len(value)} texts; a request may have {most} here (--max_texts)", field
        )
    found = []
    for i, text in enumerate(value):
        with _reading(f"{field}[{i}]"):
            found.append(text_of(text, f"{field}[{i}]"))
    return found


def _usage(tokens: Sequence[int]) -> dict[str, int]:
    total = sum(tokens)
    return {"prompt_tokens": total, "total_tokens": total, "completion_tokens": 0}


def _id(what: str) -> str:
    return f"{what}-{uuid.uuid4().hex}"

"""Chat templates: conversations as the text that a model reads."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from transformers import PreTrainedTokenizerBase

from mapl_jax.data.messages import Message
from mapl_jax.data.readers import BadRecord
from mapl_jax.runtime.errors import UserError

CHATML = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
# For base models. Turns are plain text; an answer ends in the eos token.
PLAIN = (
    "{%- for message in messages %}"
    "{{- message['role'] | capitalize + ': ' + message['content'] }}"
    "{%- if message['role'] == 'assistant' %}{{- eos_token }}{%- endif %}"
    "{{- '\\n\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- 'Assistant:' }}{%- endif %}"
)
# What templates that tell the model the date fall back on; today's would change tokens every day.
DATE = "26 Jul 2024"
# A conversation to try templates with: the prompt and the answer.
SAMPLE = ([Message(role="user", content="Why?")], "Because.")


def read_template(text_or_path: str) -> str:
    """A chat template from its file, or as it is.

    Raises:
        UserError: it is neither a file nor a template.
    """
    if os.path.isfile(text_or_path):
        try:
            with open(text_or_path, encoding="utf-8") as file:
                return file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"chat template {text_or_path} cannot be read: {error}") from None
    if "{" not in text_or_path:
        raise UserError(f"chat template file not found: {text_or_path}")
    return text_or_path


# What is said of every conversation anew.
_OF_A_CONVERSATION = ("messages", "add_generation_prompt", "continue_final_message")


def with_arguments(template: str, arguments: str) -> str:
    """A chat template that finds its arguments in itself, unless it is given others.

    Args:
        template: in Jinja.
        arguments: an object of JSON, such as {"enable_thinking": false}; empty for none.

    Raises:
        UserError: it is no object, or names something that the template does not know.
    """
    try:
        given = json.loads(arguments or "{}")
    except ValueError as error:
        raise UserError(f"template_args is no JSON: {arguments!r} ({error})") from None
    if not isinstance(given, dict):
        raise UserError(f"template_args must be an object of JSON, not {arguments!r}")
    code = " ".join(re.findall(r"\{[{%].*?[%}]\}", template, re.DOTALL))
    code = re.sub(r"'[^']*'|\"[^\"]*\"", "", code)
    known = set(re.findall(r"(?<![\w.])[a-z_]\w*", code)) - set(_OF_A_CONVERSATION)
    for name, value in reversed(given.items()):
        if name not in known:
            raise UserError(f"template_args: the chat template knows no argument {name!r}")
        template = (
            f"{{%- if {name} is not defined or {name} is none %}}"
            f"{{%- set {name} = {_literal(value)} %}}{{%- endif %}}{{{{- '' }}}}{template}"
        )
    return template


def _literal(value: object) -> str:
    """A value of JSON as Jinja writes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(k)}: {_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def check_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Makes sure that a template shows question and answer, or no model could learn from them.

    Raises:
        UserError: it leaves one out.
    """
    messages, response = SAMPLE
    answered = [*messages, Message(role="assistant", content=response)]
    text = render(tokenizer, answered, add_generation_prompt=False)
    for part, content in (("question", messages[0]["content"]), ("answer", response)):
        if content not in text:
            raise UserError(
                f"the chat template leaves out the {part}; it makes {text[:60]!r} of a "
                "conversation. Give another one with --config.tokenizer.chat_template=FILE"
            )


def check_prefix(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], full: str
) -> None:
    """Makes sure that an answered conversation begins with what it was before.

    Only the opening of the answer may differ.

    Raises:
        UserError: it does not.
    """
    before = render(tokenizer, messages, add_generation_prompt=False).rstrip()
    if not full.startswith(before.removesuffix(str(tokenizer.eos_token)).rstrip()):
        raise UserError(
            "the chat template writes a conversation differently once it is answered, so that its "
            f"prompt is no beginning of the whole: {full[:60]!r}...; give another one with "
            "--config.tokenizer.chat_template=FILE"
        )


def acceptance(
    tokenizer: PreTrainedTokenizerBase | None,
) -> Callable[[Sequence[Message], str], None]:
    """Makes sure that the template takes a prompt and its answer; raises `BadRecord` if not.

    Templates go by the roles, so every sequence of them is tried until it was taken once.
    """
    taken: set[tuple[str, ...]] = set()

    def accept(messages: Sequence[Message], name: str) -> None:
        roles = tuple(message["role"] for message in messages)
        if tokenizer is None or roles in taken:
            return
        answered = [*messages, Message(role="assistant", content=SAMPLE[1])]
        try:
            render(tokenizer, messages, add_generation_prompt=True)
            render(tokenizer, answered, add_generation_prompt=False)
        except UserError as error:
            given = f" (id {name})" if name else ""
            raise BadRecord("refused by the chat template", f"{error}{given}") from None
        taken.add(roles)

    return accept


def render(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, add_generation_prompt: bool
) -> str:
    """The text of a conversation; a template that knows no system role gets it in the first turn.

    Raises:
        UserError: the template refuses it.
    """

    def apply(messages: Sequence[Message]) -> str:
        return str(
            tokenizer.apply_chat_template(
                cast(list[dict[str, str]], list(messages)),
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                date_string=DATE,
            )
        )

    folded = _without_system(messages)
    try:
        if folded is None:
            return apply(messages)
        try:
            text = apply(messages)
        except Exception:  # no such role
            return apply(folded)
        # Some templates leave out a role that they do not know.
        return text if messages[0]["content"].strip() in text else apply(folded)
    except Exception as error:  # jinja raises its own kinds; a template may raise any message
        roles = ", ".join(message["role"] for message in messages)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"the chat template refuses the roles ({roles}): {reason}") from error


def _without_system(messages: Sequence[Message]) -> list[Message] | None:
    """The conversation with its system message inside the first user message."""
    if [message["role"] for message in messages[:2]] != ["system", "user"]:
        return None
    system, user, *rest = messages
    content = f"{system['content']}\n\n{user['content']}"
    return [Message(role=user["role"], content=content), *rest]

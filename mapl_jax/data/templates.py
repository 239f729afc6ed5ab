"""Chat templates: conversations as the text that a model reads."""

import os
from collections.abc import Sequence
from typing import cast

from transformers import PreTrainedTokenizerBase

from mapl_jax.data.messages import Message
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

"""Chat templates: conversations as the text that a model reads."""

import datetime
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import cast

import jinja2
import jinja2.meta

from mapl_jax.data import template_trial, tools
from mapl_jax.data.messages import ROLES, Message
from mapl_jax.data.parse import BadRecord
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.files import parse_json, reason
from mapl_jax.runtime.paths import brief
from mapl_jax.runtime.tokenizer import Tokenizer

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
# Before it where the model was trained with a beginning of text.
BEGINS = "{{- bos_token }}"
# What templates that tell the model the date fall back on; today's would change tokens every day.
DATE, _DAY = "26 Jul 2024", datetime.datetime(2024, 7, 26)
_NOW = re.compile(r"""strftime_now\(\s*(['"])(.+?)\1""")
_LONGEST = 1 << 18
# A conversation to try templates with: the prompt and the answer.
SAMPLE = ([Message(role="user", content="Why?")], "Because.")


def read_template(text_or_path: str) -> str:
    """A chat template from its file, or as it is."""
    text = text_or_path
    if os.path.isfile(text_or_path):
        try:
            with open(text_or_path, encoding="utf-8") as file:
                text = file.read(_LONGEST + 1)
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"chat template {text_or_path} cannot be read: {error}") from None
    elif "{" not in text_or_path:
        raise UserError(f"chat template file not found: {brief(text_or_path)}")
    if len(text) > _LONGEST:
        raise UserError(f"the chat template is longer than {_LONGEST} characters")
    return text


# What is said of every conversation anew, and what templates are given in any case.
_GIVEN = {
    *("messages", "add_generation_prompt", "continue_final_message", "date_string"),
    *("raise_exception", "strftime_now", "bos_token", "eos_token", "pad_token", "unk_token"),
}


def with_arguments(template: str, arguments: str) -> str:
    """A chat template that finds its arguments in itself, unless it is given others.

    Args:
        template: in Jinja.
        arguments: an object of JSON, such as {"enable_thinking": false}; empty for none.
    """
    if not arguments:
        return template
    try:
        given = parse_json(arguments)
    except ValueError as error:
        raise UserError(f"template_args is not JSON: {brief(arguments)!r} ({error})") from None
    if not isinstance(given, dict):
        raise UserError(f"template_args must be an object of JSON, not {brief(arguments)!r}")
    try:
        tree = template_trial.environment_of_templates().parse(template)
    except (jinja2.TemplateSyntaxError, RecursionError) as error:
        raise UserError(f"the chat template cannot be read: {reason(error)}") from None
    known = jinja2.meta.find_undeclared_variables(tree) - _GIVEN
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


@lru_cache
def with_date(template: str) -> str:
    """What sets the date to `DATE` before a template that reads one; else nothing."""
    if "date_string" in template:
        begins = "{%- if date_string is not defined %}{%- set date_string = "
        return f"{begins}{json.dumps(DATE)} %}}{{%- endif %}}"
    formats = sorted({found[2] for found in _NOW.finditer(template)})
    if not formats:
        return ""
    cases = "".join(
        f"{{%- {'el' if i else ''}if format == {json.dumps(x)} -%}}{_DAY.strftime(x)}"
        for i, x in enumerate(formats)
    )
    return f"{{%- macro strftime_now(format) -%}}{cases}{{%- endif -%}}{{%- endmacro -%}}"


@lru_cache
def check_bounds(template: str, specials: tuple[tuple[str, str], ...]) -> None:
    """Makes sure, in a process of its own, that a template comes to an end.

    Args:
        template: in Jinja.
        specials: names and texts of the special tokens.
    """
    own = template.removeprefix(BEGINS) in (CHATML, PLAIN)
    turns = [Message(role=ROLES[1 + i % 2], content="Why? Because. " * 40) for i in range(40)]
    system, long = Message(role="system", content="Be brief."), "Why? Because. " * 1000
    some = [turns[:1], [system, *turns[:3]], turns, [Message(role="user", content=long)]]
    values = {"date_string": DATE, "tools": None, "documents": None, **dict(specials)}
    given = json.dumps({"template": template, "conversations": some, "values": values})
    command = [sys.executable, "-P", template_trial.__file__]
    if not own and subprocess.run(command, input=given.encode(), capture_output=True).returncode:
        raise UserError(
            f"the chat template takes more than {template_trial.SECONDS} seconds or "
            f"{template_trial.MEGABYTES} MB of memory for a conversation; give another one with "
            "--config.tokenizer.chat_template=FILE"
        )


def check_template(tokenizer: Tokenizer) -> None:
    """Makes sure that a template shows question and answer, or no model could learn from them."""
    specials = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    check_bounds(str(tokenizer.chat_template), tuple(specials.items()))
    messages, response = SAMPLE
    answered = [*messages, Message(role="assistant", content=response)]
    text = render(tokenizer, answered, add_generation_prompt=False)
    for part, content in (("question", messages[0]["content"]), ("answer", response)):
        if content not in text:
            raise UserError(
                f"the chat template leaves out the {part}; it makes {text[:60]!r} of a "
                "conversation. Give another one with --config.tokenizer.chat_template=FILE"
            )


def check_prefix(tokenizer: Tokenizer, messages: Sequence[Message], full: str) -> None:
    """Makes sure that an answered conversation begins with what it was before.

    Only the opening of the answer may differ.
    """
    before = render(tokenizer, messages, add_generation_prompt=False).rstrip()
    if not full.startswith(before.removesuffix(str(tokenizer.eos_token)).rstrip()):
        raise UserError(
            "the chat template writes a conversation differently once it is answered, so that its "
            f"prompt is no beginning of the whole: {full[:60]!r}...; give another one with "
            "--config.tokenizer.chat_template=FILE"
        )


def acceptance(
    tokenizer: Tokenizer | None,
) -> Callable[[Sequence[Message], str], None]:
    """A check that raises `BadRecord` where the template refuses a prompt with its answer.

    Templates go by the roles, so each sequence of roles is rendered until it was taken once.
    """
    taken: set[tuple[str, ...]] = set()

    def accept(messages: Sequence[Message], name: str) -> None:
        roles = tuple(message["role"] for message in messages)
        calls = any(message.keys() - {"role", "content"} for message in messages)
        if tokenizer is None or (roles in taken and not calls):
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
    tokenizer: Tokenizer, messages: Sequence[Message], *, add_generation_prompt: bool
) -> str:
    """The text of a conversation; the system turn joins the first one where a template has none."""
    given = next((message["tools"] for message in messages if "tools" in message), None)
    template = str(tokenizer.chat_template)

    def apply(messages: Sequence[Message]) -> str:
        said = [{k: v for k, v in message.items() if k != "tools"} for message in messages]
        text = str(
            tokenizer.apply_chat_template(
                cast(list[dict[str, str]], said),
                tools=cast(list[dict | Callable] | None, given),
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                date_string=DATE,
                chat_template=f"{with_date(template)}{template}",
            )
        )
        if lost := next(tools.left_out(messages, text), None):
            raise BadRecord("refused by the chat template", f"it leaves out {lost}")
        return text

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
        if isinstance(error, jinja2.TemplateSyntaxError):
            place = f"line {error.lineno}"
            raise UserError(f"the chat template cannot be read, {place}: {reason}") from error
        raise UserError(f"the chat template refuses the roles ({roles}): {reason}") from error


def _without_system(messages: Sequence[Message]) -> list[Message] | None:
    """The conversation with its system message inside the first user message."""
    if [message["role"] for message in messages[:2]] != ["system", "user"]:
        return None
    system, user, *rest = messages
    content = f"{system['content']}\n\n{user['content']}"
    return [Message(role=user["role"], content=content), *rest]

"""Renders an untrusted chat template within bounds of time and memory; run as a program.

It reads an object of JSON from standard input: the template, conversations, and what else the
template is given. Errors that the template raises are ignored here: `templates` reports them.
"""

import itertools
import json
import resource
import sys
from typing import Any

from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

SECONDS, MEGABYTES, LARGEST = 3, 1024, 1 << 24


class _Generation(Extension):
    """Accepts `{% generation %}` blocks, which `transformers` uses for masks."""

    tags = {"generation"}  # noqa: RUF012  as the base class has it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(message: object) -> None:
    raise ValueError(message)


def environment_of_templates() -> ImmutableSandboxedEnvironment:
    """That of `transformers.utils.chat_template_utils`, which takes seconds to import."""
    return ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )


def main() -> None:
    """Renders all. Ends by a signal where time is over, and with a status where memory is."""
    given: dict[str, Any] = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEGABYTES << 20, MEGABYTES << 20))
    environment = environment_of_templates()
    environment.filters["tojson"] = lambda value, **options: json.dumps(value)
    environment.globals |= {"raise_exception": _refuse, "strftime_now": str}
    for messages, begins in itertools.product(given["conversations"], (True, False)):
        values = {**given["values"], "messages": messages, "add_generation_prompt": begins}
        try:
            text = environment.from_string(given["template"]).render(values)
        except MemoryError:
            raise
        except Exception:
            continue
        if len(text) > LARGEST:
            raise MemoryError


if __name__ == "__main__":
    main()

"""Writing instructions into a prompt.

Instructions are appended to the last user turn, so that the original prompt stays an exact prefix:
all prompts of a sample then share its tokens.
"""

from collections.abc import Callable, Sequence

import numpy as np

from mapl_jax import constraints
from mapl_jax.constraints.wording import ANSWERS, pick
from mapl_jax.data.messages import Message
from mapl_jax.data.samples import Constraint, Prompt
from mapl_jax.synthesis.draw import Item

# Instructions as one text. Every style leaves the sentences whole, so that they can be parsed.
Style = Callable[[Sequence[str]], str]


def _list(lead: str, mark: str) -> Style:
    """Lines that begin with a mark; `#` in the mark stands for the number."""

    def write(sentences: Sequence[str]) -> str:
        lines = [
            mark.replace("#", str(number)) + sentence
            for number, sentence in enumerate(sentences, 1)
        ]
        return "\n".join([lead, *lines] if lead else lines)

    return write


def _prose(lead: str) -> Style:
    def write(sentences: Sequence[str]) -> str:
        return " ".join([lead, *sentences] if lead else sentences)

    return write


STYLES: tuple[Style, ...] = (
    _list("", "- "),
    _list("", "* "),
    _list("", "#. "),
    _list("", ""),
    _list("Please follow these rules:", "- "),
    _list("Your answer must do all of this:", "#. "),
    _list("Requirements:", "* "),
    _list("Keep to the following:", "(#) "),
    _list("Additionally:", ""),
    _prose(""),
    _prose("Additionally, keep to this."),
    _prose("Some rules for your answer."),
    _prose("One more thing about the answer."),
    _prose("Please note the following."),
)
HELD_OUT_STYLES: tuple[Style, ...] = (
    _list("Constraints on the response:", "#) "),
    _list("When you reply, observe these points:", "+ "),
    _list("Checklist:", "[ ] "),
    _prose("Mind these conditions as well."),
    _prose("Your reply will only be accepted under these terms."),
)


class _Choices:
    """Random numbers that can be had again from the first on, so that sets are worded alike."""

    def __init__(self, rng: constraints.Random):
        self._rng = rng
        self._drawn: list[float] = []
        self._next = 0

    def again(self) -> None:
        self._next = 0

    def random(self) -> float:
        if self._next == len(self._drawn):
            self._drawn.append(self._rng.random())
        self._next += 1
        return self._drawn[self._next - 1]


def append_instructions(
    messages: Sequence[Message],
    twins: Sequence[Sequence[Item]],
    responses: tuple[str, str],
    rng: np.random.Generator,
    *,
    held_out: bool = False,
) -> list[Prompt]:
    """Appends sets of instructions to a prompt, each set giving one new prompt.

    The sets get the same style and, family by family, the same wording, as far as their arguments
    allow: prompts that are set side by side differ in what they ask and in nothing else.

    Args:
        messages: the original prompt; its last turn is the user's.
        twins: sets of instructions with the same families in the same order.
        responses: of the pair; the margins recorded are theirs.
        rng: decides style and wordings.
        held_out: use the styles and wordings kept apart for evaluation.

    Returns:
        One prompt for each set.
    """
    styles = HELD_OUT_STYLES if held_out else STYLES
    style = styles[int(rng.integers(len(styles)))]
    question = messages[-1]["content"]
    inline = rng.random() < 0.5 and question.rstrip().endswith((".", "?", "!"))
    answer = pick(ANSWERS, rng)
    # People ask for one thing politely and state the others.
    polite = int(rng.random() * len(twins[0]))
    written: list[list[Constraint]] = [[] for _ in twins]
    for place, entries in enumerate(zip(*twins, strict=True)):
        choices = _Choices(rng)
        for (family, params), made in zip(entries, written, strict=True):
            choices.again()
            text = constraints.render(
                family, params, choices, held_out=held_out, terse=place != polite, answer=answer
            )
            chosen, rejected = (constraints.margin(family, params, each) for each in responses)
            margins = [chosen, rejected]
            made.append(Constraint(id=family, params=params, text=text, margins=margins))
    prompts = []
    for made in written:
        text = style([entry["text"] for entry in made])
        # On the same line only where that reads as the next sentence.
        separator = " " if inline and "\n" not in text else "\n\n"
        turn = Message(role="user", content=f"{question}{separator}{text}")
        prompts.append(Prompt(messages=[*messages[:-1], turn], constraints=made))
    return prompts

"""Where instructions stand in a prompt, and in what form: a list or prose.

The more of a prompt stands before its instructions, the more tokens its prompts share:

| place  | where                                                   | shared                 |
|--------|---------------------------------------------------------|------------------------|
| after  | behind the request                                      | all of the prompt      |
| inside | in the request, before its last sentence or paragraph   | up to there            |
| before | in front of the request that opens a conversation       | a system message       |
| turns  | some in the user's turn before, the others behind       | up to that turn        |
| system | in a system message that opens a conversation           | what it said before    |

Where the last turn asks nothing (thanks, a remark), they are rules for all answers, in a system
message: nobody says goodbye and gives a rule in one breath.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import cast

from mapl_jax.constraints.amounts import Random
from mapl_jax.constraints.requests import Request
from mapl_jax.constraints.wording import JOINED, pick
from mapl_jax.data.messages import Message

AFTER, BEFORE, INSIDE, SYSTEM, TURNS = "after", "before", "inside", "system", "turns"
PLACES = (BEFORE, INSIDE, SYSTEM, TURNS)
"""Places that settings can give a share to; what is left stands behind the request."""

# What introduces a list, and what marks its lines; # is the number.
_LEADS = (
    "",
    "",
    "Please follow these rules:",
    "Requirements:",
    "Please stick to the following:",
    "Keep the following in mind:",
    "Some requirements:",
    "Some rules for your answer:",
)
_MARKS = ("- ", "- ", "* ", "#. ", "#. ", "(#) ", "")
_HELD_OUT_LEADS = (
    "",
    "Your answer should meet these requirements:",
    "Please observe these rules:",
    "Here is what I need:",
    "Guidelines:",
)
_HELD_OUT_MARKS = ("• ", "#) ", "+ ")
# In front of the request, a list without a lead would hang in the air.
_BEFORE_LEADS = ("Please follow these rules when you answer:", "Requirements for your answer:")
_SYSTEM_LEADS = (
    "",
    "You are a helpful assistant. Follow these rules:",
    "Follow these rules in your answer:",
    "Your answer has to follow these rules:",
)
# In an earlier turn they are rules for the answers to come.
_FROM_NOW_ON = (
    "From now on, please stick to this in all your answers.",
    "The following goes for all your answers from now on.",
    "From here on, please keep this in mind when you answer.",
)

# What one sentence of several instructions is made of: commands that end in no other sentence.
_COMMAND = re.compile(
    r"(?:Use|Don't use|Do not use|Write|Don't write|Include|Avoid|Leave|Keep|Limit|Make|Mention|Put"
    r"|Start|Begin|Don't start|Don't begin|Do not begin|End|Finish|Close|Don't end|Do not end"
    r"|Do not finish|Give|Split|Don't repeat|Don't include|Don't let"
    r"|Answer|Never use)\b[^.?!:\n]*\."
)
_NAMED = re.compile(r"\b(?:answer|response|reply)\b")
# Not behind "Mr." and the like, nor behind initials.
_LAST_SENTENCE = re.compile(
    r"(?<=[.!?])(?<!\b(?:Mr|Ms|Dr|St|Jr|Sr|vs|No)\.)(?<!\bMrs\.)(?<!\bProf\.)(?<!\b[A-Z]\.)[ ]+"
    r"(?=[A-Z\"'][^.!?\n]*[.!?]\s*$)"
)


@dataclasses.dataclass(frozen=True)
class Style:
    """How the instructions of one prompt are written down.

    Attributes:
        place: AFTER or one of PLACES.
        mark: what begins each line of a list; None for prose.
        lead: what introduces them.
        inline: prose goes on in the line of the request.
        woven: prose is one sentence, if its instructions are commands (`can_weave`).
        earlier: how many stand in the turn before, in `turns`, and what introduces them there.
        standing: they are for all answers to come.
    """

    place: str
    mark: str | None
    lead: str = ""
    inline: bool = False
    woven: bool = False
    earlier: tuple[int, str] = (0, "")
    standing: bool = False

    @property
    def is_list(self) -> bool:
        """Whether every instruction has a line of its own."""
        return self.mark is not None

    def text(self, sentences: Sequence[str]) -> str:
        """The instructions as one text; the sentences stay as they are."""
        if self.woven:
            return f"{self.lead} {_woven(sentences)}" if self.lead else _woven(sentences)
        if self.mark is None:
            return " ".join([self.lead, *sentences] if self.lead else sentences)
        lines = [
            self.mark.replace("#", str(number)) + sentence
            for number, sentence in enumerate(sentences, 1)
        ]
        return "\n".join([self.lead, *lines] if self.lead else lines)

    def put(self, messages: Sequence[Message], sentences: Sequence[str]) -> list[Message]:
        """A prompt with the instructions in their place.

        Args:
            messages: a prompt for which `draw_style` gave this style.
            sentences: the instructions.
        """
        messages, results = _asked(messages)
        found = [*self._put(messages, sentences), *results]
        if "tools" in messages[0]:
            found[0] = cast(Message, {**found[0], "tools": messages[0]["tools"]})
        return found

    def _put(self, messages: Sequence[Message], sentences: Sequence[str]) -> list[Message]:
        """`put` where the prompt ends with the user's turn."""
        *earlier, last = messages
        request = last["content"]
        if self.place == SYSTEM:
            return _with_system(messages, self.text(sentences))
        if self.place == BEFORE:
            return [*earlier, _user(f"{self.text(sentences)}\n\n{request}")]
        if self.place == INSIDE:
            head, between, tail = _parts(request)
            return [*earlier, _user(f"{head}{between}{self.text(sentences)}{between}{tail}")]
        number, lead = self.earlier
        if number:
            place = max(i for i, message in enumerate(earlier) if message["role"] == "user")
            before = earlier[place]["content"]
            between = " " if _ends(before) else "\n\n"
            text = " ".join([lead, *sentences[:number]])
            earlier = [*earlier[:place], _user(f"{before}{between}{text}"), *earlier[place + 1 :]]
            sentences = sentences[number:]
        text = self.text(sentences)
        between = " " if self.inline and "\n" not in text else "\n\n"
        return [*earlier, _user(f"{request}{between}{text}")]


def draw_style(
    messages: Sequence[Message],
    count: int,
    shares: Mapping[str, float],
    list_share: float,
    woven_share: float,
    rng: Random,
    *,
    held_out: bool = False,
) -> Style:
    """Draws how to write instructions into a prompt.

    Args:
        messages: the prompt.
        shares: place -> share of the prompts that have their instructions there. The others, and
            those that leave no room at the place drawn, have them behind the request.
        list_share: share of prompts of two instructions or more that list them.
        woven_share: share of the others that make one sentence of them, where they can.
        held_out: use the leads and marks kept apart for evaluation.
    """
    messages, _ = _asked(messages)
    place = _draw_place(messages, count, shares, rng.random())
    listed = rng.random() < list_share and count > 1 and place not in (INSIDE, TURNS)
    request = messages[-1]["content"]
    standing = not request_of(messages).asks
    if standing:
        place = SYSTEM
    # "Yes. Use a comma." would be the answer and a rule in one breath, and behind a pasted text of
    # several lines a rule would be part of it.
    ends = _ends(request) and len(request.split()) > 3 and "\n" not in request.strip()
    inline = rng.random() < 0.5 and ends and place != BEFORE
    if place == TURNS:
        earlier = 1 + int(rng.random() * (count - 1))
        return Style(place, None, inline=inline, earlier=(earlier, pick(_FROM_NOW_ON, rng)))
    if not listed:
        woven = rng.random() < woven_share and count > 1
        lead = "You are a helpful assistant." if place == SYSTEM and rng.random() < 0.5 else ""
        return Style(place, None, lead, inline, woven, standing=standing)
    mark = pick(_HELD_OUT_MARKS if held_out else _MARKS, rng)
    return Style(place, mark, pick(_leads(place, held_out), rng), standing=standing)


def request_of(messages: Sequence[Message]) -> Request:
    """What the user asks in the last turn of a prompt."""
    *earlier, last = _asked(messages)[0]
    said = [message["content"] for message in earlier if message["role"] in ("user", "assistant")]
    replies = [message["content"] for message in earlier if message["role"] == "assistant"]
    return _request(last["content"], "\n".join(said), (replies[-1:] or [""])[0])


_request = functools.lru_cache(maxsize=64)(Request)  # which keeps what it reads of itself


def can_weave(sentences: Sequence[str]) -> bool:
    """Whether instructions can be joined into one sentence."""
    return len(sentences) > 1 and all(map(_COMMAND.fullmatch, sentences))


def _woven(sentences: Sequence[str]) -> str:
    *parts, last = (sentence[0].lower() + sentence[1:-1] for sentence in sentences)
    between = ", and " if len(parts) > 1 or "," in parts[0] + last else " and "
    text = f"{', '.join(parts)}{between}{last}."
    return text[0].upper() + text[1:] if _NAMED.search(text) else JOINED + text


def _leads(place: str, held_out: bool) -> Sequence[str]:
    if held_out:
        return _HELD_OUT_LEADS[1:] if place == BEFORE else _HELD_OUT_LEADS
    return {BEFORE: _BEFORE_LEADS, SYSTEM: _SYSTEM_LEADS}.get(place, _LEADS)


def _draw_place(
    messages: Sequence[Message], count: int, shares: Mapping[str, float], drawn: float
) -> str:
    for place, share in shares.items():
        if drawn < share:
            return place if _possible(place, messages, count) else AFTER
        drawn -= share
    return AFTER


def _possible(place: str, messages: Sequence[Message], count: int) -> bool:
    first = not any(message["role"] == "assistant" for message in messages)
    if place == BEFORE:
        # A later turn answers the reply before it ("It must have ..."), and would answer the rules.
        return first
    if place == INSIDE:
        # Many would part what belongs together.
        return first and count <= 3 and _parts(messages[-1]["content"]) != ("", "", "")
    if place == SYSTEM:
        # Replies that stand there already were written without it.
        return first
    if place == TURNS:
        return count > 1 and any(message["role"] == "user" for message in messages[:-1])
    return True


def _asked(messages: Sequence[Message]) -> tuple[Sequence[Message], Sequence[Message]]:
    """A prompt up to the user's last turn, and the calls of tools and results behind it."""
    end = len(messages)
    while messages[end - 1]["role"] != "user":
        end -= 1
    return messages[:end], messages[end:]


def _parts(request: str) -> tuple[str, str, str]:
    """A request in two, with what stands between; three empty texts if it is of one piece."""
    head, between, tail = request.rpartition("\n\n")
    if head.rstrip().endswith((".", "?", "!")) and tail.strip():
        return head, between, tail
    if between:
        return "", "", ""
    match = _LAST_SENTENCE.search(request)
    return (request[: match.start()], " ", request[match.end() :]) if match else ("", "", "")


def _with_system(messages: Sequence[Message], text: str) -> list[Message]:
    first = messages[0]
    if first["role"] == "system":
        joined = f"{first['content']}\n\n{text}"
        return [Message(role="system", content=joined), *messages[1:]]
    return [Message(role="system", content=text), *messages]


def _ends(text: str) -> bool:
    return text.rstrip().endswith((".", "?", "!"))


def _user(content: str) -> Message:
    return Message(role="user", content=content)

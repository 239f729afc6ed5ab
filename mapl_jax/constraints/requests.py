"""What a request asks for, and which instructions nobody would give along with it.

A recipe in 50 characters, no digits where the question is how many, a question at the end of what
was to be a fact, a ban on what the request is about: each can be judged, and none is asked for.
Requests are read by their English words; of one in another language little is known, and little is
refused.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mapl_jax.constraints import request_words as said
from mapl_jax.constraints.amounts import LESS_THAN
from mapl_jax.constraints.base import Bounds, Demands
from mapl_jax.constraints.parameters import Params
from mapl_jax.constraints.registry import Asked, family_of, known
from mapl_jax.constraints.text.cached import cached
from mapl_jax.constraints.text.common_words import FILLERS_TO_FEW, HARDLY_FILLERS
from mapl_jax.constraints.text.statistics import view
from mapl_jax.constraints.text.words import AnyCase

_ANY: Bounds = (0, math.inf)
LENIENT, STRICT, STRICTEST = range(3)
"""How much speaks against an instruction (`unasked`)."""


# What the request has to speak of where few would mind to be asked for it, by family.
_SUITED: Mapping[str, AnyCase] = {
    "detectable_content:first_person": said.any_of(
        rf"you|your|yours|{said.ADVICE}|{said.CREATIVE}|{said.OF_ONE}"
    ),
    "detectable_content:fillers": said.any_of(
        rf"you|your|{said.OF_ONE}|{said.ADVICE}|{said.CREATIVE}|fun|like|good|why"
    ),
}
# What many are told not to begin sentences with.
_OPENERS = frozenset(f"word:{word}" for word in "i it this there the so and but".split())
# Of these nothing is asked where many parts are wanted.
_OF_TALK = tuple(
    f"detectable_content:{name}"
    for name in ("contractions", "fillers", "first_person", "second_person")
)
_ASKS_BACK = (
    "punctuation:question_marks",
    "startend:question_end",
    "scope:first_sentence_question",
)
_SENTENCE = re.compile(r"[^.?!\n]+[.?!]*")
# The least that may be the most, of an answer in many parts and of one that needs some room; and
# the least that is worth asking for as the least.
_ROOM: Mapping[str, tuple[int, int, int]] = {
    "words": (60, 25, 25),
    "characters": (400, 200, 200),
    "sentences": (3, 1, 2),
    "lines": (2, 2, 2),
    "paragraphs": (2, 1, 2),
    "length_constraints:longest_paragraph": (30, 20, 25),
}
# The smallest number that anyone asks for, as the least and as the most.
_SMALLEST: Mapping[str, Bounds] = {
    "words": (10, 5),
    "characters": (150, 150),
    "first sentence": (10, 5),
    "length_constraints:longest_sentence": (15, 9),
}
# A Chinese, Japanese or Korean answer says in so many characters what an English one says in four
# times as many.
_DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_DENSITY = 4
_QUESTION_MARKS = re.compile("[?？؟]")
_PARTS = ("first sentence", "length_constraints:longest_sentence")
# The most that anyone wants to read at least of a fact.
_FACTS: Mapping[str, int] = {"words": 80, "characters": 500, "sentences": 4, "paragraphs": 1}
# Of every answer to come, the most that is asked for as the least, and the least as the most.
_STANDING: Mapping[str, tuple[int, int]] = {
    "words": (15, 15),
    "characters": (150, 150),
    "sentences": (3, 1),
    "average sentence": (15, 10),
}
_MEASURED = frozenset((*_ROOM, *_SMALLEST, *_FACTS, *_STANDING))
_OF_A_TOPIC = (
    *_PARTS,
    "paragraphs",
    "length_constraints:longest_paragraph",
    "numbers",
    "examples",
    "hedges",
    "opinions",
    "duties",
    "reasons",
    "contrasts",
)
# What `Request._unsaid` is about, where it is wanted.
_SAID = frozenset(
    (
        *("fillers", "contractions", "first person", "second person", "character:!"),
        *_PARTS,
        *_OF_A_TOPIC,
    )
)


@dataclass(frozen=True)
class Request:
    """What a user asks in the last turn of a conversation.

    Attributes:
        last: the user's last turn.
        earlier: what both said before.
        reply: what that turn answers; empty where it opens the conversation.
    """

    last: str
    earlier: str = ""
    reply: str = ""

    @cached
    def said(self) -> str:
        """All that was said so far."""
        return f"{self.earlier}\n{self.last}" if self.earlier else self.last

    @cached
    def asks(self) -> bool:
        """Whether there is something to answer: not thanks, goodbye, or a remark in passing."""
        if said.DISTRESS.found(self.last):
            return False
        if _QUESTION_MARKS.search(self.last) or not self.reply:
            return True
        if said.REQUEST.found(self.last) or said.ASKING.found(self.last):
            return said.ORDER.found(self.last) or not said.CLOSING.found(self.last)
        asked_back = _QUESTION_MARKS.search(self.reply[-200:]) is not None
        return asked_back and not said.CLOSING.found(self.last)

    def unasked(self, demands: Demands, strictness: int = STRICT) -> str | None:
        """Why nobody would ask for this with the request; None if nothing speaks against it."""
        bounds = demands.bounds
        if not self.asks and demands.of_a_topic:
            return "there is no topic"
        if strictness < STRICT:
            return None if self._fact else self._too_little(bounds)
        numbers = bounds.get("numbers", _ANY)
        if numbers[1] == 0 and self._numbers:
            return "the answer is a number"
        if self._yes_or_no and any(
            name.startswith("first word is ") and value is True
            for name, value in demands.values.items()
        ):
            return "it would be the answer"
        asks_back = demands.values.get("ends with ?") or bounds.get("character:?", _ANY)[0] > 0
        fact = self._fact and not self._yes_or_no
        if asks_back and (fact or self._listed):
            return "there is nothing to ask back"
        reason = self._unsaid(demands)
        if reason is None and not _MEASURED.isdisjoint(bounds):
            reason = self._too_little(bounds)
        return self._banned(bounds) if reason is None else reason

    def _unsaid(self, demands: Demands) -> str | None:
        """Why the answer has no reason to say such things."""
        wanted, bounds = demands.wanted, demands.bounds
        if (
            wanted.isdisjoint(_SAID)
            and "examples" not in bounds
            and "first sentence" not in demands.about
        ):
            return None
        if (
            self._fact
            and not self._yes_or_no
            and not wanted.isdisjoint(("hedges", "duties", "reasons"))
        ):
            return "a fact is as it is"
        if "opinions" in wanted and (self._listed or not self._opinion):
            return "there is nothing to think of it"
        if (
            (self._sized and not wanted.isdisjoint(("first person", "second person")))
            or ("first person" in wanted and (self._listed or not self._of_the_answerer))
            or ("second person" in wanted and not self._of_the_asker)
        ):
            return "it is of no person"
        if "contractions" in wanted and (
            self._listed or self._grave or (self._fact and not self._yes_or_no)
        ):
            return "it is no chat"
        if "examples" in bounds and self._fact:
            return "a fact has no examples"
        if not wanted.isdisjoint(("fillers", "character:!")) and self._grave:
            return "it is a grave matter"
        if not self.asks and "first sentence" in demands.about:
            return "any answer is meant"
        if bounds.get("examples", _ANY)[1] == 0 and self._exemplified:
            return "examples are what it asks for"
        if self._fact and not wanted.isdisjoint(_PARTS):
            return "the answer is short"
        if not self.asks and not wanted.isdisjoint(_OF_A_TOPIC):
            return "there is no topic"
        return None

    def _too_little(self, bounds: Mapping[str, Bounds]) -> str | None:
        for name, (low, high) in bounds.items():
            if name not in _MEASURED:
                continue
            if name in _ROOM and self._sized:
                return "it says how long the answer is to be"
            if name == "characters" and self._dense:
                low, high = low * _DENSITY, high * _DENSITY
            least, most = _SMALLEST.get(name, (0, 0))
            if 0 < low < least or high < most:
                return f"nobody counts so few {name}"
            least_of_all, most_of_all = _STANDING.get(name, (math.inf, 0))
            if not self.asks and (low > least_of_all or high < most_of_all):
                return f"not every answer has so many {name}"
            if self._fact and low > _FACTS.get(name, math.inf):
                return f"a fact needs no {low:g} {name}"
            if name not in _ROOM or not (self._listed or self._broad or self._roomy):
                continue
            of_many, of_some, worth = _ROOM[name]
            if high < (of_many if self._listed else of_some):
                return f"it needs more {name} than {high:g}"
            if 0 < low < worth and (self._listed or self._broad):
                return f"of {name} it has more than {low:g} in any case"
        return None

    def _banned(self, bounds: Mapping[str, Bounds]) -> str | None:
        for name, (_, high) in bounds.items():
            if high != 0 or not name.startswith("word:"):
                continue
            word = name.removeprefix("word:")
            if view(self.last).has_form(word):
                return f"it speaks of {word!r}"
            if word in HARDLY_FILLERS:
                return f"nobody minds {word!r}"
        return None

    def suits(self, family: str, params: Params, demands: Demands) -> bool:
        """Whether many would ask for it; `unasked` says what nobody would."""
        if family == "startend:sentence_opening":
            return not _OPENERS.isdisjoint(demands.about)
        if family == "keywords:forbidden_words":
            return FILLERS_TO_FEW.isdisjoint(name.removeprefix("word:") for name in demands.bounds)
        if params.get("negated") or params.get("relation") == LESS_THAN:
            return True
        # What an answer says twice, it speaks of.
        if family != "keywords:frequency" and not all(
            view(self.said).has_form(word) for word in demands.phrases
        ):
            return False
        fact = self._fact and not self._yes_or_no
        if family in _ASKS_BACK and (self._waits or self._listed or fact):
            return False
        if family in _OF_TALK and (self._listed or (family == _OF_TALK[0] and self._grave)):
            return False
        pattern = _SUITED.get(family)
        return pattern is None or pattern.found(self._bare)

    @cached
    def _waits(self) -> bool:
        """Whether the user has answered a question, or insists, and waits for the answer."""
        answered = "?" in self.reply[-200:] and "?" not in self.last
        return answered or self.earlier.count("?\n") > 3

    @cached
    def _grave(self) -> bool:
        return said.SERIOUS.found(self.said[-2000:])

    @cached
    def _sized(self) -> bool:
        return said.SIZED.found(self.last)

    @cached
    def _dense(self) -> bool:
        return _DENSE.search(self.last) is not None

    @cached
    def _listed(self) -> bool:
        return said.LISTED.found(self.last)

    @cached
    def _broad(self) -> bool:
        return said.BROAD.found(self.last)

    @cached
    def _numbers(self) -> bool:
        return said.NUMBERS.found(self.last)

    @cached
    def _of_the_answerer(self) -> bool:
        return said.TO_THE_ANSWERER.found(self._matter)

    @cached
    def _of_the_asker(self) -> bool:
        return said.TO_THE_ASKER.found(self._matter) or said.HOW_TO.found(self.last)

    @cached
    def _opinion(self) -> bool:
        return said.OPINION.found(self.last)

    @cached
    def _matter(self) -> str:
        """The question without what is said for the sake of asking."""
        return said.FRAME.sub("", self._question)

    @cached
    def _bare(self) -> str:
        """The last turn without what is said for the sake of asking ("can you tell me")."""
        return said.FRAME.sub("", self.last)

    @cached
    def _exemplified(self) -> bool:
        several = self._listed or self._broad or self._roomy
        return several or said.SEVERAL.found(self.last)

    @cached
    def _roomy(self) -> bool:
        return not self._fact and said.ROOMY.found(self.last)

    @cached
    def _question(self) -> str:
        """The last sentence that asks, or the first one."""
        found = [each.strip() for each in _SENTENCE.findall(self.last)]
        asking = [each for each in found if each.endswith("?")]
        return (asking[-1:] or found[:1] or [""])[0]

    @cached
    def _yes_or_no(self) -> bool:
        return said.YES_OR_NO.match(self._question) is not None

    @cached
    def _fact(self) -> bool:
        return self._yes_or_no or said.FACT.found(self._question)


def unasked(id: str, params: Params, request: Request, strictness: int = STRICT) -> str | None:
    """Why nobody would ask for this with a request; None if nothing speaks against it.

    Args:
        strictness: LENIENT: refuses only what the answer cannot have; STRICT: also what nobody asks
            for there; STRICTEST: also what few do.

    Raises:
        ValueError: unknown id.
    """
    return unasked_of(known(family_of(id), params), request, strictness)


def unasked_of(one: Asked, request: Request, strictness: int) -> str | None:
    """`unasked` of a constraint that is made ready (`asked`)."""
    reason = request.unasked(one.demands, strictness)
    if (
        reason is None
        and strictness > STRICT
        and not request.suits(one.family.id, one.params, one.demands)
    ):
        return "few would ask for it there"
    return reason

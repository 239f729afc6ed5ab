"""How long the answer is: words, sentences, paragraphs.

Mended against IFEval: "e.g." and the like end no sentence; blank paragraphs are left out before the
nth is looked up, and marks around its first word (**Then**) do not count.
"""

from mapl_jax.constraints.base import Demands, Family, Wordings
from mapl_jax.constraints.parameters import NEGATION, Number, Params
from mapl_jax.constraints.shapes import Bound, Count
from mapl_jax.constraints.text.statistics import Text


class WordRange(Family):
    """Number of words between two bounds, both included; as `negated`, outside of them."""

    low = Number("min_words", slot="low")
    high = Number("max_words", slot="high")
    parameters = (low, high, NEGATION)

    def agree(self, params: Params) -> bool:
        """Whether min_words <= max_words."""
        return self.low.of(params) <= self.high.of(params)

    def measure(self, params: Params, text: Text) -> float:
        """Distance to the nearer bound."""
        count = len(text.words)
        inside = float(min(count - self.low.of(params), self.high.of(params) - count))
        return -inside - 1 if NEGATION.of(params) else inside

    def derive(self, kept, broken, rng):
        """A range around one side that leaves out the other."""
        inside = sorted(len(text.words) for text in kept)
        outside = sorted(len(text.words) for text in broken)
        negated = not inside or (bool(outside) and rng.random() < 0.3)
        if not inside and outside and rng.random() < 0.5:
            # A plain range that starts above or ends below the texts to break.
            low = int(outside[-1] * (1.05 + 0.3 * rng.random())) + 1
            return {"min_words": low, "max_words": low + max(10, low // 4)}
        if negated:
            inside, outside = outside, inside
        if not inside:
            inside = [int(30 + 170 * rng.random())]
        low, high = inside[0], inside[-1]
        if any(low <= count <= high for count in outside):
            return None
        floor = max((count + 1 for count in outside if count < low), default=1)
        ceiling = min((count - 1 for count in outside if count > high), default=2 * high + 10)
        slack = 3 + int((0.1 + 0.25 * rng.random()) * high)
        low, high = max(floor, 1, low - slack), min(ceiling, high + slack)
        low, high = _rounded(low, inside[0], True), _rounded(high, inside[-1], False)
        params: Params = {"min_words": low, "max_words": max(high, 1)}
        return params | {"negated": True} if negated else params

    def demands(self, params: Params) -> Demands:
        """Bounds on words, for the plain form."""
        if NEGATION.of(params):
            return Demands()
        return Demands(bounds={"words": (self.low.of(params), self.high.of(params))})


def _rounded(bound: int, count: int, upwards: bool) -> int:
    """The bound moved towards `count` to a multiple of 10 or 5, if there is one before it."""
    for step in (10, 5):
        moved = -(-bound // step) * step if upwards else bound // step * step
        if moved > 0 and (moved <= count if upwards else moved >= count):
            return moved
    return bound


FAMILIES: tuple[Family, ...] = (
    Count(
        "length_constraints:number_words",
        lambda text: len(text.words),
        ("word", "words"),
        number_key="num_words",
        quantity="words",
        beyond_ifeval=False,
        train=(
            "Answer in {amount}.",
            "Keep {answer} to {amount}.",
            "The length of {answer} should be {amount}.",
            "Limit yourself to {amount}.",
        ),
        held_out_wordings=("I need {answer} to run to {amount}.", "Aim for a length of {amount}."),
    ),
    Count(
        "length_constraints:number_sentences",
        lambda text: text.sentences,
        ("sentence", "sentences"),
        number_key="num_sentences",
        quantity="sentences",
        beyond_ifeval=False,
        train=(
            "Answer in {amount}.",
            "{Answer} should be {amount} long.",
            "Write {amount}.",
            "Form {amount} in total.",
        ),
        held_out_wordings=("Put {answer} into {amount}.", "Aim for a text of {amount}."),
    ),
    Count(
        "length_constraints:characters",
        lambda text: len(text.stripped),
        ("character", "characters"),
        quantity="characters",
        train=(
            "Answer in {amount}, spaces included.",
            "Keep {answer} to {amount}, counting spaces.",
            "The length of {answer} should be {amount}.",
        ),
        held_out_wordings=("I need {answer} to run to {amount}.", "Aim for a length of {amount}."),
    ),
    Bound(
        "length_constraints:longest_sentence",
        lambda text: max(text.sentence_lengths, default=0),
        less=(
            (
                "No sentence may have {number} or more words.",
                "Keep every sentence of {answer} below {number} words.",
                "Each sentence of {answer} should have fewer than {number} words.",
                "Write sentences of less than {number} words only.",
                "All sentences must be shorter than {number} words.",
                "Do not let any sentence reach {number} words.",
            ),
            (
                "I do not want to read a sentence of {number} words or more.",
                "Under {number} words is where each sentence has to stay.",
            ),
        ),
        more=(
            (
                "At least one sentence must have {number} or more words.",
                "Let some sentence of {answer} reach {number} words.",
                "Include a sentence of at least {number} words.",
                "Write one sentence or more with no fewer than {number} words.",
                "{Answer} needs a sentence that is {number} words long or longer.",
                "Make at least one sentence {number} words long or longer.",
            ),
            (
                "I want to read a sentence of {number} words or more.",
                "Up to {number} words or beyond is where one sentence has to go.",
            ),
        ),
    ),
    Bound(
        "length_constraints:shortest_sentence",
        lambda text: min(text.sentence_lengths, default=0),
        less=(
            (
                "At least one sentence must have fewer than {number} words.",
                "Let some sentence of {answer} stay below {number} words.",
                "Include a sentence of less than {number} words.",
                "Write one sentence or more with under {number} words.",
                "{Answer} needs a sentence that is shorter than {number} words.",
                "Make at least one sentence shorter than {number} words.",
            ),
            (
                "I want to read a sentence of fewer than {number} words.",
                "Under {number} words is where one sentence has to stay.",
            ),
        ),
        more=(
            (
                "Every sentence must have {number} or more words.",
                "Each sentence of {answer} should reach {number} words.",
                "Write only sentences of at least {number} words.",
                "No sentence may have fewer than {number} words.",
                "All sentences of {answer} need {number} words or more.",
                "Do not let any sentence stay below {number} words.",
            ),
            (
                "I do not want to read a sentence of fewer than {number} words.",
                "Up to {number} words or beyond is where each sentence has to go.",
            ),
        ),
    ),
    Count(
        "length_constraints:first_sentence",
        lambda text: text.sentence_lengths[0] if text.sentence_lengths else 0,
        ("word", "words"),
        quantity="first sentence",
        generic_wordings=False,
        train=(
            "The first sentence should have {amount}.",
            "Open {answer} with a sentence of {amount}.",
            "Let the first sentence of {answer} be one of {amount}.",
            "Use {amount} in the first sentence.",
            "{Answer} must begin with a sentence of {amount}.",
            "Write {amount} in your first sentence.",
        ),
        held_out_wordings=(
            "I would like {amount} in the sentence that comes first.",
            "Start off with a sentence that runs to {amount}.",
        ),
    ),
    Count(
        "length_constraints:distinct_words",
        lambda text: len(text.word_counts),
        ("different word", "different words"),
        quantity="distinct words",
        # Close to a type of IFBench, which is for evaluation only.
        held_out=True,
    ),
    WordRange(
        "length_constraints:word_range",
        [
            Wordings(
                (
                    "Write between {low} and {high} words.",
                    "{Answer} should have from {low} to {high} words.",
                    "Keep {answer} between {low} and {high} words long.",
                    "Use {low} to {high} words.",
                    "The number of words should lie between {low} and {high}.",
                    "Answer in {low} to {high} words.",
                ),
                (
                    "A length from {low} up to {high} words is required.",
                    "Stay within {low} and {high} words.",
                ),
            ),
            Wordings(
                (
                    "The number of words should not lie between {low} and {high}.",
                    "Do not write between {low} and {high} words.",
                    "{Answer} should not have from {low} to {high} words.",
                    "Avoid a length of {low} to {high} words.",
                    "Write fewer than {low} or more than {high} words.",
                    "{Answer} must be shorter than {low} words or longer than {high} words.",
                ),
                (
                    "Stay out of the range from {low} to {high} words.",
                    "A length from {low} up to {high} words is not allowed.",
                ),
                {"negated": True},
            ),
        ],
        # Close to a type of IFBench, which is for evaluation only.
        held_out=True,
    ),
)

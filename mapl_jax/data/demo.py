"""A preference set made by rule, so that everything can be tried with nothing to download.

Questions are about everyday skills. The better answer gives what was asked for, from a small table
of facts; the worse one is vague, evasive, beside the point, contradictory or rude. Both sides pass
through the same formats (bullets, questions, capitals, postscripts, ...), and either side is the
longer one about half of the time, so that neither length nor format tells which is better.
"""

import dataclasses
import hashlib
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mapl_jax.data.normalize import Pair
from mapl_jax.data.records import Message

SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class _Topic:
    name: str
    tools: str
    first: str
    second: str
    mistake: str
    time: str
    gain: str


_TEXTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_TOPICS = tuple(_Topic(*fields) for fields in _TEXTS["topics"])
_FACTS = _TEXTS["facts"]
_FAILINGS = ("vague", "evasive", "rude", "contrary")


def make_pairs(n: int, seed: int = 0, split: str = "train") -> list[Pair]:
    """Makes demonstration pairs. Pair i depends on (seed, split, i) only.

    Args:
        seed: another seed gives other pairs.
        split: "train" or "test"; no first user turn occurs in both, whatever the seeds.

    Returns:
        Pairs as `read_pairs` gives them; about one in six has several turns.

    Raises:
        ValueError: n is negative or the split is unknown.
    """
    if n < 0:
        raise ValueError(f"n must not be negative, not {n}")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
    return [_make_pair(index, seed, split) for index in range(n)]


def _make_pair(index: int, seed: int, split: str) -> Pair:
    name = f"demo-{split}-{seed}-{index}"
    rng = np.random.default_rng(_digest(name))
    topic, kind, question = _first_turn(rng, split)
    prompt = [Message(role="user", content=question)]
    if rng.random() < 0.17:
        reply = " ".join(_better(topic, kind, 1 + int(rng.integers(2)), rng))
        kind = _pick([other for other in _TEXTS["questions"] if other != kind], rng)
        prompt.append(Message(role="assistant", content=reply))
        prompt.append(Message(role="user", content=_pick(_TEXTS["follow_ups"][kind], rng)))
    chosen_is_longer = index % 2 == 0
    # Often both answers are brief, so that small numbers of words tell them apart too.
    share_of_brief = 0.8 if rng.random() < 0.4 else 0.1
    while True:
        counts = np.where(rng.random(2) < share_of_brief, 0, rng.integers(1, 4, size=2)).tolist()
        chosen = _format(_better(topic, kind, counts[0], rng), topic, rng)
        rejected = _format(_worse(topic, counts[1], rng), topic, rng)
        sizes = len(chosen.split()), len(rejected.split())
        if sizes[0] != sizes[1] and (sizes[0] > sizes[1]) == chosen_is_longer:
            break
    return Pair(id=name, prompt=prompt, chosen=chosen, rejected=rejected, margin=0.0)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _pick(options, rng: np.random.Generator):
    return options[int(rng.integers(len(options)))]


def _first_turn(rng: np.random.Generator, split: str) -> tuple[_Topic, str, str]:
    """A topic, what is asked about it, and the question; a hash of the question is its split."""
    while True:
        topic = _pick(_TOPICS, rng)
        kind = _pick(tuple(_TEXTS["questions"]), rng)
        question = _fill(_pick(_TEXTS["questions"][kind], rng), topic)
        context = _pick(_TEXTS["contexts"], rng)
        if context:
            question = f"{context} {question}" if rng.random() < 0.5 else f"{question} {context}"
        if (_digest(question) % 5 == 0) == (split == "test"):
            return topic, kind, question


def _fill(template: str, topic: _Topic) -> str:
    fields = dataclasses.asdict(topic)
    capitals = {f"{name}_capital": text[0].upper() + text[1:] for name, text in fields.items()}
    return template.format(**fields, **capitals)


def _draw(templates: Sequence[str], count: int, topic: _Topic, rng) -> list[str]:
    order = rng.permutation(len(templates))[:count]
    return [_fill(templates[int(place)], topic) for place in order]


def _better(topic: _Topic, kind: str, count: int, rng: np.random.Generator) -> list[str]:
    """Facts that answer the question, then facts about its surroundings; brief with count 0."""
    if not count:
        return _draw(_TEXTS["brief"][kind], 1, topic, rng)
    direct = _draw(_FACTS[kind], min(count, 2 + int(rng.integers(2))), topic, rng)
    related = [other for other in _FACTS if other != kind]
    while len(direct) < count:
        direct += _draw(_FACTS[_pick(related, rng)], 1, topic, rng)
    return list(dict.fromkeys(direct))


def _worse(topic: _Topic, count: int, rng: np.random.Generator) -> list[str]:
    """Sentences of one failing, now and then with a second one mixed in; brief with count 0."""
    if not count:
        if rng.random() < 0.6:
            return _draw(_TEXTS["brief_worse"], 1, topic, rng)
        other = _pick([entry for entry in _TOPICS if entry is not topic], rng)
        return _draw(_TEXTS["brief"][_pick(tuple(_FACTS), rng)], 1, other, rng)
    sentences: list[str] = []
    failing = int(rng.integers(5))
    while len(sentences) < count:
        if failing == len(_FAILINGS):  # Beside the point: facts about something else.
            other = _pick([entry for entry in _TOPICS if entry is not topic], rng)
            sentences += _draw(_FACTS[_pick(tuple(_FACTS), rng)], 1, other, rng)
        else:
            sentences += _draw(_TEXTS[_FAILINGS[failing]], count - len(sentences), topic, rng)
        if rng.random() < 0.3:
            failing = int(rng.integers(5))
    return list(dict.fromkeys(sentences))


def _format(sentences: list[str], topic: _Topic, rng: np.random.Generator) -> str:
    """Puts sentences in one of many forms; the forms know nothing of better and worse."""
    sentences = list(sentences)
    brief = len(sentences[0].split()) < 10 and len(sentences) == 1
    if rng.random() < (0.1 if brief else 0.3):
        sentences.insert(0, _fill(_pick(_TEXTS["openings"], rng), topic))
    if rng.random() < (0.1 if brief else 0.35):
        sentences.append(_pick(_TEXTS["closings"], rng))
    if rng.random() < 0.15:
        sentences = [sentence.replace(",", "") for sentence in sentences]
    if rng.random() < 0.12:
        sentences = [
            sentence.removesuffix(".") + "!" * sentence.endswith(".") for sentence in sentences
        ]
    if rng.random() < 0.2:
        sentences = [_emphasize(sentence, rng) for sentence in sentences]
    text = _lay_out(sentences, rng)
    if rng.random() < 0.06:
        text = f"<<{topic.name.title()}>>\n\n{text}"
    if rng.random() < 0.07:
        text = f"{text}\n\nP.S. {_pick(_TEXTS['postscripts'], rng).capitalize()}."
    return _change_case(text, rng)


def _emphasize(sentence: str, rng: np.random.Generator) -> str:
    """Sets one word in capitals or between asterisks."""
    words = sentence.split()
    place = int(rng.integers(len(words)))
    if words[place].isalpha():
        words[place] = words[place].upper() if rng.random() < 0.6 else f"*{words[place]}*"
    return " ".join(words)


def _lay_out(sentences: list[str], rng: np.random.Generator) -> str:
    draw = rng.random()
    if draw < 0.25 and len(sentences) > 1:
        mark = _pick(("*", "-"), rng)
        return "\n".join(f"{mark} {sentence}" for sentence in sentences)
    if draw < 0.30 and len(sentences) > 1:
        return "\n".join(f"{number}. {sentence}" for number, sentence in enumerate(sentences, 1))
    if draw < 0.44 and len(sentences) > 1:
        cut = int(rng.integers(1, len(sentences)))
        return f"{' '.join(sentences[:cut])}\n\n{' '.join(sentences[cut:])}"
    return " ".join(sentences)


def _change_case(text: str, rng: np.random.Generator) -> str:
    draw = rng.random()
    if draw < 0.07:
        return text.lower()
    if draw < 0.14:
        return text.upper()
    if draw < 0.18:
        return f'"{text}"'
    return text

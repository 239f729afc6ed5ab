"""A preference set made by rule, so that everything can be tried with nothing to download.

Questions are about everyday skills. The better answer gives what was asked for, from a small table
of facts; the worse one is vague, evasive, beside the point, contradictory or rude. Both sides pass
through the same formats (bullets, questions, capitals, postscripts, ...), and either side is the
longer one about half of the time, so that neither length nor format tells which is better.
"""

import dataclasses
import hashlib

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


# name | what you need | first step | next step | common mistake | how long | what you gain
_TABLE = """
baking bread|strong flour, salt and yeast|mix the dough and rest it for one hour|
    fold it twice and bake it very hot|adding too much flour|about 4 hours|
    a crisp loaf for little money
growing tomatoes|a deep pot and a sunny wall|sow the seeds indoors in March|
    plant them out after the last frost|watering the leaves|roughly 90 days|
    fruit with real flavour
learning chess|a board and a friend|study how each piece moves|solve 5 small puzzles a day|
    bringing the queen out early|2 or 3 months|patience and a sharper eye
fixing a flat tyre|two levers, a patch and a pump|take the wheel off the bike|
    find the hole in a bowl of water|forgetting to check for glass|20 minutes|
    a ride home without help
brewing coffee|fresh beans and a grinder|grind the beans just before brewing|
    pour the water slowly in circles|using boiling water|5 minutes|
    a sweet cup with no bitterness
keeping bees|a hive, a veil and a smoker|visit a local keeper in spring|
    inspect the frames every 7 days|opening the hive in the rain|one full season|
    honey and better harvests nearby
running a race|good shoes and a simple plan|walk and jog in turns|add one kilometre every week|
    starting much too fast|8 weeks|a strong heart and deep sleep
playing the guitar|a tuned guitar and a pick|learn the chords of G, C and D|
    change chords with a slow beat|pressing the strings too hard|3 months|
    songs for every campfire
knitting a scarf|thick wool and two needles|cast on 30 loose stitches|
    knit every row until it is long enough|pulling the yarn tight|two weekends|
    a warm gift and calm evenings
painting a room|a roller, tape and two coats of paint|wash the walls and tape the edges|
    paint from the window inwards|skipping the primer|one long day|a fresh room at low cost
sleeping better|a dark room and a fixed bedtime|put the phone away at 9|
    keep the bedroom cool and quiet|drinking coffee after lunch|about 10 nights|clear mornings
saving money|a notebook and a second account|write down every expense for a month|
    move 10 percent away on payday|saving only what is left over|half a year|
    a cushion against bad luck
writing a letter|paper, a pen and a quiet hour|name the reason in the first line|
    tell one small story|trying to sound clever|40 minutes|a reader who feels remembered
taking photographs|any camera and morning light|move closer to the subject|
    place the horizon on a third|standing in one spot|a few weekends|pictures worth printing
making soup|an onion, stock and a heavy pot|soften the onion in butter|
    add the stock and simmer gently|salting before it reduces|45 minutes|
    a warm meal for 4 people
training a puppy|small treats and a short lead|reward it the moment it sits|
    practise in 3 tiny lessons a day|shouting after an accident|6 weeks|a dog that trusts you
learning Spanish|a phrase book and a radio station|learn 20 common verbs|
    speak aloud with a partner on Fridays|memorising long word lists|one year|
    friends in 20 countries
building a shelf|a board, brackets and a level|mark the height with a pencil|
    drill into the wall and use plugs|trusting your eye for level|2 hours|room for 30 books
swimming laps|goggles and a quiet lane|breathe out under the water|
    glide for a moment after each stroke|lifting the head to breathe|10 lessons|
    a back without pain
planning a hike|a map, water and dry socks|choose a loop shorter than 12 kilometres|
    tell a friend when you will return|leaving after noon|one evening|views without worry
making compost|peelings, dry leaves and a bin|layer green scraps over brown leaves|
    turn the heap once a month|adding meat or oil|about 6 months|dark soil for free
drawing faces|soft pencils and a mirror|sketch an egg with a centre line|
    place the eyes half way down|starting with the lashes|30 sketches|
    a likeness that surprises people
giving a speech|3 points and one clear card|write the last sentence first|
    rehearse standing up with a clock|reading from the slides|a week|listeners who remember
repairing a sweater|matching yarn and a blunt needle|catch the loose stitches with a pin|
    weave across the hole both ways|cutting the frayed ends|one hour|ten more winters of use
cleaning windows|vinegar, water and a rubber blade|wipe off the dust with a dry cloth|
    pull the blade from top to bottom|working in direct sun|15 minutes a window|
    light without streaks
choosing a bicycle|a tape measure and a test ride|measure the inside of your leg|
    try 3 sizes on a hill|buying a frame that is too large|two afternoons|comfort on long roads
raising chickens|a dry coop and a strong fence|begin with 3 young hens|
    lock the door every night|building beside a fox path|5 months|fresh eggs each morning
learning to juggle|three soft balls and a bed to stand at|throw one ball from hand to hand|
    add the second when the first peaks|passing instead of throwing|4 evenings|
    quick hands and laughter
reading more books|a library card and a lamp|leave a book on your pillow|
    read 15 pages before breakfast|finishing books you dislike|one month|a calmer mind
cooking rice|a lid, a pot and long grain rice|rinse the rice until the water is clear|
    simmer it covered for 12 minutes|stirring while it cooks|25 minutes|
    separate and tender grains
pruning roses|sharp shears and thick gloves|cut the dead wood in February|
    slant each cut above a bud|leaving blunt torn ends|half an hour|twice as many flowers
packing a suitcase|a list and 4 light bags|lay everything out on the bed|
    roll the shirts and leave a third behind|packing for every weather|30 minutes|
    a bag you can carry upstairs
playing the drums|two sticks and a rubber pad|count to four out loud|play with a slow metronome|
    speeding up in the loud parts|half a year|a steady sense of time
making candles|soy wax, wicks and old jars|melt the wax in a water bath|pour it at 60 degrees|
    moving the jar while it sets|one afternoon|gentle light and cheap gifts
watching birds|binoculars and a small notebook|sit still near water at dawn|
    note size, colour and song|wearing bright clothes|3 quiet mornings|
    a reason to walk every day
starting a podcast|a microphone and a closet full of coats|record one test of 5 minutes|
    cut every long pause|buying gear before having a topic|6 episodes|a voice that carries
organising a desk|one tray and a paper bin|empty the desk completely|
    return only what you used this week|keeping papers just in case|50 minutes|space to think
learning to dance|flat shoes and a patient partner|step in place with the beat|
    learn one turn to each side|looking at your feet|8 classes|joy at every wedding
fermenting cabbage|salt, cabbage and a clean jar|slice it thin and weigh out 2 percent salt|
    press it under its own juice|leaving leaves above the liquid|3 weeks|sour crunch all winter
sharpening knives|a wet stone and a towel|hold the blade at 15 degrees|
    count 10 strokes on each side|changing the angle|20 minutes|safer and cleaner cuts
making friends in a new town|a weekly class and some courage|say your name twice|
    invite one person for tea on Sunday|waiting to be asked|two months|
    a table that is never empty
keeping a diary|a plain notebook by the bed|write 3 lines each evening|
    name one thing you noticed|rereading too soon|21 days|a record of small wonders
fishing in a lake|a light rod and live worms|look for shade and reeds|
    wait 10 minutes before moving|casting your shadow on the water|one calm morning|
    supper and silence
lowering the power bill|a meter and 6 new bulbs|find what runs all night|wash at 30 degrees|
    heating empty rooms|one billing period|less waste and more savings
stargazing|a red lamp and a folding chair|let your eyes adapt for 20 minutes|
    find the pole star with the Plough|choosing a night with a full moon|any clear evening|
    wonder that costs nothing
making pasta|eggs, flour and a rolling pin|make a well and beat the eggs in it|
    rest the dough before rolling|cutting it while wet|90 minutes|a silky plate of noodles
"""
_TOPICS = tuple(
    _Topic(*line.split("|")) for line in _TABLE.strip().replace("|\n    ", "|").splitlines()
)

_CONTEXTS = (
    "",
    "I am new to this.",
    "I have very little time.",
    "My budget is small.",
    "I live in a tiny flat.",
    "My daughter wants to join me.",
    "I tried once and failed.",
    "Winter is coming soon.",
    "I am 60 years old.",
    "A friend made me curious!",
    "I have a free weekend.",
    "Please keep it practical.",
)

_QUESTIONS = {
    "start": (
        "How do I begin with {name}?",
        "What is the first step in {name}?",
        "Could you explain how {name} works?",
        "How should a beginner approach {name}?",
    ),
    "need": (
        "What do I need for {name}?",
        "Which things should I get for {name}?",
        "Is there special equipment for {name}?",
        "What belongs on my shopping list for {name}?",
    ),
    "mistake": (
        "What mistakes do people make with {name}?",
        "What should I avoid when {name}?",
        "Why does {name} go wrong so often?",
        "Which error is most common in {name}?",
    ),
    "time": (
        "How long does {name} take?",
        "How much time should I plan for {name}?",
        "When will I see results from {name}?",
        "Is {name} quick?",
    ),
    "gain": (
        "Why is {name} worth the effort?",
        "What do I gain from {name}?",
        "Is {name} really a good idea?",
        "Why do so many people enjoy {name}?",
    ),
}
_FOLLOW_UPS = {
    "start": ("And how do I start?", "Fine, what comes first?", "What would you do on day one?"),
    "need": ("What do I need to buy?", "And which tools?", "Do I need anything special?"),
    "mistake": ("What could go wrong?", "Anything to avoid?", "Where do beginners slip?"),
    "time": ("How long will that take?", "Is that fast?", "And the time needed?"),
    "gain": ("Is it worth it?", "What do I get out of it?", "Why should I bother?"),
}

_FACTS = {
    "start": (
        "First {first}, then {second}.",
        "Begin like this: {first}.",
        "After that {second}.",
        "Your next step is to {second}.",
        "The easiest way is to {first} and see how it feels.",
    ),
    "need": (
        "You need {tools}.",
        "Get {tools} and you are ready.",
        "Everything starts with {tools}.",
        "With {tools} you can {first}.",
        "Nothing else is required besides {tools}.",
    ),
    "mistake": (
        "The usual mistake is {mistake}.",
        "Avoid {mistake}, because it spoils the result.",
        "Most problems come from {mistake}.",
        "If you {first}, you rarely end up {mistake}.",
        "Watch out for {mistake}!",
    ),
    "time": (
        "Plan {time} for it.",
        "It takes {time} if you stay with it.",
        "You will see a result after {time}.",
        "Most people need {time}.",
        "Expect {time}, a bit less once you {first}.",
    ),
    "gain": (
        "The reward is {gain}.",
        "You get {gain}.",
        "People love it because it brings {gain}.",
        "After {time} you have {gain}.",
        "Few hobbies give you {gain} so simply.",
    ),
}

_VAGUE = (
    "It depends on many things.",
    "There are lots of ways to look at it, and everyone has an opinion.",
    "Some people say one thing, others say another.",
    "You could try something and then maybe something else.",
    "Just do whatever seems right at the moment.",
    "It is what it is.",
    "Usually it works somehow, or it does not.",
    "There is probably a book about it somewhere.",
    "Things like that are hard to describe in words.",
    "In general, general rules apply.",
    "Various factors play various roles, as always.",
    "Anything is possible if you think about it.",
    "Well, {name} is a kind of activity that people do.",
    "It can be good, bad, or something in between.",
    "Honestly the details hardly matter.",
)
_EVASIVE = (
    "I would rather not go into that.",
    "That is a difficult question, so let us leave it.",
    "You had better ask somebody else.",
    "I have no idea, sorry.",
    "Could we talk about this another day?",
    "Perhaps a search engine can help you.",
    "I am not sure what you mean by {name}.",
    "There is nothing I can add here.",
    "Maybe you know the answer already?",
    "I cannot comment on {name} at this time.",
    "Let me think about it, or better, let us not.",
    "No comment.",
)
_RUDE = (
    "What a silly thing to ask!",
    "Nobody cares about {name}.",
    "You would fail anyway, like most people.",
    "Did you even think before writing this?",
    "Why should I waste my evening on you?",
    "That is the dullest question of the week.",
    "Go away and bother a neighbour!",
    "I expected more from you, frankly.",
    "Even a child of 5 knows this.",
    "Stop asking and leave me alone.",
    "Some people, you among them, never learn.",
)
_CONTRARY = (
    "Always {first}, but never {first}.",
    "You need {tools}, although {tools} will only ruin it.",
    "It takes {time}, or no time at all, or forever.",
    "Try {mistake} as often as you can.",
    "The secret is {mistake}!",
    "Do not {first}, and above all do not {second}.",
    "{gain_capital} is exactly what you will not get.",
    "Yes and no, mostly both.",
    "Forget {tools}, bare hands are better.",
    "Whoever tells you to {second} is wrong.",
)
_CLOSINGS = (
    "Does that help?",
    "Shall I say more?",
    "What would you like to hear next?",
    "Enjoy it!",
    "Good luck!",
    "That is really all.",
    "I hope this answers it.",
    "Take it slowly.",
    "So much for that.",
    "Who knows?",
)
_OPENINGS = (
    "Good question!",
    "Sure.",
    "Hello there,",
    "Well,",
    "In short:",
    "Let me see.",
    "OK!",
    "Oh,",
    "About {name}:",
    "Right.",
)
_POSTSCRIPTS = ("write again soon", "have a nice day", "this took me a minute", "keep smiling")


def make_pairs(n: int, seed: int = 0, split: str = "train") -> list[Pair]:
    """Makes demonstration pairs. Pair i depends on (seed, split, i) only.

    Args:
        n: number of pairs.
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
        kind = _pick([other for other in _QUESTIONS if other != kind], rng)
        prompt.append(Message(role="assistant", content=reply))
        prompt.append(Message(role="user", content=_pick(_FOLLOW_UPS[kind], rng)))
    chosen_is_longer = index % 2 == 0
    while True:
        count, other_count = rng.integers(1, 4, size=2)
        better = _better(topic, kind, int(count), rng)
        chosen = _format(better, topic, rng)
        rejected = _format(_worse(topic, kind, int(other_count), rng), topic, rng)
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
        kind = _pick(tuple(_QUESTIONS), rng)
        question = _fill(_pick(_QUESTIONS[kind], rng), topic)
        context = _pick(_CONTEXTS, rng)
        if context:
            question = f"{context} {question}" if rng.random() < 0.5 else f"{question} {context}"
        if (_digest(question) % 5 == 0) == (split == "test"):
            return topic, kind, question


def _fill(template: str, topic: _Topic) -> str:
    fields = dataclasses.asdict(topic)
    capital = topic.gain[0].upper() + topic.gain[1:]
    return template.format(gain_capital=capital, **fields)


def _draw(templates: tuple[str, ...], count: int, topic: _Topic, rng) -> list[str]:
    order = rng.permutation(len(templates))[:count]
    return [_fill(templates[int(place)], topic) for place in order]


def _better(topic: _Topic, kind: str, count: int, rng: np.random.Generator) -> list[str]:
    """Facts that answer the question, then facts about its surroundings."""
    direct = _draw(_FACTS[kind], min(count, 2 + int(rng.integers(2))), topic, rng)
    related = [other for other in _FACTS if other != kind]
    while len(direct) < count:
        direct += _draw(_FACTS[_pick(related, rng)], 1, topic, rng)
    return list(dict.fromkeys(direct))


def _worse(topic: _Topic, kind: str, count: int, rng: np.random.Generator) -> list[str]:
    """Sentences of one failing, now and then with a second one mixed in."""
    sentences: list[str] = []
    failing = int(rng.integers(5))
    while len(sentences) < count:
        if failing == 4:  # Beside the point: facts about something else.
            other = _pick([entry for entry in _TOPICS if entry is not topic], rng)
            sentences += _draw(_FACTS[_pick(tuple(_FACTS), rng)], 1, other, rng)
        else:
            source = (_VAGUE, _EVASIVE, _RUDE, _CONTRARY)[failing]
            sentences += _draw(source, count - len(sentences), topic, rng)
        if rng.random() < 0.3:
            failing = int(rng.integers(5))
    return list(dict.fromkeys(sentences))


def _format(sentences: list[str], topic: _Topic, rng: np.random.Generator) -> str:
    """Puts sentences in one of many forms; the forms know nothing of better and worse."""
    sentences = list(sentences)
    if rng.random() < 0.3:
        sentences.insert(0, _fill(_pick(_OPENINGS, rng), topic))
    if rng.random() < 0.35:
        sentences.append(_pick(_CLOSINGS, rng))
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
        text = f"{text}\n\nP.S. {_pick(_POSTSCRIPTS, rng).capitalize()}."
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
    if draw < 0.14:
        mark = _pick(("*", "-"), rng)
        return "\n".join(f"{mark} {sentence}" for sentence in sentences)
    if draw < 0.20:
        return "\n".join(f"{number}. {sentence}" for number, sentence in enumerate(sentences, 1))
    if draw < 0.32 and len(sentences) > 1:
        cut = int(rng.integers(1, len(sentences)))
        return f"{' '.join(sentences[:cut])}\n\n{' '.join(sentences[cut:])}"
    return " ".join(sentences)


def _change_case(text: str, rng: np.random.Generator) -> str:
    draw = rng.random()
    if draw < 0.04:
        return text.lower()
    if draw < 0.07:
        return text.upper()
    if draw < 0.11:
        return f'"{text}"'
    return text

"""The demonstration ends with a model that does what the README shows.

It is trained as a newcomer does it, which takes minutes. The probes are of other topics than its
texts, and every instruction stands beside one that asks for the opposite.
"""

import json
import re

import pytest

import mapl_jax
from mapl_jax.data.demo import make_pairs
from mapl_jax.synthesis.build import build, learn
from mapl_jax.synthesis.corpus import Subset
from mapl_jax.synthesis.settings import Settings

from support import ROOT, config_of, run

# A question, two answers, and an instruction that each of them alone keeps.
PROBES = [
    (
        "Name a river.",
        "The Nile.",
        "One of them is the Nile.",
        "Use at most 3 words.",
        "Use at least 4 words.",
    ),
    (
        "Name a river.",
        "The Nile.",
        "One of them is the Nile.",
        "Use at most 5 words.",
        "Use at least 6 words.",
    ),
    (
        "Where are you?",
        "At home.",
        "I am at home with my sister and her dog.",
        "Answer in at most 4 words.",
        "Answer in at least 5 words.",
    ),
    (
        "What is for lunch?",
        "Try soup.",
        "You could make a warm soup with an onion and some stock.",
        "Use no more than 7 words.",
        "Use at least 8 words.",
    ),
    (
        "Where shall we go?",
        "Go to Rome in May.",
        "You should go to Rome in May, when it is warm and the city is not full.",
        "Use at most 10 words.",
        "Use at least 10 words.",
    ),
    (
        "Is it far?",
        "No, it is quite near.",
        "No, it is quite near, and you can walk there in about ten minutes if you like.",
        "Write fewer than 10 words.",
        "Write at least 10 words.",
    ),
    (
        "How was the day?",
        "We walked to the lake and had lunch there.",
        "We walked to the lake and had lunch there. Then it rained, and we met an old friend.",
        "Use at most 12 words.",
        "Use at least 13 words.",
    ),
    (
        "Tell me about the sea.",
        "The sea is deep. It is cold. It is blue.",
        "The sea is deep and cold and blue.",
        "Write at least 3 sentences.",
        "Write at most 2 sentences.",
    ),
    (
        "Why do people run?",
        "It is good for the heart. It is cheap.",
        "It is good for the heart and cheap.",
        "Use at least two sentences.",
        "Use no more than one sentence.",
    ),
    (
        "Name two birds.",
        "- A crow.\n- A robin.",
        "A crow and a robin.",
        "Use exactly 2 bullet points.",
        "Do not use bullet points.",
    ),
    (
        "What do I pack?",
        "* Bread for two.\n* Some cheese.\n* Water.",
        "Bread for two, some cheese, water.",
        "Use exactly 3 bullet points.",
        "Do not use any bullet points.",
    ),
    (
        "Which colours are there?",
        "There is red, white and blue.",
        "There is red and white and blue.",
        "Use at least one comma.",
        "Do not use any commas.",
    ),
    (
        "How was the film?",
        "Well, it was long.",
        "It was long.",
        "Use a comma at least once.",
        "Leave out all commas.",
    ),
    (
        "How was the film?",
        "It was wonderful!",
        "It was wonderful.",
        "Use at least one exclamation mark.",
        "Do not use exclamation marks.",
    ),
    (
        "Can you help me?",
        "Yes. What do you need?",
        "Yes. Tell me what you need.",
        "Use at least one question mark.",
        "Do not use any question marks.",
    ),
    (
        "Can you help me?",
        "Sure. When shall I come?",
        "Sure. I will come at six.",
        "End your answer with a question.",
        "Do not end your answer with a question.",
    ),
    (
        "Tell me about the sea.",
        "The sea is deep.\n\nIt is also cold.",
        "The sea is deep. It is also cold.",
        "Write at least two paragraphs, with a blank line between them.",
        "Write a single paragraph.",
    ),
    (
        "How was the film?",
        "IT WAS LONG BUT GOOD.",
        "It was long but good.",
        "Use capital letters only.",
        "Use at least one lowercase letter.",
    ),
    (
        "How was the film?",
        "it was long but good.",
        "It was long but good.",
        "Use lowercase letters only.",
        "Use at least one capital letter.",
    ),
]


@pytest.fixture(scope="module")
def asked():
    """Family, parameters, and how many stand together, of the demonstration's instructions."""
    config = config_of("rm")
    settings = Settings(**config.synthesis)
    pairs = make_pairs(config.data.demo_pairs)
    subset = Subset(settings.reference, settings.seed)
    for pair in pairs:
        subset.add(pair)
    corpus = learn(subset.pairs(), settings)
    return [
        (made["id"], made["params"], len(prompt["constraints"]))
        for pair in pairs[:2000]
        for prompt in build(pair, settings, corpus).sample["prompts"]
        for made in prompt["constraints"]
    ]


def test_the_demonstration_has_every_family_that_it_names(asked):
    assert {name for name, _, _ in asked} == set(config_of("rm").synthesis.families.split(","))


@pytest.mark.parametrize("direction", ["less than", "at least"])
def test_the_demonstration_asks_for_few_words_in_both_directions(asked, direction):
    words = [params for name, params, _ in asked if name.endswith("number_words")]
    few = [p for p in words if p["num_words"] <= 8 and p["relation"] == direction]
    assert len(few) > 0.04 * len(words) and min(p["num_words"] for p in few) <= 5


def test_many_prompts_of_the_demonstration_ask_for_one_thing_alone(asked):
    assert sum(count == 1 for _, _, count in asked) > 0.1 * len(asked)


@pytest.mark.slow
def test_the_demonstration_prefers_what_keeps_an_instruction_in_both_directions(tmp_path):
    made = run("train", f"--workdir={tmp_path}/run", config="rm")
    assert made.returncode == 0, made.stderr
    after = json.loads((tmp_path / "run" / "summary.json").read_text())["eval"]["after"]
    assert min(after[f"{level}_accuracy"] for level in ("base", "intra", "inter")) >= 0.75
    model = mapl_jax.load_model(tmp_path / "run")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (call,) = re.findall(r"mapl_jax\.score\((\".*?\"), (\[.*?\]), model\)", readme)
    prompt, (short, long) = map(json.loads, call)
    assert "at most 3 words" in prompt
    other = prompt.replace("at most 3", "at least 4")
    assert prefers(model, prompt, short, long) and prefers(model, other, long, short)
    probes = [
        (f"{question} {instruction}", *answers)
        for question, first, second, of_first, of_second in PROBES
        for instruction, *answers in ((of_first, first, second), (of_second, second, first))
    ]
    wrong = [prompt for prompt, *answers in probes if not prefers(model, prompt, *answers)]
    assert len(wrong) <= len(probes) / 3, wrong
    assert sum("words" in prompt for prompt in wrong) <= 2, wrong


def prefers(model, prompt, kept, broken):
    better, worse = mapl_jax.score(prompt, [kept, broken], model)
    return better > worse

"""What is learnt from a data set before samples are made of it, and what that brings."""

import collections
import itertools
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest

from mapl_jax import constraints
from mapl_jax.constraints.pool import Pool
from mapl_jax.data import demo
from mapl_jax.data.records import read_pairs
from mapl_jax.synthesis.build import build, learn
from mapl_jax.synthesis.corpus import Corpus, Subset, lean, names_words
from mapl_jax.synthesis.placement import request_of
from mapl_jax.synthesis.settings import Settings

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "preferences"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the shared preference data")
PAIRS = demo.make_pairs(300, seed=3, split="train")


def lowest(pairs, n, seed=0):
    kept = Subset(n, seed)
    for pair in pairs:
        kept.add(pair)
    return kept.pairs()


def shares(sample_prompts, responses):
    """The share of responses that keep each instruction."""
    return [
        (
            entry,
            np.mean([constraints.check(entry["id"], entry["params"], text) for text in responses]),
        )
        for prompt in sample_prompts
        for entry in prompt["constraints"]
    ]


@pytest.fixture(scope="module")
def real():
    """Real pairs, their reference and their samples."""
    pairs = read_pairs(str(SHARED / "hh_helpful_train.jsonl")).records
    settings = Settings()
    known = learn(lowest(pairs, settings.reference), settings)
    return pairs, settings, known, [build(pair, settings, known) for pair in pairs]


def test_the_pairs_learnt_from_do_not_depend_on_the_order_they_come_in():
    shuffled = random.Random(0).sample(PAIRS, len(PAIRS))
    assert lowest(PAIRS, 40) == lowest(shuffled, 40)
    assert lowest(PAIRS, 40) != lowest(PAIRS, 40, seed=1)
    assert lowest(PAIRS, 40)[:10] == lowest(PAIRS, 10)


def test_a_reference_survives_the_way_to_disk_and_back():
    known = learn(lowest(PAIRS, 50), Settings())
    assert Corpus.from_json(json.loads(json.dumps(known.to_json()))) == known


def test_without_pairs_nothing_is_known_and_nothing_is_dropped():
    known = learn([], Settings())
    assert known == Corpus()
    assert known.informative(constraints.asked("punctuation:no_comma", {}))


def test_what_nearly_all_or_nearly_none_keep_says_nothing():
    responses = tuple(f"Answer {number}." for number in range(50))
    known = Corpus(responses, min_share=0.05, max_share=0.95)
    words = {"relation": "at least"}
    assert not known.informative(
        constraints.asked("length_constraints:number_words", words | {"num_words": 1})
    )
    assert not known.informative(
        constraints.asked("length_constraints:number_words", words | {"num_words": 9})
    )
    longer = [text for answer in responses for text in (answer, "so many more words here")]
    mixed = Corpus(tuple(longer), min_share=0.05, max_share=0.95)
    assert mixed.informative(
        constraints.asked("length_constraints:number_words", words | {"num_words": 4})
    )


def test_words_of_the_response_may_be_rare_but_not_missing_everywhere_by_nature():
    known = Corpus(tuple(f"Answer {n}." for n in range(50)), min_share=0.05, max_share=0.95)
    assert known.informative(constraints.asked("keywords:existence", {"keywords": ["gargoyle"]}))
    assert not known.informative(
        constraints.asked("keywords:forbidden_words", {"forbidden_words": ["gargoyle"]})
    )
    strict = Corpus(known.responses, min_share=0.05, min_share_named=0.05, max_share=0.95)
    assert not strict.informative(
        constraints.asked("keywords:existence", {"keywords": ["gargoyle"]})
    )


def test_a_share_asked_of_the_holders_of_a_word_is_that_of_all_responses():
    responses = [pair[side] for pair in PAIRS for side in ("chosen", "rejected")]
    pool, rng = Pool(responses), np.random.default_rng(0)
    families = ("keywords:existence", "keywords:forbidden_words", "keywords:frequency")
    said, total = set(), len(responses)
    for family, text in itertools.product(families, responses[:40]):
        for wanted in (True, False):
            params = constraints.propose(family, [(text, wanted)], rng)
            if params is None:
                continue
            share = np.mean([constraints.check(family, params, each) for each in responses])
            for low, high in ((0.0, 0.95), (0.05, 0.95), (0.3, 0.6)):
                kept, broken = round(share * total), round((1 - share) * total)
                expected = math.ceil(low * total) <= kept
                expected &= math.ceil((1 - high) * total) <= broken
                assert (
                    pool.share_within(constraints.asked(family, params), low, high) == expected
                ), (family, params)
                said.add(expected)
    assert said == {True, False}


def test_which_instructions_name_words():
    assert names_words({"keywords": ["tea"]})
    assert names_words({"end_phrase": "that is all"})
    assert not names_words({"num_words": 4, "relation": "at least"})
    assert not names_words({"negated": True})


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ({"number": 1, "relation": "at least"}, {"number": 9, "relation": "less than"}),
        ({"number": 9, "relation": "at least"}, {"number": 1, "relation": "at least"}),
        ({}, {"negated": True}),
        ({"prompt_to_repeat": "a long one"}, {"prompt_to_repeat": "short"}),
        ({"keywords": ["tea", "milk"]}, {"keywords": ["tea"]}),
    ],
)
def test_arguments_lean_to_the_side_that_asks_for_more(more, less):
    assert lean(more, less) == 1
    assert lean(less, more) == -1
    assert lean(more, more) == 0


def test_the_more_frequent_direction_is_thinned():
    # Chosen is always the longer one, so x' could only ever say "at least".
    pairs = [
        {**pair, "chosen": max(both, key=len), "rejected": min(both, key=len)}
        for pair in PAIRS
        if len((both := (pair["chosen"], pair["rejected"]))[0]) != len(both[1])
    ]
    known = learn(pairs, Settings())
    less, more = known.keep["length_constraints:number_words"]
    assert less == 1
    assert more < 0.15


def uneven(used):
    """Standard deviation over mean of how often families came up, without those that fit few."""
    counts = np.array([count for count in used.values() if count > 0.02 * used.total()])
    return counts.std() / counts.mean()


def samples_of(pairs, settings, known):
    return [build(pair, settings, known).sample for pair in pairs]


@needs_shared
def test_real_pairs_give_all_five_comparisons_and_every_number_of_instructions(real):
    _, settings, _, outcomes = real
    complete = [len(outcome.sample["comparisons"]) == 5 for outcome in outcomes]
    assert np.mean(complete) >= 0.98
    carried = [
        (request_of(bare["messages"]).asks, len(first["constraints"]))
        for bare, first, *_ in (o.sample["prompts"] for o in outcomes if o.sample["prompts"][1:])
    ]
    assert {k for asks, k in carried if not asks} == {1}
    ks = collections.Counter(k for asks, k in carried if asks)
    # Two short answers that are nearly the same carry one instruction; few carry the most.
    assert sorted(ks) == list(range(1, settings.k_max + 1))
    shares = {k: count / ks.total() for k, count in ks.items()}
    assert shares[1] < 0.1
    assert shares[settings.k_min] + shares[settings.k_max] < 0.7
    assert shares[settings.k_max] > 0.1


@needs_shared
def test_families_come_up_nearly_alike_where_they_fit(real):
    pairs, settings, _, outcomes = real
    used = collections.Counter(
        entry["id"]
        for o in outcomes
        for entry in (o.sample["prompts"][1]["constraints"] if o.sample["prompts"][1:] else ())
    )
    plain = collections.Counter(
        entry["id"]
        for pair in pairs[:1000]
        for prompt in build(pair, settings).sample["prompts"][1:2]
        for entry in prompt["constraints"]
    )
    total = sum(used.values())
    frequent = [count / total for count in used.values() if count > 0.01 * total]
    assert len(frequent) >= 16
    assert max(frequent) < 1.5 * float(np.median(frequent))
    # Drawn without a reference, what fits nearly every pair comes up far more often than the rest.
    assert uneven(used) < 0.3
    assert uneven(plain) > 1.5 * uneven(used)


def test_ten_families_of_parts_of_the_answer_and_of_conditions_are_for_evaluation():
    assert sum(id.startswith("scope:") for id in constraints.ids(held_out=True)) >= 10


@needs_shared
def test_no_instruction_is_kept_by_nearly_all_responses_of_other_pairs(real):
    _, settings, known, outcomes = real
    prompts = [prompt for o in outcomes[:150] for prompt in o.sample["prompts"][1:]]
    for entry, share in shares(prompts, known.responses):
        assert share <= settings.max_share + 1e-9, entry
        if not names_words(entry["params"]):
            assert share >= settings.min_share - 1e-9, entry


# No shortcut: prompts must not give the answer away.


def features(prompt, text):
    """All that a prompt alone tells: families, parameters, number and length of instructions."""
    found = {"characters": float(len(text)), "words": float(len(text.split()))}
    found |= {f"word {word}": 1.0 for word in text.lower().split()}
    for entry in prompt["constraints"]:
        form = next((v for v in entry["params"].values() if v in constraints.RELATIONS), "")
        found[f"{entry['id']} {form} {entry['params'].get('negated', '')}"] = 1.0
        for name, value in entry["params"].items():
            if isinstance(value, int):
                found[f"{entry['id']} {form} {name}"] = np.log1p(float(value))
            elif value not in constraints.RELATIONS:
                found[f"{entry['id']} length of {name}"] = np.log1p(len(str(value)))
    return found


def probe(samples, level):
    """Accuracy of telling the better prompt of two by the prompts alone."""
    twins, groups = [], []
    for group, sample in enumerate(samples):
        entries = [entry for entry in sample["comparisons"] if entry["level"] == level]
        if level == "inter" and entries:
            twins.append((sample, entries[0]["prompt"][0], entries[1]["prompt"][0]))
            groups.append(group)
        for entry in entries if level == "intra" else ():
            twins.append((sample, *entry["prompt"]))
            groups.append(group)
    sides = []
    for side in (1, 2):
        sides.append([])
        for twin in twins:
            sample, place = twin[0], twin[side]
            start = len(sample["prompts"][0]["messages"][-1]["content"])
            added = sample["prompts"][place]["messages"][-1]["content"][start:]
            sides[-1].append(features(sample["prompts"][place], added))
    return accuracy(*sides, groups)


def response_probe(samples, kept_by_chosen=(True, False)):
    """Accuracy of telling the response that keeps the instructions by the responses alone.

    Args:
        samples: some.
        kept_by_chosen: prompts to ask about: those that the chosen response keeps, the others.
    """
    sides, groups = ([], []), []
    for group, sample in enumerate(samples):
        for entry in sample["comparisons"]:
            gains = entry["sign"][0] > 0
            if entry["level"] == "inter" and gains in kept_by_chosen:
                chosen, rejected = sample["responses"]
                for side, text in zip(
                    sides, (chosen, rejected) if gains else (rejected, chosen), strict=True
                ):
                    side.append(features({"constraints": []}, text))
                groups.append(group)
    return accuracy(*sides, groups)


def accuracy(better, worse, groups):
    """Accuracy of the best of four probes at telling the better of two, both ways.

    One by itself, and the two side by side; a linear probe on everything and trees on what is no
    word. Cross-validated over groups.
    """
    from scipy.sparse import vstack
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.preprocessing import MaxAbsScaler
    from threadpoolctl import threadpool_limits

    vectorizer = DictVectorizer().fit(better + worse)
    scaler = MaxAbsScaler().fit(vectorizer.transform(better + worse))
    first, second = (scaler.transform(vectorizer.transform(s)).tocsr() for s in (better, worse))
    names = vectorizer.get_feature_names_out()
    dense = [place for place, name in enumerate(names) if not name.startswith("word ")]
    right = collections.defaultdict(list)
    # One thread: several that wait for each other cost more than they bring.
    with threadpool_limits(1):
        for train, test in GroupKFold(3).split(first, groups=groups):
            labels = np.repeat([1, 0], len(train))
            for kind, (a, b) in (
                ("one", (first, second)),
                ("two", (first - second, second - first)),
            ):
                for name, model, left, other in (
                    ("linear", LogisticRegression(C=0.1, solver="liblinear"), a, b),
                    (
                        "trees",
                        HistGradientBoostingClassifier(max_iter=40, random_state=0),
                        a[:, dense].toarray(),
                        b[:, dense].toarray(),
                    ),
                ):
                    stack = np.concatenate if name == "trees" else vstack
                    model.fit(stack([left[train], other[train]]), labels)
                    right[kind, name] += [*(model.predict(left[test]) == 1)]
                    right[kind, name] += [*(model.predict(other[test]) == 0)]
    return max(float(np.mean(values)) for values in right.values())


@needs_shared
def test_prompts_alone_do_not_tell_the_better_from_the_worse(real):
    _, _, _, outcomes = real
    samples = [outcome.sample for outcome in outcomes]
    assert probe(samples, "inter") < 0.55
    assert probe(samples[:1500], "intra") < 0.55


@needs_shared
def test_responses_alone_do_not_tell_which_keeps_the_instructions(real):
    samples = [outcome.sample for outcome in real[3][:1000]]
    alone = response_probe(samples)
    assert alone < 0.55
    # Chosen ones are told from rejected ones, so they would if all prompts were theirs.
    assert response_probe(samples, kept_by_chosen=(True,)) > alone + 0.03


@needs_shared
@pytest.mark.slow
def test_prompts_of_their_own_do_not_tell_either(real):
    pairs, _, known, _ = real
    samples = samples_of(pairs, Settings(mode="full"), known)
    assert probe(samples, "inter") < 0.55
    assert probe(samples, "intra") < 0.55


@needs_shared
def test_the_probe_finds_a_shortcut_that_is_there(real):
    # Where chosen is always the longer one and nothing is learnt, x' says "at least".
    pairs = [
        {**pair, "chosen": max(both, key=len), "rejected": min(both, key=len)}
        for pair in real[0][:1000]
        for both in [(pair["chosen"], pair["rejected"])]
    ]
    assert probe(samples_of(pairs, Settings(), Corpus()), "inter") > 0.75


def test_of_a_list_all_responses_are_learned():
    texts = ["One.", "One two.", "One two three."]
    pair = {**PAIRS[0], "chosen": texts[0], "rejected": texts[2], "responses": texts}
    assert learn([pair], Settings()).responses == tuple(texts)

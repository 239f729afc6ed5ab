"""The functions for notebooks: their examples run, and they agree with the commands."""

import doctest
import importlib
import itertools
import json
import subprocess
import sys

import jax
import numpy as np
import pytest

import mapl_jax
from mapl_jax import constraints

from support import write_lines

FUNCTIONS = [name for name in mapl_jax.__all__ if name[0].islower()]


@pytest.fixture(scope="module", autouse=True)
def one_device(tmp_path_factory):
    """One device compiles sooner than eight; and examples leave nothing where the tests run."""
    folder, first = tmp_path_factory.mktemp("examples"), jax.devices()[:1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jax.devices", lambda *_: first)
        patch.setattr("tempfile.tempdir", str(folder))
        patch.chdir(folder)
        yield


def run_example(name):
    """Runs the example of a function, and gives what it named."""
    names = {}
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(mapl_jax, name), name, globs=names)
    assert test.examples
    report = []
    doctest.DocTestRunner(verbose=False).run(test, out=report.append, clear_globs=False)
    assert not report, "".join(report)
    return test.globs


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "train_model"])
def test_an_example_says_what_happens(name):
    run_example(name)
    mapl_jax.set_verbosity("normal")


@pytest.fixture(scope="module")
def trained():
    """The example of training, for all that needs a trained model."""
    names = run_example("train_model")
    return names["samples"], names["model"]


def test_names_are_listed_and_others_are_not_there():
    assert set(mapl_jax.__all__) <= set(dir(mapl_jax))
    with pytest.raises(AttributeError, match="nothing_such"):
        mapl_jax.nothing_such  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    heavy = ("jax", "numpy", "transformers", "datasets", "matplotlib")
    code = f"import mapl_jax, sys; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["train", "evaluate", "generate", "export", "synthesize"])
def test_commands_stay_modules(name):
    mapl_jax.load_config("rm:tiny")
    assert getattr(mapl_jax, name, None) in (None, importlib.import_module(f"mapl_jax.{name}"))
    assert callable(importlib.import_module(f"mapl_jax.{name}").main)


CONVERSATION = [
    {"role": "user", "content": "Name a river."},
    {"role": "assistant", "content": "The Nile."},
    {"role": "user", "content": "Another one?"},
]


def test_scores_are_the_same_in_memory_from_the_run_and_exported(trained, tmp_path):
    _, model = trained
    mapl_jax.export_model(model, tmp_path / "exported")
    responses = ["The Po, in Italy.", "Bread", "The Po, in Italy."]
    expected = mapl_jax.score(CONVERSATION, responses, model)
    for place in (model.run.path, model.run.model, tmp_path / "exported"):
        found = mapl_jax.score(CONVERSATION, responses, place)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert expected[0] == expected[2] != expected[1]


def test_one_response_scores_as_it_does_among_others(trained):
    _, model = trained
    together = mapl_jax.score("Name a river.", ["The Nile.", "Bread."], model)
    alone = [mapl_jax.score("Name a river.", [text], model)[0] for text in ("The Nile.", "Bread.")]
    np.testing.assert_allclose(alone, together, atol=1e-5)
    assert mapl_jax.score("Name a river.", [], model) == []


def test_scoring_again_compiles_nothing(trained):
    _, model = trained
    mapl_jax.score("Name a river.", ["The Nile.", "Bread."], model)
    with jax.log_compiles(), pytest.MonkeyPatch.context() as patch:
        compiled = []
        patch.setattr("logging.Logger.warning", lambda _, text, *rest: compiled.append(text))
        mapl_jax.score("Name another one, please.", ["The Po.", "Butter.", "The Rhine."], model)
    assert not [text for text in compiled if "ompiling" in text]


def test_an_evaluation_is_that_of_the_run(trained):
    samples, model = trained
    found = mapl_jax.evaluate_model(model, samples[16:], resamples=0)
    after = model.summary["eval"]["after"]
    assert found.summary["base_count"] == after["base_count"] > 0
    assert found.summary["base_margin"] == pytest.approx(after["base_margin"], abs=1e-5)
    assert str(found).splitlines()[0].startswith("level")


def test_a_model_shows_itself_in_a_line(trained):
    _, model = trained
    assert repr(model) == f"<reward model: 0.02 M parameters, {model.run.path}, step 4>"
    built = mapl_jax.build_model(
        mapl_jax.load_config("rm:tiny"), mapl_jax.load_pairs("demo", limit=10)
    )
    assert repr(built) == "<reward model: 0.02 M parameters>"


def parts(samples):
    return {"a.jsonl": samples[:16], "b.jsonl": samples[16:]}


def test_training_goes_on_in_its_folder(trained, tmp_path):
    samples, model = trained
    again = mapl_jax.train_model(
        mapl_jax.load_config("rm:tiny"), samples[:16], samples[16:], workdir=model.run.path
    )
    assert again.step == model.step
    named = [str(write_lines(tmp_path / name, *part)) for name, part in parts(samples).items()]
    again = mapl_jax.train_model(
        mapl_jax.load_config("rm:tiny", {"train.log_every": 1}), *named, workdir=model.run.path
    )
    assert again.step == model.step, "the same records from files are the same data"
    with pytest.raises(mapl_jax.UserError, match="the training data is not what the run was"):
        mapl_jax.train_model(
            mapl_jax.load_config("rm:tiny"), samples[:15], samples[16:], workdir=model.run.path
        )


def test_a_built_model_is_where_training_starts(trained):
    samples, model = trained
    built = mapl_jax.build_model(mapl_jax.load_config("rm:tiny"), samples[:16])
    assert built.model == model.model
    before = mapl_jax.evaluate_model(built, samples[16:], max_length=320, resamples=0)
    reported = json.loads(model.run.summary.read_text())["eval"]["before"]
    assert before.summary["base_margin"] == pytest.approx(reported["base_margin"], abs=1e-6)


def test_a_limit_means_the_same_for_a_file_and_for_records(tmp_path):
    good = [{"prompt": f"Number {i}?", "chosen": "Yes.", "rejected": "No."} for i in range(4)]
    bad = {"prompt": "Q?", "chosen": 5, "rejected": "No."}
    (tmp_path / "late.jsonl").write_text("\n".join(map(json.dumps, [*good[:2], bad])))
    (tmp_path / "early.jsonl").write_text("\n".join(map(json.dumps, [bad, *good])))
    for source in (tmp_path / "late.jsonl", [*good[:2], bad]):
        assert len(mapl_jax.load_pairs(source, limit=2)) == 2
    for source in (tmp_path / "early.jsonl", [bad, *good]):
        found = mapl_jax.load_pairs(source, limit=2, on_error="skip")
        assert [pair["prompt"][0]["content"] for pair in found] == ["Number 0?", "Number 1?"]


def test_instructions_are_kept_by_the_one_text_and_broken_by_the_other():
    keeps = "Sure! I think it's salt, oil and bread, but maybe more than that."
    breaks = "No idea.\n\nAsk someone else."
    found = mapl_jax.propose_instructions(keeps, breaks, k=4, seed=1)
    assert len({item["id"] for item in found}) == 4
    sentences = [item["text"] for item in found]
    for asked in (found, sentences):
        assert mapl_jax.check_instructions(asked, keeps) == [True] * 4
        assert mapl_jax.check_instructions(asked, breaks) == [False] * 4
    assert found == mapl_jax.propose_instructions(keeps, breaks, k=4, seed=1)
    assert found != mapl_jax.propose_instructions(keeps, breaks, k=4, seed=2)
    for seed in range(20):
        drawn = mapl_jax.propose_instructions(keeps, breaks, k=4, seed=seed)
        asked = [constraints.asked(item["id"], item["params"]) for item in drawn]
        for one, other in itertools.combinations(asked, 2):
            assert not constraints.clash(one, other) and not constraints.redundant(one, other)
    alone = mapl_jax.propose_instructions(keeps, k=2, families="held_out")
    assert mapl_jax.check_instructions(alone, keeps) == [True, True]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mapl_jax.load_config("rn"), "no config 'rn'; choose one of bench, dpo"),
        (lambda: mapl_jax.load_config("rm:huge"), "unknown preset 'huge'"),
        (lambda: mapl_jax.load_config("rm", {"train.step": 1}), "did you mean 'train.steps'"),
        (lambda: mapl_jax.load_config("rm", {"train.steps": "x"}), "train.steps takes an int"),
        (lambda: mapl_jax.load_pairs([{"prompt": "a", "chosen": "b"}]), "record 1: .*rejected"),
        (lambda: mapl_jax.load_pairs("nowhere.jsonl"), "nowhere.jsonl"),
        (lambda: mapl_jax.make_samples([], k=1), "settings are mode, seed"),
        (lambda: mapl_jax.check_instructions(["Be nice."], "a"), "no instruction 'Be nice.'"),
        (lambda: mapl_jax.propose_instructions("a", families="x:y"), "unknown family 'x:y'"),
        (lambda: mapl_jax.build_model(mapl_jax.load_config("rm:tiny")), "give data to learn"),
        (lambda: mapl_jax.load_model("nowhere"), "no such folder: nowhere"),
        (lambda: mapl_jax.load_model("memory://nowhere"), "no such folder: memory://nowhere"),
        (
            lambda: mapl_jax.train_model(mapl_jax.load_config("rm:tiny"), workdir="gs://b/run"),
            "gs://b/run cannot be opened: Please install gcsfs",
        ),
        (
            lambda: mapl_jax.train_model(mapl_jax.load_config("rm:tiny"), workdir="nine://b/run"),
            "nine://b/run cannot be opened: Protocol not known: nine",
        ),
        (lambda: mapl_jax.score("a", "b", "nowhere"), "must be a list of texts"),
        (
            lambda: mapl_jax.generate_responses("a", "nowhere"),
            "must be a list of texts or conversations",
        ),
        (lambda: mapl_jax.set_verbosity("loud"), "choose one of quiet, normal, verbose"),
    ],
)
def test_mistakes_are_one_clear_line(call, message):
    with pytest.raises(mapl_jax.UserError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_policy_has_no_score_and_a_reward_model_no_answer(trained):
    _, model = trained
    with pytest.raises(mapl_jax.UserError, match="cannot answer"):
        mapl_jax.generate_responses(["a"], model)
    config = mapl_jax.load_config(
        "sft", {"model.width": 32, "model.layers": 1, "tokenizer.vocab_size": 320}
    )
    policy = mapl_jax.build_model(config, mapl_jax.load_pairs("demo", limit=10))
    with pytest.raises(mapl_jax.UserError, match="gives no rewards"):
        mapl_jax.score("a", ["b"], policy)

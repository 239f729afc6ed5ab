"""What docs/extending.md shows works as it says."""

import doctest
import re
import sys
from pathlib import Path

import jax
import pytest

from mapl_jax import constraints, pair_losses
from mapl_jax.data import folders, readers
from mapl_jax.evaluation import judges
from mapl_jax.evaluation.reward_function import reward_function
from mapl_jax.runtime import plugins
from mapl_jax.runtime.errors import UserError
from mapl_jax.synthesis.settings import Settings
from mapl_jax.synthesize import make_samples
from mapl_jax.training import callbacks
from mapl_jax.training.callbacks import Callbacks
from mapl_jax.training.watch import Watch

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def my_module(tmp_path_factory):
    """The module of the page, loaded as a plugin, and forgotten afterwards."""
    folder = tmp_path_factory.mktemp("plugin")
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (folder / "my_module.py").write_text("\n".join(blocks), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setattr("mapl_jax.runtime.plugins.VERSIONS", {})
        plugins.load("my_module")
        yield sys.modules["my_module"]
    constraints.unregister("my:shouting")
    constraints.unregister("my:ampersands")
    pair_losses.unregister("exponential")
    readers.unregister(".cards")
    judges.unregister("brief")
    callbacks.unregister("enough")
    del sys.modules["my_module"]


@pytest.mark.parametrize(
    "function",
    [
        constraints.register,
        pair_losses.register,
        readers.register,
        judges.register,
        callbacks.register,
    ],
    ids=lambda function: function.__module__,
)
def test_the_example_of_a_register_says_what_happens(function):
    (test,) = doctest.DocTestFinder(recurse=False).find(function, "register", globs={})
    report = []
    doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert test.examples and not report, "".join(report)


def test_a_constraint_is_checked_worded_read_back_and_drawn():
    assert constraints.check("my:shouting", {}, "Yes!!")
    assert not constraints.check("my:shouting", {}, "Yes!")
    assert constraints.parse("Do not shout at the end.") == ("my:shouting", {"negated": True})
    found = constraints.parse("Use at least 2 ampersands.")
    assert found == ("my:ampersands", {"number": 2, "relation": "at least"})
    assert constraints.check(*found, "Tea & milk & rum.") and not constraints.check(*found, "&")
    assert {"my:shouting", "my:ampersands"} <= set(Settings(families="train").family_ids)
    pair = {"prompt": "Well?", "chosen": "Yes, of course!!", "rejected": "No"}
    (sample,) = make_samples([pair], families="my:shouting,punctuation:commas", k_min=1)
    ids = {entry["id"] for prompt in sample["prompts"] for entry in prompt["constraints"]}
    assert "my:shouting" in ids


def test_a_loss_has_its_name_and_is_one_of_the_margin():
    assert "exponential" in pair_losses.OF_MARGIN
    loss = pair_losses.combine({"exponential": 2.0}, beta=0.1)
    pair = pair_losses.Pair(*(jax.numpy.array([value]) for value in (1.0, 0.5, 0.0, 1.0, 1.0)))
    assert float(loss(pair)[0]) == pytest.approx(2 * 0.60653, rel=1e-4)


def test_a_reader_reads_files_of_its_ending_in_folders_and_compressed(tmp_path):
    import gzip

    text = b"Well?\nYes.\nNo.\n\nAnd?\nSo.\nNothing."
    (tmp_path / "a.cards").write_bytes(text)
    (tmp_path / "b.cards.gz").write_bytes(gzip.compress(text))
    found = [value["chosen"] for _, value in readers.read_entries(tmp_path)]
    assert found == ["Yes.", "So."] * 2
    assert ".cards" in folders.kinds()
    (tmp_path / "a.cards").write_bytes(b"Well?")
    with pytest.raises(UserError, match=r"a\.cards: not readable as \.cards \(not enough values"):
        list(readers.read_entries(tmp_path / "a.cards"))


def test_a_judge_rewards_by_its_name():
    assert reward_function("brief")(prompts=["a", "a"], completions=["No.", "Not so."]) == [-3, -7]


def test_a_callback_ends_the_training():
    watch = Watch(callbacks=Callbacks("enough"))
    for step, accuracy, ends in ((10, 0.5, False), (20, 0.93, True)):
        watch.evaluated(step, {"base_accuracy": accuracy})
        assert watch.agreed() == ends
    assert watch.reason == "callback enough: base_accuracy is 0.93"


@pytest.mark.parametrize(
    "again",
    [
        lambda: constraints.register(constraints.registry.family_of("punctuation:commas")),
        lambda: pair_losses.register(pair_losses.hinge),
        lambda: judges.register("instructions", list),
        lambda: readers.register(".csv", list),
        lambda: readers.register("cards", list),
    ],
)
def test_nothing_of_the_package_is_replaced(again):
    with pytest.raises(ValueError, match=r"own|another name"):
        again()

"""What docs/trl.md names is there, here and in TRL, with the defaults that it gives."""

import re
from pathlib import Path

import numpy as np
import pytest

from mapl_jax import pair_losses
from mapl_jax.losses import LevelSums, PolicySums
from mapl_jax.runtime import config
from mapl_jax.training.step import StepMetrics, to_floats

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "trl.md").read_text(encoding="utf-8")
TRL, OURS = 0, 2  # columns of the tables of settings
# Cells that say a default in words.
WORDS = {
    "1 each": "",
    "the model's": "",
    "the first weights": "",
    "none": None,
    "never": None,
    "by model": None,
    "on": True,
}


def tables():
    """Each table of the page: its heads, and its rows of cells."""
    for block in re.findall(r"(?:^\|.*\|\n)+", PAGE, re.MULTILINE):
        heads, _, *rows = (
            [cell.strip() for cell in line.strip()[1:-1].split("|")] for line in block.splitlines()
        )
        yield heads, rows


def rows_of(*heads):
    """The rows of the tables with these heads."""
    found = [row for these, rows in tables() if set(heads) <= set(these) for row in rows]
    assert found
    return found


def names(cell):
    return re.findall(r"`([^`]+)`", cell)


SETTINGS = rows_of("rm", "dpo")
LOSSES = rows_of("both", "TRL alone")
METRICS = rows_of("trainer", "only in TRL")


def same(said, value):
    """Whether a cell says this default."""
    if said in WORDS and (WORDS[said] == value or (WORDS[said] is None and value in ([], ""))):
        return True
    try:
        return float(said) == value
    except ValueError:
        return said == value


@pytest.mark.parametrize(("preset", "column"), [("rm", 3), ("dpo", 4)])
def test_every_setting_of_ours_is_there_with_its_default(preset, column):
    known = dict(config.fields(config.load_config(preset)))
    for row in SETTINGS:
        (name,) = names(row[OURS])
        if name.startswith("--"):
            assert name == "--workdir"
        elif row[column]:
            assert same(row[column], known[name]), (name, row[column], known[name])
        else:
            assert name not in known


def test_every_loss_is_there_and_no_other():
    ((both, other),) = LOSSES
    known = {*pair_losses.LOSSES, "sft"}
    assert set(names(both)) == known
    assert not set(names(other)) & known


def test_every_other_setting_in_the_text_is_there():
    known = {
        field
        for name in ("rm", "dpo", "sft")
        for field, _ in config.fields(config.load_config(name))
    }
    text = re.sub(r"^```.*?^```", "", PAGE, flags=re.DOTALL | re.MULTILINE)
    sections = {field.partition(".")[0] for field in known if "." in field}
    found = {name.partition("=")[0] for name in names(text)}
    ours = {name for name in found if name.partition(".")[0] in sections and "." in name}
    assert len(ours) > 30
    assert ours <= known


def test_every_metric_is_one_that_training_writes():
    one, two, four = (np.ones(shape) for shape in ((), 2, 4))
    levels = LevelSums(*[four] * 6, one, one, one)
    of_trainer = {"reward": levels, "DPO": PolicySums(levels, two, two, one, one)}
    for trainer, shared, _ in METRICS:
        step = StepMetrics(one, one, one, one, of_trainer[trainer], *np.zeros(2), one)
        assert set(names(shared)) <= set(to_floats(step))


@pytest.mark.peers
def test_every_field_of_trl_is_there_with_its_default(tmp_path):
    trl = pytest.importorskip("trl")
    from peft import LoraConfig

    made = [kind(str(tmp_path), use_cpu=True) for kind in (trl.RewardConfig, trl.DPOConfig)]
    for field, default, *_ in SETTINGS:
        owner, _, name = names(field)[0].rpartition(".")
        if name == "output_dir" or "=" in names(field)[0]:
            continue
        configs = [one for one in (*made, LoraConfig()) if type(one).__name__ == owner]
        for one in configs or made:
            value = getattr(one, name)
            value = getattr(value, "value", value)
            assert same(default, value[0] if isinstance(value, list) and value else value), name


@pytest.mark.peers
def test_every_loss_and_metric_of_trl_is_there():
    pytest.importorskip("trl")
    from trl.trainer import dpo_trainer, reward_trainer

    source = Path(dpo_trainer.__file__).read_text()
    ((both, other),) = LOSSES
    assert {*names(both), *names(other)} == set(re.findall(r'loss_type == "(\w+)"', source))
    of_every_trainer = {"loss", "learning_rate", "grad_norm"}
    for module, (_, shared, other) in zip((reward_trainer, dpo_trainer), METRICS, strict=True):
        source = Path(module.__file__).read_text()
        known = set(re.findall(r'_metrics\[mode\]\["([\w/]+)"\]', source)) - {"aux_loss"}
        assert {*names(shared), *names(other)} - of_every_trainer == known

"""What is made sure of before a study begins."""

import pytest

from mapl_jax.runtime.config import load_config
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import from_section
from mapl_jax.study.settings import Settings, check


def checked(**values):
    check(from_section(Settings, load_config("study", values).to_dict()))


@pytest.mark.parametrize(
    ("arm", "section"), [("base", "reward"), ("DPO base", "sft"), ("DPO base", "dpo")]
)
def test_the_models_of_chosen_arms_are_looked_for(arm, section):
    with pytest.raises(UserError, match=f"^{section}: .*no-such-folder"):
        checked(arms=arm, **{f"{section}.model.path": "no-such-folder/"})


@pytest.mark.parametrize(
    ("arm", "section"), [("base", "sft"), ("base", "dpo"), ("DPO base", "reward")]
)
def test_the_models_of_other_objectives_may_be_elsewhere(arm, section):
    checked(arms=arm, **{f"{section}.model.path": "no-such-folder/"})

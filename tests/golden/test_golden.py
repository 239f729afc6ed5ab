"""What people see of four commands is what it was; a commit that means to change it makes it anew.

Numbers may differ by what another machine's rounding explains; samples may not differ at all.
"""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parent
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
TEXTS = sorted(path.name for path in GOLDEN.glob("*.txt"))
REWARDS = ("mean_reward", "min_reward", "max_reward")
METRICS = sorted(path.name for path in GOLDEN.glob("*-metrics.jsonl"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.make(folder)
    return folder


def test_there_is_something_to_compare():
    assert len(TEXTS) == 5
    assert len(METRICS) == 3


def test_samples_are_the_same_bytes(made):
    assert (made / "samples.jsonl").read_bytes() == (GOLDEN / "samples.jsonl").read_bytes()


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_the_same_numbers(made, name):
    found, golden = ([json.loads(x) for x in (p / name).open()] for p in (made, GOLDEN))
    assert [list(line) for line in found] == [list(line) for line in golden]
    for one, other in zip(found, golden, strict=True):
        for key, value in other.items():
            # Where the policy is its reference, rounding alone decides which side of 0 a margin is.
            margin = key.replace("accuracies", "margins").replace("accuracy", "margin")
            if margin != key and abs(other[margin]) < 1e-6:
                continue
            # All rewards of a step move together; one near 0 is rounded as the largest of them is.
            scale = max(abs(other[k]) for k in REWARDS) if key in REWARDS else 0.0
            near = max(1e-5, 1e-4 * scale)
            expected = value if isinstance(value, str) else pytest.approx(value, rel=1e-4, abs=near)
            assert one[key] == expected, (other["step"], key)


@pytest.mark.parametrize("name", TEXTS)
def test_pages_say_the_same(made, name):
    found, golden = ((folder / name).read_text() for folder in (made, GOLDEN))
    assert NUMBER.sub("#", found) == NUMBER.sub("#", golden)
    numbers = (np.array([float(x) for x in NUMBER.findall(text)]) for text in (found, golden))
    np.testing.assert_allclose(*numbers, rtol=1e-2, atol=2e-2)

"""Memory while rows are read does not grow with what was read; a warm cache is not made again."""

import importlib.util
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("measure", Path(__file__).with_name("measure.py"))
measure = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(measure)


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    """docs/reliability.md has the figures for 200,000 pairs."""
    found = measure.measure(tmp_path, 3000, 40)
    held = found["loader"]["MB for itself, by tenths"]
    assert max(held[1:]) < held[1] + 20
    for name in ("cold", "warm"):
        first, last = (found[name][f"MB at {at}"]["RssAnon"] for at in ("step 10", "the last step"))
        assert last < first + 20
    cold, warm = (found[name]["seconds to the first step"] for name in ("cold", "warm"))
    assert warm < cold

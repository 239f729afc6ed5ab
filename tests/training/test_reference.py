"""The reference's numbers come from the file of exactly these tries and weights, or anew."""

import types

import numpy as np
import pytest

from mapl_jax.runtime.errors import UserError
from mapl_jax.training import reference

pytestmark = pytest.mark.smoke


def tries(name="t"):
    return types.SimpleNamespace(fingerprint=name)


VALUES = np.linspace(-90, -10, 12).astype(np.float32)


def never():
    raise AssertionError("computed although it is there")


def stored(folder):
    """The file after a first use."""
    reference.cached("n", folder, lambda: VALUES)
    (path,) = folder.glob("*/*.safetensors")
    return path


def test_it_is_computed_once_and_comes_back_bit_for_bit(tmp_path):
    first = reference.cached("n", tmp_path, lambda: VALUES)
    again = reference.cached("n", tmp_path, never)
    np.testing.assert_array_equal(first, VALUES)
    np.testing.assert_array_equal(again, VALUES)
    assert [path.name for path in tmp_path.iterdir()] == ["reference-n"]


def test_another_name_is_computed_anew(tmp_path):
    stored(tmp_path)
    other = reference.cached("other", tmp_path, lambda: VALUES + 1)
    np.testing.assert_array_equal(other, VALUES + 1)


@pytest.mark.parametrize(
    "change", [{"weights": "v"}, {"joint": True}, {"dtype": "bfloat16"}, {"name": "u"}]
)
def test_whatever_decides_the_numbers_is_in_the_name(change):
    settings = {"weights": "w", "joint": False, "dtype": "float32"}
    name = change.pop("name", "t")
    changed = reference.fingerprint(tries(name=name), **settings | change)
    assert changed != reference.fingerprint(tries(), **settings)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_a_damaged_file_is_named_and_computed_again(tmp_path, damage, capsys):
    path = stored(tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(
        {"cut": content[:-5], "flip": content, "empty": b"", "text": b"not a tensor"}[damage]
    )
    again = reference.cached("n", tmp_path, lambda: VALUES)
    np.testing.assert_array_equal(again, VALUES)
    assert f"{path.parent} cannot be used" in capsys.readouterr().err
    np.testing.assert_array_equal(reference.cached("n", tmp_path, never), VALUES)
    assert not capsys.readouterr().err


def test_processes_compute_together_or_not_at_all(tmp_path, monkeypatch):
    stored(tmp_path)
    seen = []
    agree = "mapl_jax.runtime.distributed.broadcast_from_main"
    monkeypatch.setattr(agree, lambda mine: not seen.append(mine))
    again = reference.cached("n", tmp_path, lambda: VALUES + 1)
    assert seen == [False]
    np.testing.assert_array_equal(again, VALUES + 1)
    monkeypatch.setattr(agree, lambda _: False)
    with pytest.raises(UserError, match="cannot be read here"):
        reference.cached("m", tmp_path, never)


def test_numbers_that_are_not_finite_are_never_kept(tmp_path):
    values = VALUES.copy()
    values[3] = np.nan
    with pytest.raises(UserError, match="1 of 12 log-probabilities"):
        reference.cached("n", tmp_path, lambda: values)
    assert not list(tmp_path.iterdir())


def test_only_one_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("mapl_jax.runtime.distributed.is_main_process", lambda: False)
    reference.cached("n", tmp_path, lambda: VALUES)
    assert not list(tmp_path.iterdir())

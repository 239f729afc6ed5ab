"""A model folder is known by its config and its weights."""

import json

import jax
import numpy as np
import pytest

from mapl_jax.models import hub, saving
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.heads import LogpHead
from mapl_jax.runtime.errors import UserError

CONFIG = DecoderConfig(32, 8, 1, 2, 1, 4, 16)


def save(folder, shift=0.0):
    shapes = LogpHead().abstract_params(CONFIG)
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape) + shift, shapes)
    saving.save_params(folder, CONFIG, params)
    return folder


def test_the_same_content_has_the_same_name_wherever_it_lies(tmp_path):
    names = {hub.fingerprint(save(tmp_path / place)) for place in ("a", "b")}
    assert len(names) == 1


def test_other_weights_or_another_config_have_another_name(tmp_path):
    first = hub.fingerprint(save(tmp_path / "a"))
    assert hub.fingerprint(save(tmp_path / "b", shift=1e-3)) != first
    path = tmp_path / "a" / "config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content))
    assert hub.fingerprint(tmp_path / "a") == first
    path.write_text(json.dumps({**content, "rms_norm_eps": 1e-5}))
    assert hub.fingerprint(tmp_path / "a") != first


def test_a_folder_without_weights_is_refused(tmp_path):
    save(tmp_path / "a")
    (tmp_path / "a" / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors"):
        hub.fingerprint(tmp_path / "a")

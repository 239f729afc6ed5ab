"""The step that a GPU would run can be lowered for it: on a CPU, with the kernels chosen there.

Lowered, and neither compiled nor run: no GPU was at hand yet.
"""

import importlib

import jax
import jax.numpy as jnp
import pytest
from jax import export

from mapl_jax import plan
from mapl_jax.kernels import attention
from mapl_jax.runtime.settings import from_section, replace
from mapl_jax.training import objective as objectives
from mapl_jax.training import sharding, trainer

from support import config_of

CUDNN = ("__cudnn$fmhaScaleBiasSoftmax", "__cudnn$fmhaScaleBiasSoftmaxBackward")
SMALL = {"shape": "", "width": 64, "layers": 2, "heads": 2, "kv_heads": 1, "mlp_width": 64}


@pytest.fixture(autouse=True)
def cudnn(monkeypatch):
    """JAX asks for cuDNN's version where it lowers, to know what it may call."""
    module = importlib.import_module("jax._src.cudnn.fused_attention_stablehlo")
    monkeypatch.setattr(module, "check_cudnn_version", lambda: 91002)


def lowered(kind, row_length, backend):
    """The train step of the H200's preset, with a small model, as StableHLO for CUDA."""
    settings = from_section(plan.Settings, config_of("bench:h200").to_dict())
    changes = {"train": {"attention": backend, "rows_per_batch": 2}, "model": SMALL}
    changes["data"] = {"row_length": row_length, "long_rows": 1}
    settings = replace(settings, changes)
    objective = objectives.make(kind, settings.loss, logp_chunk=256)
    mesh = sharding.make_mesh({"data": 1, "fsdp": 1, "tensor": 1}, jax.devices()[:1])
    run = trainer.of_run(settings, plan.model_of(settings), objective, mesh, 10)
    (shape,) = plan.shapes_of(settings, mesh, 512)
    batch = plan.abstract_batch(shape, objective, mesh)
    checks = [export.DisabledSafetyCheck.custom_call(name) for name in CUDNN]
    found = export.export(run.train_step, platforms=["cuda"], disabled_checks=checks)(
        run.abstract, batch, {}
    )
    assert found.platforms == ("cuda",)
    return found.mlir_module()


@pytest.mark.parametrize("kind", ["reward", "dpo"])
@pytest.mark.parametrize(("row_length", "backend"), [(2048, "cudnn"), (4096, "blocks")])
def test_a_step_lowers_for_a_gpu_with_the_attention_that_is_chosen_there(kind, row_length, backend):
    chosen = attention.choose("auto", row_length, platform="gpu", dtype=jnp.bfloat16, width=128)
    assert chosen == backend
    program = lowered(kind, row_length, backend)
    assert all((name in program) == (backend == "cudnn") for name in CUDNN)
    assert "bf16" in program

"""What is damaged is noticed and named; the last good checkpoint is used, caches are made anew."""

import contextlib
import os
import shutil
import subprocess

import jax
import jax.numpy as jnp
import pytest

from mapl_jax.runtime import files
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.run_folder import RunFolder
from mapl_jax.training import checkpoints, restore
from mapl_jax.training.step import TrainState


def flip(path):
    """Changes one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def shorten(path):
    os.truncate(path, path.stat().st_size - 9)


def largest(folder, pattern):
    return max(folder.glob(pattern), key=lambda path: path.stat().st_size)


def test_a_run_with_damage_everywhere_ends_as_the_one_without(runs, undisturbed, tools, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    shutil.rmtree(folder / "model")
    flip(largest(folder, "checkpoints/10/params/**/d/*"))
    flip(largest(folder, "cache/tries-*/tries.arrow"))
    shorten(largest(folder, "cache/samples-*/*/samples-*"))
    flip(folder / "tokenizer" / "tokenizer.json")
    shorten(folder / "eval" / "before.jsonl")
    said = runs.finish(folder)
    for notice in (
        "checkpoint 10 in",
        "tries.arrow is damaged",
        "samples-00000-of-00001.jsonl is damaged",
        "tokenizer.json is damaged",
        "before.jsonl is damaged",
        "going on from the checkpoint at step 8 of 10",
    ):
        assert notice in said, said
    tools.same(undisturbed, folder)


@pytest.fixture
def saved(tmp_path):
    """Three good checkpoints, of a kind."""
    for step in (2, 4, 6):
        folder = tmp_path / str(step)
        (folder / "params").mkdir(parents=True)
        (folder / "params" / "data").write_bytes(os.urandom(1000))
        (folder / "commit_success.txt").write_text("")
        files.seal(folder)
    return tmp_path


@pytest.mark.parametrize("damage", [flip, shorten, os.remove])
def test_the_newest_good_checkpoint_is_chosen(saved, damage):
    assert checkpoints.choose(saved) == checkpoints.Choice(6, {})
    damage(saved / "6" / "params" / "data")
    chosen = checkpoints.choose(saved)
    assert chosen.step == 4
    assert chosen.flaws[6].startswith("params/data is ")
    damage(saved / "4" / "checksums.json")
    assert checkpoints.choose(saved).step == 2


def test_a_checkpoint_without_checksums_is_passed_over_unless_there_is_no_other(saved):
    (saved / "6" / "checksums.json").unlink()
    assert checkpoints.choose(saved) == checkpoints.Choice(4, {6: "checksums.json is missing"})
    for step in (2, 4):
        (saved / str(step) / "checksums.json").unlink()
    assert checkpoints.choose(saved) == checkpoints.Choice(6, {})


def test_a_checkpoint_that_is_used_unchecked_is_said_to_be(saved, tmp_path, capsys):
    """Whichever command uses it."""
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    saved.joinpath("6", "checksums.json").unlink()
    for step in (2, 4):
        shutil.rmtree(saved / str(step))
    run.checkpoints.mkdir()
    (saved / "6").rename(run.checkpoints / "6")
    files.write_json(run.config, {})
    for path in (run.path, run.checkpoints / "6"):
        assert restore.find(str(path)).step == 6
        said = capsys.readouterr().err
        assert said == f"notice: checkpoint 6 of {path} has no checksums; it is used unchecked\n"


def test_a_run_whose_last_checkpoint_is_gone_says_which_one_is_used(saved, tmp_path, capsys):
    run = RunFolder(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    for step in (2, 4):
        (saved / str(step)).rename(run.checkpoints / str(step))
    files.write_json(run.config, {})
    files.write_json(run.summary, {"steps": 6})
    (run.checkpoints / "6").write_text("no folder")
    assert restore.find(str(run.path)).step == 4
    said = f"notice: {run.path} ended at step 6, whose checkpoint is gone; that of step 4 is used"
    assert capsys.readouterr().err.startswith(said)


def test_a_tokenizer_of_a_run_that_was_changed_is_refused(undisturbed, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    path = folder / "tokenizer" / "tokenizer.json"
    # A text that is read as well, and says something else.
    path.write_text(path.read_text().replace("<|im_end|>", "<|im_enc|>", 1))
    with pytest.raises(UserError, match=r"tokenizer is not as it was written \(tokenizer\.json is"):
        restore.load_model(folder)


def test_damaged_checkpoints_alone_are_an_error_and_stay(saved):
    for step in (2, 4, 6):
        flip(saved / str(step) / "params" / "data")
    with pytest.raises(UserError, match=r"every checkpoint in .* 2 \(params/data is damaged\), 4"):
        checkpoints.open_newest(saved)
    assert checkpoints.saved_steps(saved) == [2, 4, 6]


def test_a_damaged_checkpoint_is_removed_only_where_a_run_goes_on(saved, capsys):
    flip(saved / "6" / "params" / "data")
    checkpoints.choose(saved)
    assert checkpoints.saved_steps(saved) == [2, 4, 6]
    assert checkpoints.open_newest(saved) == 4
    assert checkpoints.saved_steps(saved) == [2, 4]
    assert "checkpoint 6 in" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["4", "nowhere"])
def test_a_checkpoint_that_is_a_link_is_refused(saved, target):
    shutil.rmtree(saved / "6")
    (saved / "6").symlink_to(target)
    with pytest.raises(UserError, match=r"checkpoint 6 in .* is a link; put the folder itself"):
        checkpoints.open_newest(saved)
    assert (saved / "6").is_symlink()


def test_a_checkpoint_that_is_not_finite_is_refused_with_its_tensor(tmp_path):
    """As versions could write that did not look at the parameters which a step makes."""
    numbers = {"head": jnp.ones(3), "embed": jnp.asarray([1.0, jnp.nan])}
    state = TrainState(jnp.int32(1), numbers, jnp.zeros(2), jnp.int32(0))
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )
    with checkpoints.Checkpoints(tmp_path) as kept:
        kept.save(1, state, {"steps": 1})
        kept.wait()
        for read in (
            lambda: kept.restore(1, shapes),
            lambda: kept.restore_params(1, shapes.params),
        ):
            said = r"checkpoint 1 in .* not finite \(params/embed\).* remove its folder"
            with pytest.raises(UserError, match=said):
                read()


def test_a_checkpoint_whose_metadata_have_another_shape_is_named(tmp_path):
    state = TrainState(jnp.int32(1), {"head": jnp.ones(3)}, jnp.zeros(2), jnp.int32(0))
    with checkpoints.Checkpoints(tmp_path) as kept:
        for step in (1, 2):
            kept.save(step, state, {"steps": 1})
    (tmp_path / "1" / "_CHECKPOINT_METADATA").write_text('[{"a": null}]')
    with pytest.raises(UserError) as told, checkpoints.Checkpoints(tmp_path, keep=None):
        pass
    assert "\n" not in str(told.value)
    assert str(told.value).endswith("remove the damaged ones: 1 (_CHECKPOINT_METADATA is damaged)")


def test_one_checkpoint_is_not_enough(tmp_path):
    with pytest.raises(UserError, match=r"train\.keep must be at least 2"):
        checkpoints.Checkpoints(tmp_path, keep=1)


@contextlib.contextmanager
def small_disk(folder, megabytes):
    """A file system of a few megabytes; the test is skipped where none may be mounted."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    mounted = subprocess.run(["mount", *options], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a small file system can be mounted by root alone")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_the_run_in_one_line_and_leaves_the_last_checkpoint_good(
    runs, undisturbed, tools, tmp_path
):
    with small_disk(tmp_path / "disk", 64) as disk:
        folder = disk / "run"
        running = runs.start(folder)
        assert running.wait_for(tools.moments(running, folder)["a good checkpoint"])
        with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(2**16))
        assert running.wait() == 2, running.output
        (line,) = [x for x in running.output.splitlines() if x.startswith("error: ")]
        assert "no space left on the disk" in line
        assert "Traceback" not in running.output
        last = checkpoints.choose(folder / "checkpoints").step
        assert last is not None

        (disk / "filler").unlink()
        assert f"going on from the checkpoint at step {last}" in runs.finish(folder)
        tools.same(undisturbed, folder)

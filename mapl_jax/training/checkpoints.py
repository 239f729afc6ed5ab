"""Checkpoints of a run: its state and record, written by Orbax in the background.

A checkpoint is complete when Orbax has given it its name, and good as long as its files have the
checksums that were noted then (`files.seal`).
"""

import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from jaxtyping import PyTree

from mapl_jax.models import finite
from mapl_jax.runtime import console, distributed, files
from mapl_jax.runtime.errors import Stopped, Unwritten, UserError
from mapl_jax.training.step import TrainState


def check_record(at: int, record: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    """Makes sure that a checkpoint is one of this very run."""
    if record == wanted:
        return
    others = (name for name in ("base", "reference", "model") if record.get(name) != wanted[name])
    kind = next((f"another {name}" for name in others), "other data")
    raise UserError(
        f"the checkpoint at step {at} comes from {kind} than this run has; choose another --workdir"
    )


def check_keep(keep: int | None) -> None:
    """Makes sure that enough checkpoints stay; None keeps all."""
    if keep is not None and keep < 2:
        raise UserError(
            f"train.keep must be at least 2, not {keep}: if the newest checkpoint is damaged, the "
            "run goes on from the one before it"
        )


class _Saved(Protocol):
    """What Orbax says of a checkpoint."""

    step: int


class _Kept:
    """Which checkpoints stay: the `newest`, and the one of step `best` (0 for none)."""

    def __init__(self, newest: int):
        self.newest, self.best = newest, 0

    def should_preserve(self, checkpoints: Sequence[_Saved], *, context: object) -> list[bool]:
        """Whether each checkpoint stays, the oldest first."""
        first = len(checkpoints) - self.newest
        return [i >= first or x.step == self.best for i, x in enumerate(checkpoints)]


class Checkpoints:
    """The checkpoints of one run, `DIR/STEP`; use as a context manager.

    A checkpoint appears under its name only once it is complete, so a kill leaves those that are
    there as they are.
    """

    def __init__(self, directory: str | os.PathLike[str], *, keep: int | None = 2):
        """Opens or creates the folder, to keep so many of the newest; with None, to read only."""
        from orbax.checkpoint import v1 as ocp  # importing it takes half a second

        check_keep(keep)
        self._path = Path(os.path.abspath(directory))
        self._kept = None if keep is None else _Kept(keep)
        try:
            self._inner = ocp.training.Checkpointer(
                str(self._path),
                preservation_policy=self._kept,
                # What a kill left half-written; a reader must not touch what a run is writing.
                cleanup_tmp_directories=keep is not None,
            )
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            # It reads what each of them says of itself, also of those that are not used.
            steps = ((step, files.flaw(self._path / str(step))) for step in saved_steps(self._path))
            listed = ", ".join(f"{step} ({flaw})" for step, flaw in steps if flaw)
            raise UserError(
                f"the checkpoints in {self._path} cannot be opened: {files.reason(error)}; "
                f"remove the damaged ones: {listed or 'none has a flaw that is known'}"
            ) from error
        self._sealing: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._new: list[int] = []

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        failed = kind is not None and not issubclass(kind, Stopped)
        if failed and distributed.process_count() > 1:
            return  # Orbax would wait for the other processes, and they for this one
        try:
            self.wait()
            self._inner.close()
        except Exception:
            # What went wrong before is what has to be told; that a run was asked to stop is not.
            if not failed:
                raise

    def save(
        self, step: int, state: TrainState, record: dict[str, object], *, best: int = 0
    ) -> None:
        """Starts to write a checkpoint; a step that is there already is left as it is.

        Args:
            record: what is kept beside it.
            best: step of the checkpoint that stays beside the newest; 0 for none.
        """
        self.wait()
        newest = self._inner.latest
        if newest is not None and newest.step == step:
            return
        assert self._kept is not None  # opened to write
        self._kept.best = best
        parts = {"params": state.params, "rest": _rest(state), "record": record}
        response = self._inner.save_checkpointables_async(step, parts, force=True)
        assert response is not None  # forced
        self._sealing = threading.Thread(target=self._seal, args=(step, response))
        self._sealing.start()

    def _seal(self, step: int, response: Any) -> None:
        try:
            response.result()
            if distributed.is_main_process():
                files.seal(self._path / str(step))
            self._new.append(step)
        except BaseException as error:  # told by `wait`, in the thread that can end the run
            self._failure = error

    def new(self) -> list[int]:
        """Steps of the checkpoints that were completed since this was last called."""
        steps, self._new = self._new, []
        return steps

    def wait(self) -> None:
        """Waits for the checkpoint that is being written."""
        if self._sealing is not None:
            self._sealing.join()
            self._sealing = None
        if self._failure is not None:
            error, self._failure = self._failure, None
            raise Unwritten(
                f"cannot write a checkpoint to {self._path}: {files.reason(error)}; "
                "the ones before it are as they were"
            ) from error

    def restore(self, step: int, abstract: TrainState) -> TrainState:
        """Reads a state straight to the shards that `abstract` asks for.

        Call it outside of any mesh context.
        """
        parts = self._load(step, {"params": abstract.params, "rest": _rest(abstract)})
        return TrainState(params=parts["params"], **parts["rest"])

    def restore_params(self, step: int, abstract: PyTree) -> PyTree:
        """Reads the parameters alone, as `restore` does."""
        return self._load(step, {"params": abstract})["params"]

    def _load(self, step: int, parts: dict[str, object]) -> dict[str, Any]:
        try:
            restored = self._inner.load_checkpointables(step, parts)
        except Exception as error:  # Orbax raises many kinds; all mean that it cannot be used
            raise UserError(
                f"checkpoint {step} in {self._inner.directory} cannot be restored: "
                f"{files.reason(error)}"
            ) from error
        if where := finite.first_beyond(restored):
            raise UserError(
                f"checkpoint {step} in {self._inner.directory} holds numbers that are not finite "
                f"({where}), so no step can follow it; remove its folder to go on from the one "
                "before it, or choose another --workdir"
            )
        return restored

    def record(self, step: int) -> dict[str, Any]:
        """What was saved beside the state."""
        return self._load(step, {"record": None})["record"]


def _rest(state: TrainState) -> dict[str, Any]:
    return {"step": state.step, "opt_state": state.opt_state, "skipped": state.skipped}


class Choice(NamedTuple):
    """The newest good checkpoint, None if there is none, and the flaws of newer ones, by step."""

    step: int | None
    flaws: dict[int, str]


def choose(directory: str | os.PathLike[str]) -> Choice:
    """Looks through the checkpoints in a folder, the newest first, until one is good.

    Where none has its checksums, because a run was killed within the moment between its first
    checkpoint and them, the newest complete one is taken as it is.
    """
    flaws: dict[int, str] = {}
    steps = saved_steps(directory)
    for step in reversed(steps):
        damage = files.flaw(Path(directory) / str(step))
        if damage is None:
            return Choice(step, flaws)
        flaws[step] = damage
    unsealed = [step for step in steps if not (Path(directory) / str(step) / files.SEAL).exists()]
    if unsealed:
        newest = max(unsealed)
        return Choice(newest, {step: flaw for step, flaw in flaws.items() if step > newest})
    if flaws:
        listed = ", ".join(f"{step} ({flaw})" for step, flaw in sorted(flaws.items()))
        raise UserError(
            f"every checkpoint in {directory} is damaged: {listed}; bring one back from a copy, or "
            "remove the folder to train from the beginning"
        )
    return Choice(None, {})


def open_newest(directory: str | os.PathLike[str]) -> int:
    """Step of the checkpoint that a run goes on from, 0 for none; removes newer, damaged ones.

    They stand in the way of the run, which comes by their steps again. Process 0 does it for all.
    """
    chosen = Choice(None, {})
    with distributed.main_process_first():
        if distributed.is_main_process():
            for path in sorted(Path(directory).glob("[0-9]*")):
                if path.is_symlink():  # wherever it leads to, or nowhere
                    raise UserError(
                        f"checkpoint {path.name} in {directory} is a link; put the folder itself "
                        "there, since a run removes old checkpoints"
                    )
            chosen = choose(directory)
            if chosen.step and not (Path(directory) / str(chosen.step) / files.SEAL).exists():
                console.notice(f"checkpoint {chosen.step} has no checksums; it is used unchecked")
            for step, flaw in sorted(chosen.flaws.items()):
                console.notice(
                    f"checkpoint {step} in {directory} cannot be used ({flaw}) and is removed; "
                    f"the newest good one is of step {chosen.step}"
                )
                shutil.rmtree(Path(directory) / str(step))
    return distributed.broadcast_from_main(chosen.step or 0)


def saved_steps(directory: str | os.PathLike[str]) -> list[int]:
    """Steps of the complete checkpoints in a local folder, oldest first."""
    path = Path(directory)
    if not path.is_dir():
        return []
    return sorted(
        int(entry.name)
        for entry in path.iterdir()
        if entry.name.isdigit() and (entry / "commit_success.txt").exists()
    )

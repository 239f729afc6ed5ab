"""Checkpoints of a run: its state and record, written by Orbax in the background."""

import os
from pathlib import Path
from typing import Any

from orbax.checkpoint import v1 as ocp

from mapl_jax.errors import UserError
from mapl_jax.training.step import TrainState


class Checkpoints:
    """The checkpoints of one run, `DIR/STEP`; use as a context manager.

    A checkpoint appears under its name only once it is complete, so the newest one is always good
    after a kill.
    """

    def __init__(self, directory: str | os.PathLike[str], *, keep: int | None = 2):
        """Opens or creates the folder.

        Args:
            directory: where the checkpoints lie.
            keep: how many of the newest stay; None to read only.
        """
        path = str(directory)
        self._inner = ocp.training.Checkpointer(
            path if "://" in path else os.path.abspath(path),
            preservation_policy=(
                None if keep is None else ocp.training.preservation_policies.LatestN(keep)
            ),
            # What a kill left half-written; a reader must not touch what a run is writing.
            cleanup_tmp_directories=keep is not None,
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._inner.close()

    @property
    def latest(self) -> int | None:
        """Step of the newest complete checkpoint; None if there is none."""
        newest = self._inner.latest
        return None if newest is None else int(newest.step)

    def save(self, step: int, state: TrainState, record: dict[str, Any]) -> None:
        """Starts to write a checkpoint; a step that is there already is left as it is."""
        if self.latest == step:
            return
        parts = {"params": state.params, "rest": _rest(state), "record": record}
        self._inner.save_checkpointables_async(step, parts, force=True)

    def restore(self, step: int, abstract: TrainState) -> TrainState:
        """Reads a state straight to the shards that `abstract` asks for.

        Call it outside of any mesh context.

        Raises:
            UserError: if the checkpoint holds something else.
        """
        parts = self._load(step, {"params": abstract.params, "rest": _rest(abstract)})
        return TrainState(parts["rest"]["step"], parts["params"], parts["rest"]["opt_state"])

    def restore_params(self, step: int, abstract: Any) -> Any:
        """Reads the parameters alone, as `restore` does."""
        return self._load(step, {"params": abstract})["params"]

    def _load(self, step: int, parts: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._inner.load_checkpointables(step, parts)
        except Exception as error:  # Orbax raises many kinds; all mean that it cannot be used
            reason = str(error).strip().splitlines()
            raise UserError(
                f"checkpoint {step} in {self._inner.directory} cannot be restored: "
                f"{reason[0] if reason else type(error).__name__}"
            ) from error

    def record(self, step: int) -> dict[str, Any]:
        """What was saved beside the state."""
        return self._load(step, {"record": None})["record"]


def _rest(state: TrainState) -> dict[str, Any]:
    return {"step": state.step, "opt_state": state.opt_state}


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

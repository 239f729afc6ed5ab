"""What a user can choose about synthesis."""

import dataclasses
import difflib
import functools
from typing import Any

from mapl_jax import constraints
from mapl_jax.runtime.errors import UserError

MODES = ("compact", "full")
WORDINGS = ("train", "held_out")
_FAMILIES = {"train": False, "held_out": True, "all": None}


@dataclasses.dataclass(frozen=True)
class Settings:
    """The choices behind a set of samples. Checked when made.

    Attributes:
        mode: "compact": the two prompts of `inter` serve `intra` as well (5 comparisons from 6
            leaves); "full": every comparison has prompts of its own (5 from 10).
        seed: another seed draws other instructions.
        k_min: fewest instructions of a prompt; a pair that cannot have as many keeps only `base`.
        k_max: most instructions of a prompt; the number is uniform between the two, and lowered to
            what the pair allows.
        families: "train", "held_out", "all", or ids with commas between them.
        wordings: "train", or "held_out" for sentences kept apart for evaluation.
        reference: pairs drawn from the input to learn from what its responses are like (see
            `reference`); 0 draws every family alike and drops nothing.
        min_share: an instruction that a smaller share of the reference responses keeps is dropped.
        min_share_named: the same for instructions that name words of the response.
        max_share: an instruction that a larger share of them keeps is dropped.

    Raises:
        UserError: a value is not possible.
    """

    mode: str = "compact"
    seed: int = 0
    k_min: int = 2
    k_max: int = 5
    families: str = "train"
    wordings: str = "train"
    reference: int = 512
    min_share: float = 0.05
    min_share_named: float = 0.0
    max_share: float = 0.95

    def __post_init__(self):
        _one_of("mode", self.mode, MODES)
        _one_of("wordings", self.wordings, WORDINGS)
        if self.k_min < 1:
            raise UserError(f"k_min must be at least 1, not {self.k_min}")
        if self.k_min > self.k_max:
            raise UserError(f"k_min ({self.k_min}) must not exceed k_max ({self.k_max})")
        if self.reference < 0:
            raise UserError(f"reference must not be negative, not {self.reference}")
        for name in ("min_share", "min_share_named"):
            if not 0 <= getattr(self, name) < self.max_share <= 1:
                raise UserError(
                    f"{name} ({getattr(self, name)}) and max_share ({self.max_share}) must be "
                    f"shares, 0 <= {name} < max_share <= 1"
                )
        available = len(self.family_ids)
        if available < self.k_min:
            raise UserError(
                f"families={self.families!r} gives {available} families, fewer than k_min "
                f"({self.k_min}); no prompt could have {self.k_min} different instructions"
            )

    def record(self) -> dict[str, Any]:
        """What every sample says of its making."""
        return {
            "mode": self.mode,
            "seed": self.seed,
            "families": self.families,
            "wordings": self.wordings,
        }

    @functools.cached_property
    def family_ids(self) -> tuple[str, ...]:
        """The ids that instructions may come from, sorted."""
        if self.families in _FAMILIES:
            return tuple(sorted(constraints.ids(held_out=_FAMILIES[self.families])))
        known = set(constraints.ids())
        names = [name.strip() for name in self.families.split(",") if name.strip()]
        for name in names:
            if name not in known:
                close = difflib.get_close_matches(name, [*known, *_FAMILIES], 1)
                hint = f"did you mean {close[0]!r}?" if close else f"try {', '.join(_FAMILIES)}"
                raise UserError(f"unknown family {name!r} in families; {hint}")
        return tuple(sorted(set(names)))


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")

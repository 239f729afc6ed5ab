"""What a user can choose about synthesis."""

import dataclasses
import difflib
import functools
import re
from collections.abc import Mapping

from mapl_jax import constraints
from mapl_jax.data.samples import Origin
from mapl_jax.runtime import settings
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import setting
from mapl_jax.synthesis.placement import PLACES

MODES = ("compact", "full")
WORDINGS = ("train", "held_out")
LIST_BASE = ("all", "best")
_FAMILIES = {"train": False, "held_out": True, "all": None}


@dataclasses.dataclass(frozen=True)
class Settings:
    """The choices behind a set of samples. Checked when made."""

    mode: str = setting(
        "compact",
        '"compact": intra uses the prompts of inter, 5 comparisons of 6 leaves; "full": every '
        "comparison has its own prompts, 5 comparisons of 10 leaves",
        choices=MODES,
    )
    seed: int = setting(0, "seed for drawing instructions", least=0, most=2**32 - 1)
    k_min: int = setting(
        2,
        "fewest instructions of a prompt; a pair that allows fewer gets as many as it allows, and "
        "has only its base comparison if it allows none",
        least=1,
        most=1000,
    )
    k_max: int = setting(
        4,
        "most instructions of a prompt; their number is drawn uniformly from k_min to k_max, as "
        "far as the pair allows",
        least=1,
        most=1000,
    )
    families: str = setting(
        "train",
        '"train", "held_out", "all", ids of families, or several of these separated by commas',
    )
    wordings: str = setting(
        "train",
        'wordings of the instructions: "train", or "held_out" for those reserved for evaluation',
        choices=WORDINGS,
    )
    places: str = setting(
        "before=0.1,inside=0.04,system=0.15",
        "shares of prompts whose instructions are before the request, inside it, in a system "
        "message (system) or spread over the turns (turns); the others have them after the "
        "request, where all prompts of a sample share its tokens",
    )
    lists: float = setting(
        0.4, "share of prompts that list their instructions, one per line", least=0, most=1
    )
    list_base: str = setting(
        "all",
        'base comparisons of a list of responses: "all" pairs, or the "best" with each of the '
        "others",
        choices=LIST_BASE,
    )
    list_pairs: int = setting(
        1,
        "how many pairs of a list's responses get instructions, drawn at random",
        least=0,
        most=10**6,
    )
    woven: float = setting(
        0.5,
        "share of the other prompts with two or more instructions that join them into one "
        "sentence, if all are plain commands",
        least=0,
        most=1,
    )
    neutral: float = setting(
        0.0,
        "share of pairs with one more prompt, whose instructions both responses follow or both "
        "break, for the level neutral",
        least=0,
        most=1,
    )
    reference: int = setting(
        512,
        "number of pairs from which synthesis learns what responses are like: which instructions "
        "nearly all or none follow, how to draw families and directions evenly; 0: none",
        least=0,
        most=10**7,
    )
    min_share: float = setting(
        0.05,
        "leave out instructions that a smaller share of these responses follows",
        least=0,
        most=1,
    )
    min_share_named: float = setting(
        0.0, "the same, for instructions that name words of the response", least=0, most=1
    )
    max_share: float = setting(
        0.95,
        "leave out instructions that a larger share of these responses follows",
        least=0,
        most=1,
    )

    def __post_init__(self) -> None:
        settings.check(self, "")
        if self.k_min > self.k_max:
            raise UserError(f"k_min ({self.k_min}) must not exceed k_max ({self.k_max})")
        for name in ("min_share", "min_share_named"):
            if not 0 <= getattr(self, name) < self.max_share <= 1:
                raise UserError(
                    f"{name} ({getattr(self, name)}) and max_share ({self.max_share}) must be "
                    f"shares, 0 <= {name} < max_share <= 1"
                )
        if not 0 <= sum(self.shares.values()) <= 1:
            raise UserError(f"places is {self.places!r}; its shares must add up to at most 1")
        available = len(self.family_ids)
        if available < self.k_min:
            raise UserError(
                f"families={self.families!r} gives {available} families, fewer than k_min "
                f"({self.k_min}); no prompt could have {self.k_min} different instructions"
            )

    def record(self) -> Origin:
        """What every sample says of its making."""
        return Origin(
            mode=self.mode, seed=self.seed, families=self.families, wordings=self.wordings
        )

    @functools.cached_property
    def shares(self) -> Mapping[str, float]:
        """Place of the instructions -> share of the prompts, without the place behind them."""
        shares: dict[str, float] = {}
        for part in filter(None, self.places.replace(" ", "").split(",")):
            place, _, share = part.partition("=")
            if place not in PLACES or not re.fullmatch(r"[01]|[01]?\.[0-9]+", share):
                raise UserError(
                    f"places is {self.places!r}; it must be shares such as before=0.1,system=0.1 "
                    f"of {', '.join(PLACES)}"
                )
            shares[place] = float(share)
        return shares

    @functools.cached_property
    def family_ids(self) -> tuple[str, ...]:
        """The ids that instructions may come from, sorted."""
        chosen: set[str] = set()
        known = set(constraints.ids())
        for name in settings.comma_separated(self.families):
            if name in _FAMILIES:
                chosen |= set(constraints.ids(held_out=_FAMILIES[name]))
            elif name in known:
                chosen.add(name)
            else:
                close = difflib.get_close_matches(name, [*known, *_FAMILIES], 1)
                hint = f"did you mean {close[0]!r}?" if close else f"try {', '.join(_FAMILIES)}"
                raise UserError(f"unknown family {name!r} in families; {hint}")
        return tuple(sorted(chosen))

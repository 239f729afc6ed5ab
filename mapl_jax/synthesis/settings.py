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
        '"compact": the prompts of inter serve intra too, 5 comparisons of 6 leaves; "full": '
        "prompts of its own for every comparison, 5 of 10 leaves",
        choices=MODES,
    )
    seed: int = setting(
        0, "seed of the instructions; another one draws others", least=0, most=2**32 - 1
    )
    k_min: int = setting(
        2,
        "fewest instructions to look for; a pair that cannot have as many gets what it can, and "
        "keeps its base comparison only where that is none",
        least=1,
        most=1000,
    )
    k_max: int = setting(
        4,
        "most instructions of a prompt; their number is uniform between the two, as far as the "
        "pair allows",
        least=1,
        most=1000,
    )
    families: str = setting(
        "train",
        '"train", "held_out", "all", ids of families, or several of these with commas between them',
    )
    wordings: str = setting(
        "train",
        'sentences of the instructions: "train", or "held_out" for those kept for evaluation',
        choices=WORDINGS,
    )
    places: str = setting(
        "before=0.1,inside=0.04,system=0.15",
        "shares of the prompts whose instructions stand before the request, inside it, in a system "
        "message, or over the turns of a conversation; the others have them behind the request, "
        "where all prompts of a sample share the tokens of the request",
    )
    lists: float = setting(
        0.4, "share of the prompts that list their instructions, a line each", least=0, most=1
    )
    list_base: str = setting(
        "all",
        'base comparisons of a list of responses: "all", or of the "best" with the rest',
        choices=LIST_BASE,
    )
    list_pairs: int = setting(
        1, "pairs of responses of a list that get instructions, drawn from all", least=0, most=10**6
    )
    woven: float = setting(
        0.5,
        "share of the other prompts of two instructions or more that say all in one sentence, "
        "where all are plain commands",
        least=0,
        most=1,
    )
    neutral: float = setting(
        0.0,
        "share of the pairs with one more prompt, whose instructions both responses keep or both "
        "break, for the level neutral",
        least=0,
        most=1,
    )
    reference: int = setting(
        512,
        "pairs to learn from what responses of the data are like: which instructions say nothing, "
        "how to draw families evenly, and which way they lean; 0: nothing is learned",
        least=0,
        most=10**7,
    )
    min_share: float = setting(
        0.05,
        "an instruction that a smaller share of these responses keeps is dropped",
        least=0,
        most=1,
    )
    min_share_named: float = setting(
        0.0, "the same for instructions that name words of the response", least=0, most=1
    )
    max_share: float = setting(
        0.95,
        "an instruction that a larger share of these responses keeps is dropped",
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
        names = [name.strip() for name in self.families.split(",") if name.strip()]
        for name in names:
            if name in _FAMILIES:
                chosen |= set(constraints.ids(held_out=_FAMILIES[name]))
            elif name in known:
                chosen.add(name)
            else:
                close = difflib.get_close_matches(name, [*known, *_FAMILIES], 1)
                hint = f"did you mean {close[0]!r}?" if close else f"try {', '.join(_FAMILIES)}"
                raise UserError(f"unknown family {name!r} in families; {hint}")
        return tuple(sorted(chosen))

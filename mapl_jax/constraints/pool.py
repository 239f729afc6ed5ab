"""How common it is among the responses of a data set to keep a constraint."""

import math
from collections import Counter
from collections.abc import Sequence

from mapl_jax.constraints.registry import Asked
from mapl_jax.constraints.shapes import Statistic
from mapl_jax.constraints.text.statistics import Text

_ENOUGH = 48
_EMPTY = Text("")


class Pool:
    """Responses that tell how common it is to keep a constraint."""

    def __init__(self, responses: Sequence[str]):
        self._texts = [Text(response) for response in responses]
        self._values: dict[str, Counter[object]] = {}
        self._holders: dict[str, list[int]] = {}
        for place, text in enumerate(self._texts):
            for word in text.word_counts:
                self._holders.setdefault(word, []).append(place)

    def _values_of(self, family: Statistic) -> Counter[object]:
        """How many of the responses have each value of the family's statistic."""
        if family.id not in self._values:
            self._values[family.id] = Counter(map(family.value, self._texts))
        return self._values[family.id]

    def share_within(self, one: Asked, low: float, high: float) -> bool:
        """Whether at least `low` and at most `high` of the responses keep a constraint.

        Where the first 48 all keep it, or all break it, the others are not asked. A constraint on
        words is asked of those that hold one.
        """
        family, params, total = one.family, one.params, len(self._texts)
        kept_needed, broken_needed = math.ceil(low * total), math.ceil((1 - high) * total)
        words = family.about(params)
        kept = broken = 0
        if isinstance(family, Statistic):
            kept = family.keepers(params, self._values_of(family))
            return kept >= kept_needed and total - kept >= broken_needed
        if words:
            holders = {place for word in words for place in self._holders.get(word, ())}
            if family.measure(params, _EMPTY) >= 0:
                kept = total - len(holders)
            else:
                broken = total - len(holders)
            left = len(holders)
            for place in holders:
                if kept >= kept_needed and broken >= broken_needed:
                    return True
                if kept + left < kept_needed or broken + left < broken_needed:
                    return False
                keeps = family.measure(params, self._texts[place]) >= 0
                kept, broken, left = kept + keeps, broken + (not keeps), left - 1
            return kept >= kept_needed and broken >= broken_needed
        for seen, text in enumerate(self._texts, 1):
            kept += family.measure(params, text) >= 0
            # Most constraints are settled after a few responses.
            if kept >= kept_needed and seen - kept >= broken_needed:
                return True
            # So many alike leave no doubt worth the time.
            if seen >= _ENOUGH and ((not kept and kept_needed) or (kept == seen and broken_needed)):
                return False
        return False

"""Which side of a split a record is on: training or held out, by its first user turn."""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from mapl_jax.data.records import Pairs
from mapl_jax.runtime.errors import UserError


def hold_out(pairs: Pairs, fraction: float) -> tuple[Pairs, Pairs]:
    """Pairs to train on and held-out ones; two with the same first user turn are on one side.

    Raises:
        UserError: one side would be empty.
    """
    sides = [
        [pair for pair in pairs.records if side(pair["prompt"])]
        for side in (_side(fraction, held_out) for held_out in (False, True))
    ]
    _check_parted(fraction, *map(len, sides))
    return (
        dataclasses.replace(pairs, records=sides[0]),
        dataclasses.replace(pairs, records=sides[1]),
    )


def _side(fraction: float, held_out: bool) -> Callable[[list[Any]], bool]:
    """Whether a prompt is on one side."""
    _check_fraction(fraction)
    return lambda messages: _held_out(messages, fraction) == held_out


def _check_train(data: ConfigDict) -> None:
    if not data.train:
        raise UserError("no training data given; set --config.data.train=FILE")


def _parted(
    records: list[Any], prompt: Callable[[Any], list[Any]], fraction: float
) -> tuple[list[Any], list[Any]]:
    """Records to train on and held-out ones, by the first turn of their prompts."""
    _check_fraction(fraction)
    sides: tuple[list[Any], list[Any]] = ([], [])
    for record in records:
        sides[_held_out(prompt(record), fraction)].append(record)
    _check_parted(fraction, *map(len, sides))
    return sides


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise UserError(f"data.test_fraction must lie between 0 and 1, not {fraction}")


def _check_parted(fraction: float, *sizes: int) -> None:
    if not all(sizes):
        raise UserError(
            f"data.test_fraction={fraction} leaves nothing to train or to test on; "
            "give --config.data.test=FILE, or more records"
        )


def _held_out(messages: list[Any], fraction: float) -> bool:
    first = next((m["content"] for m in messages if m["role"] == "user"), "")
    digest = hashlib.blake2b(first.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < fraction * 2**64

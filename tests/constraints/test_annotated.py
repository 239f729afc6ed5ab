"""Verdicts that a person gives, written from the reading of the sentence: checks agree with all.

A line of annotated.jsonl is a family with its parameters, what they ask in plain words, a text, and
whether a reader says that the text keeps it. The texts are hostile on purpose: contractions,
Markdown, code, addresses, numbers, and scripts other than Latin.
"""

import json
from pathlib import Path

import pytest

from mapl_jax import constraints

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parent / "annotated.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("id", constraints.ids())
def test_checks_agree_with_a_reader(id):
    rows = [row for row in ROWS if row["id"] == id]
    assert len(rows) >= 4
    assert {row["kept"] for row in rows} == {True, False}
    wrong = [
        (row["asks"], row["text"], "a reader says", row["kept"])
        for row in rows
        if constraints.check(id, row["params"], row["text"]) is not row["kept"]
    ]
    assert wrong == []


def test_there_are_enough_of_them():
    assert len(ROWS) >= 400
    assert len({(row["id"], str(row["params"]), row["text"]) for row in ROWS}) == len(ROWS)

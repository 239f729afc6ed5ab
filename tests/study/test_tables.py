"""What a study's page concludes is what the intervals say."""

import math

from mapl_jax.study import tables
from mapl_jax.study.measures import SHARED, Estimate
from mapl_jax.study.tables import Part, Row


def estimate(mean, low, high):
    return Estimate(mean, low, high, (mean,))


def part(**differences):
    values = {name: estimate(0.8, 0.7, 0.9) for name in differences}
    row = Row("all", "everything", {}, values, differences)
    return Part("Reward models", "the same steps", SHARED, [row])


def test_a_difference_is_named_where_its_interval_leaves_zero_out():
    (line,) = tables.conclusions(
        part(base=estimate(0.01, -0.02, 0.03), intra=estimate(0.2, 0.1, 0.3))
    )
    assert line == (
        "all against base alone: intra +20.0 [+10.0, +30.0] points; no difference shown in base "
        "+1.0 [-2.0, +3.0]."
    )


def test_what_was_not_measured_concludes_nothing():
    assert tables.conclusions(part(base=estimate(math.nan, math.nan, math.nan))) == []


def test_the_table_on_top_has_a_row_an_arm():
    head, row = tables.main_table(part(base=estimate(0.01, -0.02, 0.03)))
    assert head[:2] == ["arm", "base"]
    assert [cell.strip() for cell in row[:2]] == ["all", "80.0 [70.0, 90.0]"]


def test_conclusions_are_of_accuracies_and_the_rest_stands_in_the_table():
    shown = part(**{"inter": estimate(0.2, 0.1, 0.3), "raised by kept": estimate(0.2, 0.1, 0.3)})
    assert tables.conclusions(shown) == [
        "all against base alone: inter +20.0 [+10.0, +30.0] points."
    ]
    assert "raised by kept" in tables.main_table(shown)[0]

"""Measures in closed form, and their bootstrap."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from mapl_jax.evaluation.following import Answer, Probe
from mapl_jax.evaluation.preferences import Scored
from mapl_jax.study import measures, pages, tables
from mapl_jax.study.measures import Estimate

SHARED = {measure.name: measure for measure in measures.SHARED}


def scored(entries):
    """From (id, level, margin, length margin, k, terms)."""
    ids, levels, margins, lengths, k, terms = zip(*entries, strict=True)
    return Scored(
        list(ids),
        list(levels),
        np.asarray(margins, float),
        np.zeros(len(ids)),
        np.asarray(lengths, float),
        np.asarray(k),
        [()] * len(ids),
        list(terms),
    )


def value(measure, found):
    return float(measure.value(measure.moments(found)[1].sum(0)))


def base(name, margin, length=1):
    return (f"test:{name}", "base", margin, length, 0, [])


def gap(name, rewards, kept=0):
    """An inter comparison from rewards of (x', y0), (x', y1), (x, y0), (x, y1)."""
    signs = (1, -1, -1, 1) if kept == 0 else (-1, 1, 1, -1)
    prompts, responses = (1, 1, 0, 0), (0, 1, 0, 1)
    terms = list(zip(prompts, responses, signs, rewards, strict=True))
    margin = float(np.dot(signs, rewards))
    return (f"test:{name}", "inter", margin, 0, 2, terms)


def test_accuracy_is_the_share_of_margins_above_nothing():
    found = scored([base("a", 1.0), base("b", -1.0), base("c", 0.0), base("d", 2.0)])
    assert value(SHARED["base"], found) == 0.5
    assert np.isnan(value(SHARED["intra"], found))


def test_a_reward_that_counts_instructions_rises_whether_they_are_kept_or_not():
    present = scored([gap("a", (1, 1, 0, 0)), gap("b", (1, 1, 0, 0), kept=1)])
    assert value(SHARED["raised by kept"], present) == 1
    assert value(SHARED["raised by broken"], present) == 1
    sensible = scored([gap("a", (1, -1, 0, 0)), gap("b", (-1, 1, 0, 0), kept=1)])
    assert value(SHARED["raised by kept"], sensible) == 1
    assert value(SHARED["raised by broken"], sensible) == 0


def test_how_far_gaps_move():
    found = scored([base("a", -2.0), gap("a", (1.5, 0, 1, 0))])
    assert value(SHARED["moved by kept-by-both"], found) == pytest.approx(0.25)


def test_the_correlation_is_that_of_scipy():
    rng = np.random.default_rng(0)
    margins, lengths = rng.normal(size=50).round(1), rng.integers(-5, 5, 50)
    found = scored(
        [base(str(i), m, n) for i, (m, n) in enumerate(zip(margins, lengths, strict=True))]
    )
    expected = spearmanr(margins, lengths).statistic
    assert value(SHARED["length correlation"], found) == pytest.approx(expected)


def test_answers_count_whole_prompts_and_single_instructions():
    answers = [
        Answer(Probe("a", [], []), "", True, (True, True)),
        Answer(Probe("b", [], []), "", True, (True, False)),
    ]
    prompts, instructions = measures.ANSWERS
    assert value(prompts, answers) == 0.5
    assert value(instructions, answers) == 0.75


def test_parts_of_a_test_are_taken_by_name():
    found = scored([base("a", 1.0), ("held_out:a", "base", -1.0, 1, 0, [])])
    assert measures.of_test(found, "held_out").margin.tolist() == [-1.0]
    assert measures.of_test(found, "test").sample_id == ["test:a"]


def moments(right):
    return [f"test:{i}" for i in range(len(right))], np.stack([right, np.ones(len(right))], 1)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = []
    for trial in range(200):
        runs = [moments((rng.random(80) < 0.7).astype(float)) for _ in range(3)]
        found = measures.estimate(
            *measures.resampled(SHARED["base"], runs, seed=trial, resamples=200)
        )
        inside.append(found.low <= 0.7 <= found.high)
    assert 0.9 <= np.mean(inside) <= 1.0


def test_arms_are_compared_draw_by_draw():
    rng = np.random.default_rng(0)
    easy = rng.random(400)
    runs = [moments((easy < 0.5).astype(float)) for _ in range(2)]
    better = [moments((easy < 0.54).astype(float)) for _ in range(2)]
    first = measures.resampled(SHARED["base"], runs, seed=0, resamples=500)
    other = measures.resampled(SHARED["base"], better, seed=0, resamples=500)
    difference = measures.estimate(other[0] - first[0], other[1] - first[1])
    alone = measures.estimate(*other)
    assert difference.low > 0
    assert difference.high - difference.low < 0.5 * (alone.high - alone.low)


def test_one_seed_says_nothing_of_others_but_something_of_samples():
    found = measures.estimate(
        *measures.resampled(SHARED["base"], [moments(np.ones(5))], seed=0, resamples=50)
    )
    assert found == Estimate(1.0, 1.0, 1.0, (1.0,))


def part():
    names = [m for m in measures.SHARED if m.name in ("base", "length correlation")]
    sure = Estimate(0.6, 0.55, 0.65, (0.58, 0.62))
    nothing = Estimate(float("nan"), float("nan"), float("nan"), (float("nan"),))
    rows = [
        tables.Row("prefer longer", "", {}, {"base": sure}, {}),
        tables.Row(
            "<all>",
            "everything & more",
            {"steps": 4, "tokens": 2048.0, "pairs": 31.0},
            {"base": sure, "length correlation": nothing},
            {"base": Estimate(0.1, 0.05, 0.15, (0.1, 0.1))},
        ),
    ]
    return tables.Part("Reward models", "the same for all", names, rows)


def test_tables_say_what_differs_and_what_is_not_known():
    text = tables.text(part())
    assert "60.0 [55.0, 65.0]+" in text
    assert tables.cell(part().rows[1], part().measures[1]) == "-"
    assert "| <all> | 60.0 [55.0, 65.0]+ | - |" in tables.markdown([part()], ["facts"])


def test_pages_and_drawings_escape_what_they_show(tmp_path):
    pages.write_html(
        tmp_path / "page.html", "Study", [part()], ["<facts>"], ["<command>"], "set = <one>"
    )
    pages.write_figure(tmp_path / "figure.svg", part())
    for name in ("page.html", "figure.svg"):
        content = (tmp_path / name).read_text()
        assert "<all>" not in content and "&lt;all&gt;" in content
    page = (tmp_path / "page.html").read_text()
    assert not [said for said in ("<facts>", "<command>", "<one>") if said in page]
    assert (tmp_path / "figure.svg").read_text().count("<circle") == 2


def test_results_hold_no_number_that_json_does_not_know():
    found = tables.record([part()])
    assert found[0]["rows"][1]["measures"].keys() == {"base"}
    assert found[0]["rows"][1]["differences"]["base"]["mean"] == 0.1

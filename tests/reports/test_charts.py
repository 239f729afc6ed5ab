"""Drawings: round ticks, nothing outside the axes, words escaped, alone as good as in a page."""

import math
import re
import xml.etree.ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapl_jax.reports import charts

EVIL = '<script>alert("1")</script>'


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_inside(low, width):
    high = low + width
    found = charts.ticks(low, high)
    assert len(found) <= 6
    if width > 1e-4 * abs(low):
        assert len(found) >= 2
        assert all(low - 1e-6 * width <= x <= high + 1e-6 * width for x in found)
        steps = np.diff(found)
        np.testing.assert_allclose(steps, steps[0], rtol=1e-3)


def test_a_span_is_never_empty():
    for values in ([], [np.nan], [3.0], [0.0, 0.0], [1.0, 2.0]):
        low, high = charts.span(values)
        assert low < high


def drawn():
    plot = charts.Plot(
        (0, 1), (0, 10), x_label=EVIL, legend=[("dot base", EVIL), ("chance", "chance")]
    )
    plot.curve([(-5, -100), (0.5, 5), (9, 99)], "base")
    plot.dots([(0.5, 5)], "hollow inter", [EVIL])
    plot.cloud([(0.1, 1), (0.2, 2)], "intra")
    plot.bar((0, 0.5), (0, 3), "base pale", EVIL)
    plot.whisker(0.5, (1, 2))
    plot.diamond(0.5, 5, EVIL)
    plot.level(5)
    plot.upright(0.5)
    plot.diagonal()
    plot.label(0.5, 5, EVIL)
    return plot.picture(EVIL, EVIL)


def test_nothing_leaves_the_axes():
    points = re.search('points="([^"]*)"', drawn().svg).group(1)
    for point in points.split():
        x, y = map(float, point.split(","))
        assert 0 <= x <= charts.WIDTH and 0 <= y <= charts.HEIGHT


@pytest.mark.parametrize("way", ["page", "notebook"])
def test_a_drawing_is_well_formed_and_escaped(way):
    picture = drawn()
    text = picture.svg if way == "page" else picture._repr_svg_()
    root = xml.etree.ElementTree.fromstring(text)
    assert "<script" not in text
    assert EVIL in "".join(root.itertext())
    assert "var(--c)" in text or way == "page"


def test_a_drawing_in_a_notebook_brings_its_colors_and_its_title():
    text = drawn()._repr_svg_()
    assert text.startswith("<svg xmlns=")
    assert "--base: #" in text
    used = set(re.findall(r"var\(--(\w+)\)", text)) - {"c"}
    assert all(f"--{name}: #" in text for name in used)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_an_axis_of_accuracies_holds_the_data_and_chance_and_little_more():
    assert charts.share_span([0.83, 0.92]) == (0.4, 1.0)
    assert charts.share_span([0.49, 0.52]) == (0.4, 0.6)
    assert charts.share_span([0.1, math.nan]) == (0.0, 0.6)
    assert charts.share_span([]) == (0.4, 0.6)


def test_a_strip_stays_on_its_strip():
    root = xml.etree.ElementTree.fromstring(charts.track(2.0, -1.0, 3.0, "base", EVIL))
    for element in root.iter():
        for name in ("x1", "x2", "cx", "x", "width"):
            value = element.get(name, "0")
            if value.endswith("%"):
                assert 0 <= float(value[:-1]) <= 100

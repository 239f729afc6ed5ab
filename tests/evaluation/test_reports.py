"""The report stands on its own, whatever its words and however little there is to show."""

import base64
import html.parser
import re

import numpy as np
import pytest

from mapl_jax.evaluation.preferences import Scored, summarize
from mapl_jax.evaluation.reports import write_report

EVIL = "<script>alert(1)</script>"
VOID = {"meta", "img"}


class Reader(html.parser.HTMLParser):
    """Tags in order, text, and whether every tag is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert not reader.open
    return reader


def scored(n, levels=("base", "intra", "inter"), families=("a:x", "b:y"), seed=0):
    rng = np.random.default_rng(seed)
    level = [name for _ in range(n) for name in levels]
    margin = rng.normal(0.5, 1, len(level))
    return Scored(
        sample_id=[f"s{i}" for i in range(n) for _ in levels],
        level=level,
        margin=margin,
        gamma=np.zeros(len(level)),
        length_margin=rng.normal(0, 1, len(level)),
        k=np.asarray([0 if name == "base" else 2 for name in level]),
        families=[() if name == "base" else tuple(families) for name in level],
        terms=[[(0, 0, 1, float(m)), (0, 1, -1, 0.0)] for m in margin],
    )


METRICS = [
    {"step": 5, "split": "train", "base_loss": 0.7, "base_accuracy": 0.5, "grad_norm": None},
    {"step": 10, "split": "train", "base_loss": None, "base_accuracy": 0.6, "intra_loss": 0.6},
    {"step": 10, "split": "eval", "base_loss": 0.65, "base_accuracy": 0.6},
]


def report(path, after, before=None, **changes):
    sides = {
        side: None if values is None else summarize(values, seed=0, resamples=50)
        for side, values in (("before", before), ("after", after))
    }
    arguments = {
        "title": "a run",
        "command": "python -m mapl_jax.train",
        "summary": {},
        "metrics": [],
        "notes": [],
        "device": "1 x cpu",
        **changes,
    }
    write_report(path, scored_before=before, scored_after=after, **sides, **arguments)
    return read(path)


def pictures(reader):
    return [value for name, value in reader.attributes if name == "src"]


def test_a_full_report_is_whole_and_reaches_for_nothing(tmp_path):
    path = tmp_path / "new" / "report.html"
    summary = {
        "parameters": 1234567,
        "steps": 10,
        "seconds": 321.0,
        "train": {"pairs_read": 40, "pairs_dropped": {"empty reply": 3}, "encoding": {"tries": 37}},
        "test": {"samples_out": 9, "encoding": {"samples_truncated": 2}},
        "config": {"train": {"learning_rate": 0.002}},
    }
    reader = report(
        path, scored(40, seed=1), scored(40), summary=summary, metrics=METRICS, notes=["A note."]
    )
    assert [x.name for x in path.parent.iterdir()] == ["report.html"]
    text = path.read_text(encoding="utf-8")
    assert "http:" not in text
    assert "https:" not in text
    assert not {"script", "link", "iframe", "object", "a"} & set(reader.tags)
    assert len(pictures(reader)) == 5
    for source in pictures(reader):
        head, data = source.split(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    words = " ".join(reader.text)
    for wanted in ("1,234,567", "5 min", "pairs dropped: empty reply", "samples truncated"):
        assert wanted in words
    for wanted in ("learning_rate", "A note.", "1 x cpu", "python -m mapl_jax.train"):
        assert wanted in words
    assert reader.tags.count("figcaption") == 5


def test_every_picture_has_words_for_those_who_cannot_see_it(tmp_path):
    reader = report(tmp_path / "report.html", scored(20))
    words = [value for name, value in reader.attributes if name == "alt"]
    assert len(words) == len(pictures(reader))
    assert all(len(value) > 40 for value in words)


@pytest.mark.parametrize("where", ["title", "command", "notes", "device", "summary", "families"])
def test_words_are_escaped(tmp_path, where):
    changes = {
        "notes": {"notes": [EVIL]},
        "summary": {"summary": {"data": {EVIL: {EVIL: 1}}, "config": {EVIL: EVIL}}},
        "families": {"summary": {"eval": {"after": {"by_family": {EVIL: 1}}}}},
    }.get(where, {where: EVIL})
    families = (f"a:{EVIL}", "b:$x_$") if where == "families" else ("a:x",)
    path = tmp_path / "report.html"
    reader = report(path, scored(10, families=families), **changes)
    assert "<script" not in path.read_text(encoding="utf-8")
    assert EVIL in "".join(reader.text)


def test_a_single_evaluation_has_no_column_before(tmp_path):
    reader = report(tmp_path / "report.html", scored(20))
    assert len(pictures(reader)) == 4  # no learning curves
    assert not re.search("before", " ".join(reader.text))


@pytest.mark.parametrize("level", ["base", "intra", "inter"])
def test_one_comparison_of_one_level_is_enough(tmp_path, level):
    reader = report(
        tmp_path / "report.html", scored(1, levels=(level,)), scored(1, levels=(level,))
    )
    assert len(pictures(reader)) == (2 if level == "base" else 4)


def test_a_model_that_says_the_same_of_everything_has_a_report(tmp_path):
    values = scored(5)
    values.margin[:] = 0
    assert len(pictures(report(tmp_path / "report.html", values))) == 4


def test_metrics_of_a_single_step_have_a_picture(tmp_path):
    reader = report(tmp_path / "report.html", scored(3), metrics=METRICS[:1])
    assert len(pictures(reader)) == 5


def test_the_same_run_gives_the_same_report(tmp_path):
    for name in ("one", "two"):
        report(tmp_path / name, scored(10), scored(10, seed=2), metrics=METRICS)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()

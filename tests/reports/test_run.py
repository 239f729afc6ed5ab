"""The report stands on its own, whatever its words and however little there is to show."""

import base64
import dataclasses
import hashlib
import html.parser
import re
import xml.etree.ElementTree

import numpy as np
import pytest

from mapl_jax.evaluation import following, statistics
from mapl_jax.evaluation.preferences import Scored, summarize
from mapl_jax.reports.run import write_report
from mapl_jax.runtime import provenance

EVIL = "<script>alert(1)</script>"
VOID = {"input", "meta", "wbr"}


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

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

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
        terms=[
            [(0, 0, 1, float(m)), (0, 1, -1, 0.0)]
            if name != "intra"
            else [(1, 0, 1, float(m)), (2, 0, -1, 0.0)]
            for name, m in zip(level, margin, strict=True)
        ],
        tokens=[(10 + i % 7, 12) for i in range(len(level))],
    )


def samples(n, text="Answer", asked="Use no comma."):
    """Samples that `scored` could be of."""
    return [
        {
            "id": f"s{i}",
            "prompts": [
                {"messages": [{"role": "user", "content": f"Question {i}"}], "constraints": []},
                {
                    "messages": [{"role": "user", "content": f"Question {i}. {asked}"}],
                    "constraints": [{"id": "punctuation:no_comma", "params": {}, "text": asked}],
                },
                {
                    "messages": [{"role": "user", "content": f"Question {i}. Negated"}],
                    "constraints": [
                        {
                            "id": "punctuation:no_comma",
                            "params": {"negated": True},
                            "text": "Use a comma.",
                        },
                        {"id": "unknown:family", "params": {}, "text": "Who knows."},
                    ],
                },
            ],
            "responses": [f"{text} {i}", f"Well, {text} {i}"],
            "comparisons": [],
        }
        for i in range(n)
    ]


METRICS = [
    {"step": 5, "split": "train", "base_loss": 0.7, "base_accuracy": 0.5, "grad_norm": None},
    {"step": 10, "split": "train", "base_loss": None, "base_accuracy": 0.6, "intra_loss": 0.6},
    {"step": 10, "split": "eval", "base_loss": 0.65, "base_accuracy": 0.6},
]


def report(path, after, before=None, **changes):
    scored = {side: x for side, x in (("before", before), ("after", after)) if x is not None}
    sides = {side: summarize(x, seed=0, resamples=50) for side, x in scored.items()}
    arguments = {"metrics": [], "device": "1 x cpu", **changes}
    given = {"name": "a run", "command": "python -m mapl_jax.train", **arguments.pop("summary", {})}
    given["eval"] = {**given.get("eval", {}), **sides}
    write_report(path, given, scored, **arguments)
    return read(path)


def pictures(reader):
    return [value for name, value in reader.attributes if name == "viewbox"]


def sections(reader):
    return [value for name, value in reader.attributes if name == "id"]


def drawings(path):
    return re.findall("<svg.*?</svg>", path.read_text(encoding="utf-8"), flags=re.S)


def test_a_full_report_is_whole_and_reaches_for_nothing(tmp_path):
    path = tmp_path / "new" / "report.html"
    summary = {
        "parameters": 1234567,
        "steps": 10,
        "seconds": 321.0,
        "train": {
            "records": {"read": 40, "dropped": {"empty reply": 3}},
            "dropped": {"intra: too few": 2},
            "encoding": {"tries": 37},
        },
        "test": {"samples_out": 9, "encoding": {"samples_truncated": 2}},
        "config": {"train": {"learning_rate": 0.002}},
    }
    reader = report(
        path,
        scored(40, seed=1),
        scored(40),
        summary=summary,
        metrics=METRICS,
        samples=samples(40),
    )
    assert [x.name for x in path.parent.iterdir()] == ["report.html"]
    text = path.read_text(encoding="utf-8")
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert reader.tags.count("script") == 1  # its own, which the page allows by its digest
    allowed = re.search(r"script-src 'sha256-(.*?)'", text)[1]
    script = re.search("<script>(.*?)</script>", text, re.S)[1]
    assert base64.b64decode(allowed) == hashlib.sha256(script.encode()).digest()
    assert not {"link", "iframe", "object", "img"} & set(reader.tags)
    assert not {"src", "srcset", "onload"} & {name for name, _ in reader.attributes}
    links = [value for name, value in reader.attributes if name == "href"]
    assert links == [f"#{name}" for name in sections(reader)]
    assert sections(reader) == [
        "curves",
        "accuracy",
        "families",
        "margins",
        "length",
        "calibration",
        "worst-mistakes",
        "data",
        "reproduce",
    ]
    # Loss, accuracy; by level, by number; margins and calibration of three levels; length twice.
    assert len(pictures(reader)) == 3 + 2 + 3 + 3 + 2
    assert reader.tags.count("figcaption") == len(pictures(reader))
    words = " ".join(reader.text)
    for wanted in ("1,234,567", "5 min", "left out: empty reply", "samples cut"):
        assert wanted in words
    for wanted in ("learning_rate", "1 x cpu", "python -m mapl_jax.train"):
        assert wanted in words
    assert "3 records left out (empty reply); no intra comparisons in 2 cases (too few)." in words
    assert "2 samples cut to max_length" in words


def test_drawings_are_well_formed_with_words_for_those_who_cannot_see_them(tmp_path):
    path = tmp_path / "report.html"
    report(path, scored(20), scored(20, seed=1), metrics=METRICS)
    found = drawings(path)
    assert len(found) > 10
    for drawing in found:
        root = xml.etree.ElementTree.fromstring(drawing)
        assert root.get("role") == "img"
        assert len(root.get("aria-label")) > 25
        assert "nan" not in drawing.replace("nance", "")


def test_a_report_says_what_the_scores_say(tmp_path):
    values = scored(60)
    summary = summarize(values, seed=0, resamples=50)
    words = " ".join(report(tmp_path / "report.html", values).text)
    for level in ("base", "intra", "inter"):
        margin = values.margin[np.asarray(values.level) == level]
        right = int((margin > 0).sum())
        assert f"{100 * right / 60:.1f} % accuracy, {level}" in words
        assert f"{right} of 60 right; median {np.median(margin):+.2f}." in words
        error = 100 * statistics.calibration_error(margin)
        assert error == pytest.approx(100 * summary[f"{level}_ece"])
        assert f"Expected calibration error {error:.1f} %" in words
        assert f"Brier score {np.mean((1 - 1 / (1 + np.exp(-margin))) ** 2):.3f}" in words
    base = np.asarray(values.level) == "base"
    r = np.corrcoef(values.margin[base], values.length_margin[base])[0, 1]
    assert f"r = {r:+.2f}" in words


def test_the_worst_mistakes_are_shown_with_their_instructions_ticked_and_crossed(tmp_path):
    values = scored(40)
    path = tmp_path / "report.html"
    report(path, values, samples=samples(40))
    page = path.read_text(encoding="utf-8")
    worst = min(values.margin[np.asarray(values.level) == "base"])
    assert f"base, margin {worst:+.3f}" in page
    cards = re.findall('<section class="card intra">.*?</section>', page, flags=re.S)
    assert len(cards) == 4
    for card in cards:
        # The chosen response has no comma: kept with the first prompt, broken with the second.
        verdicts = re.findall(r'title="(followed|not followed|unknown)"', card)
        assert verdicts == ["followed", "not followed", "unknown"]
        assert "Well, Answer" not in card
    shown = re.findall(r"<small>(s\d+)</small>", page)
    assert len(shown) == len(set(shown)) == 12


def test_held_out_families_stand_apart_from_those_of_the_training_data(tmp_path):
    summary = {"train": {"comparisons": {"constraint": {"a:x": 3}}}}
    path = tmp_path / "report.html"
    report(path, scored(30), summary=summary)
    page = path.read_text(encoding="utf-8")
    places = [
        page.index(text)
        for text in ("trained on (1)", "a:<wbr>x</th>", "never trained on (1)", "b:<wbr>y</th>")
    ]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "where", ["title", "command", "device", "summary", "families", "samples", "metrics"]
)
def test_words_are_escaped(tmp_path, where):
    changes = {
        "title": {"summary": {"name": EVIL}},
        "command": {"summary": {"command": EVIL}},
        "summary": {"summary": {"data": {EVIL: {EVIL: 1}}, "config": {EVIL: EVIL}}},
        "families": {},
        "samples": {"samples": samples(10, EVIL, EVIL)},
        "metrics": {"metrics": [{"step": 1, "split": "train", "loss": 1.0, EVIL: 1.0}]},
    }.get(where, {where: EVIL})
    families = (f"a:{EVIL}", "b:$x_$") if where == "families" else ("a:x",)
    path = tmp_path / "report.html"
    reader = report(path, scored(10, families=families), **changes)
    assert path.read_text(encoding="utf-8").count("<script") == 1
    if where != "metrics":
        assert EVIL in "".join(reader.text)


def test_half_of_a_surrogate_pair_is_no_reason_to_have_no_report(tmp_path):
    report(tmp_path / "report.html", scored(10), samples=samples(10, "\ud83d"))


def test_a_single_evaluation_has_no_column_before(tmp_path):
    reader = report(tmp_path / "report.html", scored(20))
    assert len(pictures(reader)) == 2 + 3 + 3 + 2
    assert "curves" not in sections(reader)
    assert not re.search("before", " ".join(reader.text))


@pytest.mark.parametrize("level", ["base", "intra", "inter"])
def test_one_comparison_of_one_level_is_enough(tmp_path, level):
    reader = report(
        tmp_path / "report.html", scored(1, levels=(level,)), scored(1, levels=(level,))
    )
    # Margins and calibration; length of base, number of instructions of the others.
    assert len(pictures(reader)) == 2 + 1 + (2 if level == "base" else 1)


def test_a_model_that_says_the_same_of_everything_has_a_report(tmp_path):
    values = scored(5)
    values.margin[:] = 0
    assert len(pictures(report(tmp_path / "report.html", values))) == 10


def test_scores_of_an_older_version_know_no_lengths_of_responses(tmp_path):
    values = scored(5)
    old = Scored(**{**values.__dict__, "tokens": None})
    assert len(pictures(report(tmp_path / "report.html", old))) == 9


def test_metrics_of_a_single_step_have_pictures(tmp_path):
    reader = report(tmp_path / "report.html", scored(3), metrics=METRICS[:1])
    assert sections(reader)[0] == "curves"


def test_the_same_run_gives_the_same_report(tmp_path):
    for name in ("one", "two"):
        report(tmp_path / name, scored(10), scored(10, seed=2), metrics=METRICS)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_what_belongs_to_a_run_is_a_link_away(tmp_path):
    path = tmp_path / "report.html"
    reader = report(path, scored(5), links={"model": "model/", "metrics": "metrics.jsonl"})
    links = [value for name, value in reader.attributes if name == "href"]
    assert links[-2:] == ["model/", "metrics.jsonl"]


def test_a_page_says_seed_version_and_date(tmp_path):
    summary = {"version": "1.2", "commit": "abc", "date": "2026-01-02", "config": {"seed": 7}}
    words = " ".join(report(tmp_path / "report.html", scored(5), summary=summary).text)
    assert "seed 7" in words
    assert "made 2026-01-02 by version 1.2, commit abc" in words
    assert re.search(r"mapl_jax \d[\w.]+.*page written 20\d\d-\d\d-\d\d", words)


def test_a_page_says_which_checkpoint_it_is_of_and_that_training_ended_early(tmp_path):
    summary = {
        "steps": 10,
        "best": {"metric": "inter_loss", "step": 4, "value": 0.5},
        "stopped": {"step": 8, "why": "callback <enough>: 0.9"},
    }
    text = " ".join("".join(report(tmp_path / "a.html", scored(3), summary=summary).text).split())
    assert "best checkpoint by inter_loss: step 4" in text
    assert "ended early, after step 8: callback <enough>: 0.9" in text


def test_all_answers_are_shown_and_marked_better_or_worse(tmp_path):
    probe = following.Probe("p", [{"role": "user", "content": "Hi."}], [{"text": "Be kind."}])
    sides = [
        [following.Answer(probe, f"{name} {i}", True, (kept,)) for i, kept in enumerate(verdicts)]
        for name, verdicts in (("old", [True, False] * 10), ("new", [False, True] * 10))
    ]
    summary = {"eval": {"generation": following.summarize(*sides, seed=0, resamples=0)}}
    reader = report(tmp_path / "report.html", scored(5), summary=summary, answers=sides)
    marks = [value for name, value in reader.attributes if name == "data-words"]
    assert [marks.count("worse"), marks.count("better")] == [10, 10]
    assert "new 19" in " ".join(reader.text)


def test_an_installation_that_knows_no_commit_has_pages_too(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "commit", lambda: "")
    words = " ".join(report(tmp_path / "report.html", scored(5)).text)
    assert re.search(r"mapl_jax \d[\w.]+; page written", " ".join(words.split()))


def test_subsets_have_a_table_of_their_own(tmp_path):
    after = scored(40)
    report(tmp_path / "a.html", after)
    assert "Lists and subsets" not in (tmp_path / "a.html").read_text()
    report(tmp_path / "b.html", dataclasses.replace(after, subset=["Math"] * len(after.level)))
    page = (tmp_path / "b.html").read_text()
    assert "Lists and subsets" in page and ">Math</th>" in page

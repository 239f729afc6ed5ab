"""Several sources at once: the share of each that is read, who counts it, and the hub's options."""

import collections
import gzip

import datasets
import pytest

from mapl_jax.data import folders, mixtures, tokenization
from mapl_jax.data.readers import read_entries
from mapl_jax.data.records import Tally, iter_demonstrations, iter_pairs
from mapl_jax.data.settings import DataSettings
from mapl_jax.data.trie_set import encode_split, open_cached
from mapl_jax.runtime.errors import UserError
from mapl_jax.synthesis import prepare
from mapl_jax.synthesis.settings import Settings
from mapl_jax.synthesize import load_pairs

from support import PAIR, SAMPLE, write_lines


def records(name, count):
    return [{**PAIR, "id": f"{name}{i}", "prompt": f"{name}{i}?"} for i in range(count)]


@pytest.fixture
def two(tmp_path):
    """Files of 100 and of 50 records."""
    for name, count in (("a", 100), ("b", 50)):
        write_lines(tmp_path / f"{name}.jsonl", *records(name, count))
    return tmp_path / "a.jsonl", tmp_path / "b.jsonl"


def ids(source, seed=0):
    return [value["id"] for _, value in read_entries(source, seed=seed)]


def test_a_weight_is_the_share_of_a_source_that_is_read(two):
    a, b = two
    counts = collections.Counter(name[0] for name in ids(f"{a}:0.7,{b}:0.3"))
    assert counts == {"a": 70, "b": 15}
    assert len(ids(f"{a}:0.25")) == 25
    assert len(ids(f"{a}, {b}:1")) == 150


def test_a_mixture_is_the_same_wherever_its_files_lie(two, tmp_path, monkeypatch):
    whole = load_pairs(f"{two[0]}:0.3,{two[1]}")
    (tmp_path / "moved").mkdir()
    packed = tmp_path / "moved" / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(two[0].read_bytes()))
    assert load_pairs(f"{packed}:0.3,{two[1]}") == whole
    monkeypatch.chdir(tmp_path)
    assert load_pairs("./a.jsonl:0.3,b.jsonl") == whole
    two[0].rename(tmp_path / "other.jsonl")
    assert ids("other.jsonl:0.3") == ids(f"{packed}:0.3")


@pytest.mark.parametrize(
    ("found", "short"),
    [
        (["/x/a.jsonl.gz", "b.csv"], ["a", "b"]),
        (["x/train.jsonl", "y/train.jsonl"], ["x/train", "y/train"]),
        (["data/x/", "org/name:train?revision=v1.0"], ["x", "org/name:train?revision=v1.0"]),
        (["gs://x/a.jsonl", "a.json"], ["x/a", "a"]),
        (["a.jsonl", "a.jsonl"], ["a", "a"]),
        (["v1.0/part.csv", "v1.0/rest.parquet"], ["part", "rest"]),
    ],
)
def test_sources_are_called_by_what_sets_them_apart(found, short):
    assert folders.labels(found) == short


def test_what_is_read_depends_on_the_seed_alone(two):
    a, b = two
    some = ids(f"{a}:0.5")
    assert some == ids(f"{a}:0.5")
    assert some == [name for name in ids(f"{b},{a}:0.5") if name[0] == "a"]
    assert some != ids(f"{a}:0.5", seed=1)
    assert some == sorted(some, key=lambda name: int(name[1:]))


@pytest.mark.parametrize("weight", [0.03, 1 / 3, 0.5, 0.999])
def test_the_share_is_kept_all_along(weight):
    taken = list(mixtures.share(iter(range(1000)), weight, "x"))
    for end in (100, 500, 1000):
        assert abs(sum(item < end for item in taken) - weight * end) <= 1


def test_a_source_of_which_nothing_is_drawn_is_said(tmp_path, capsys):
    a = write_lines(tmp_path / "a.jsonl", *records("a", 1))
    b = write_lines(tmp_path / "b.jsonl", *records("b", 2))
    assert len(load_pairs(f"{a}:0.01,{b}")) == 2
    assert "records kept: 2 of b, 0 of a" in capsys.readouterr().out


@pytest.mark.parametrize("weight", ["0", "1.5", "7"])
def test_a_weight_that_is_no_share_is_refused(two, weight):
    with pytest.raises(UserError, match=r"must be above 0 and at most 1"):
        ids(f"{two[0]}:{weight}")


def test_a_file_may_be_named_with_a_colon_and_digits(tmp_path):
    odd, plain = tmp_path / "a:0.5", tmp_path / "run:2.jsonl"
    write_lines(plain, *records("b", 10))
    assert len(ids(plain)) == 10
    assert len(ids(f"{plain}:0.5")) == 5
    odd.mkdir()
    write_lines(odd / "c.jsonl", *records("c", 10))
    assert len(ids(odd)) == 10
    assert len(ids(f"{odd},{plain}")) == 20
    assert folders.parts("gs://x/a,b.jsonl:0.5") == [("gs://x/a,b.jsonl", 0.5)]
    assert folders.parts("gs://x/a.jsonl:0.5,s3://b.jsonl") == [
        ("gs://x/a.jsonl", 0.5),
        ("s3://b.jsonl", 1.0),
    ]


def test_the_files_of_a_mixture_are_known_by_their_names(two):
    assert folders.files_of(f"{two[0]}:0.5,{two[1]}") == list(two)


@pytest.mark.parametrize("iterate", [iter_pairs, iter_demonstrations])
def test_each_source_is_counted(two, iterate):
    tally = Tally()
    list(iterate(read_entries(f"{two[0]}:0.1,{two[1]}"), tally))
    assert "records kept: 10 of a, 50 of b" in tally.notes()


def test_each_source_is_a_subset_and_one_alone_is_none(two, tmp_path):
    named = write_lines(tmp_path / "c.jsonl", {**PAIR, "subset": "Math"})
    pairs = load_pairs(f"{two[1]},{named}")
    assert collections.Counter(pair["subset"] for pair in pairs) == {
        "b": 50,
        "c / Math": 1,
    }
    assert "subset" not in load_pairs(two[0])[0]
    assert load_pairs(named)[0]["subset"] == "Math"


def test_sources_may_count_their_records_alike(tmp_path):
    one = write_lines(tmp_path / "a.jsonl", {**PAIR, "id": 0}, {**PAIR, "id": 1})
    other = write_lines(tmp_path / "b.jsonl", {**PAIR, "id": 0}, {**PAIR, "id": 2})
    assert [pair["id"] for pair in load_pairs(f"{one},{other}")] == ["0", "1", "b/0", "2"]
    with pytest.raises(UserError, match="id '0' was used before"):
        load_pairs(f"{one},{one}")


def test_samples_keep_their_source(tmp_path, capsys):
    one = write_lines(tmp_path / "a.jsonl", SAMPLE)
    other = write_lines(tmp_path / "b.jsonl", {**SAMPLE, "id": "b"})
    split = prepare.samples_of(f"{one},{other}", tmp_path / "cache")
    assert [sample["subset"] for sample in split.samples()] == ["a", "b"]
    assert "records kept: 1 of a, 1 of b" in capsys.readouterr().out


def test_a_renamed_part_is_the_same_data_under_its_new_name(two, tmp_path):
    """A run goes on with it, and its tables have the new name."""
    tokenizer = tokenization.train(["How are you? Fine. Bad."], 300)

    def prepared(first):
        data = DataSettings(train=f"{first},{two[1]}", num_proc=1)
        split, _ = prepare.samples(data, Settings(), 0, tmp_path / "cache")
        return split, encode_split(split, tokenizer, data, tmp_path / "cache")

    split, tries = prepared(two[0])
    renamed = two[0].rename(tmp_path / "other.jsonl")
    again, known = prepared(renamed)
    assert again.origin == split.origin
    assert known.fingerprint == tries.fingerprint
    assert {trie["subset"] for trie in map(known.__getitem__, range(len(known)))} == {"other", "b"}
    opened = open_cached(tmp_path / "cache", tries.fingerprint, tries.row_length)
    assert opened.counts == tries.counts
    write_lines(renamed, *records("c", 100))
    changed, _ = prepared(renamed)
    assert changed.origin != split.origin


@pytest.fixture
def hub(monkeypatch):
    """What the hub was asked for; every data set has ten pairs."""
    asked = []

    def load_dataset(path, **options):
        asked.append((path, options))
        rows = datasets.Dataset.from_list(records("h", 10))
        return rows.to_iterable_dataset() if options.get("streaming") else rows

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("org/name", {"split": "train"}),
        ("org/name:test", {"split": "test"}),
        ("org/name?split=test&revision=v1.0", {"split": "test", "revision": "v1.0"}),
        (
            "org/name:test?config=en&data_dir=a/b",
            {"split": "test", "name": "en", "data_dir": "a/b"},
        ),
    ],
)
def test_data_sets_of_the_hub_have_options(hub, name, options):
    assert len(ids(name)) == 10
    assert hub == [("org/name", options)]


def test_a_streamed_data_set_has_the_same_samples(hub):
    whole, streamed = (load_pairs(name) for name in ("org/name", "org/name?streaming=true"))
    assert whole == streamed
    assert [options.get("streaming") for _, options in hub] == [None, True]


@pytest.mark.parametrize(
    ("part", "numbers"), [("[:3]", [0, 1, 2]), ("[4:6]", [4, 5]), ("[8:]", [8, 9]), ("[6:6]", [])]
)
def test_rows_by_number_are_all_that_is_read_of_a_stream(hub, part, numbers):
    found = ids(f"org/name:train{part}?streaming=true")
    assert found == [f"h{number}" for number in numbers]
    assert hub == [("org/name", {"split": "train", "streaming": True})]
    list(read_entries(f"org/name:train{part}"))  # otherwise `datasets` reads them
    assert hub[1] == ("org/name", {"split": f"train{part}"})


def test_data_sets_of_the_hub_may_be_mixed(hub, two):
    counts = collections.Counter(name[0] for name in ids(f"org/name:test:0.2,{two[0]}:0.1"))
    assert counts == {"h": 2, "a": 10}
    assert hub == [("org/name", {"split": "test"})]


def test_an_unknown_option_is_named(hub):
    with pytest.raises(UserError, match=r"unknown option 'confg'; known are split, config"):
        ids("org/name?confg=en")

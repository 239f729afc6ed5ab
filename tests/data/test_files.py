"""Files, folders and names of data: read as they are meant, or refused by name."""

import bz2
import gzip
import json
import lzma
import os

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from mapl_jax.data import folders
from mapl_jax.data.readers import read_entries
from mapl_jax.data.records import read_pairs
from mapl_jax.runtime.errors import UserError
from mapl_jax.synthesize import load_pairs

from support import PAIR, write_lines

LINE = json.dumps(PAIR).encode()
TSV = b"id\tprompt\tchosen\trejected\tmargin\na\tHow are you?\tFine.\tBad.\t1.5\n"


def packed(kind: str, content: bytes = LINE) -> bytes:
    """Content as another program packs it, in two frames."""
    frames = []
    for part in (content[:9], content[9:]):
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, kind) as file:
            file.write(part)
        frames.append(sink.getvalue().to_pybytes())
    return b"".join(frames)


def arrow(open_file) -> bytes:
    """The pair as an Arrow file or stream."""
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist([PAIR])
    with open_file(sink, table.schema) as file:
        file.write_table(table)
    return sink.getvalue().to_pybytes()


SAME = {
    "a.jsonl.gz": gzip.compress(LINE),
    "a.json.gz": gzip.compress(b"[" + LINE + b"]"),
    "a.jsonl.bz2": bz2.compress(LINE),
    "a.ndjson.xz": lzma.compress(LINE),
    "a.jsonl.lzma": lzma.compress(LINE, lzma.FORMAT_ALONE),
    "a.jsonl.zst": packed("zstd"),
    "a.csv.lz4": packed("lz4", TSV.replace(b"\t", b",")),
    "a.JSONL": LINE,
    "a.tsv": TSV,
    "a.tsv.gz": gzip.compress(TSV),
    "a.csv.bz2": bz2.compress(TSV.replace(b"\t", b",")),
    "one.json": json.dumps(PAIR, indent=1).encode(),
    "wrapped.json": b'\xef\xbb\xbf{"data": [' + LINE + b"]}",
    "versioned.json": b'{"version": "1.0", "data": [' + LINE + b"]}",
    "described.json": b'{"data": [' + LINE + b'], "meta": {"by": "us"}, "tags": ["a"]}',
    "lines.json": LINE,
    "printed.json": json.dumps(PAIR, indent=1).encode() + b"\n",
    "splits.json": b'{"train": [' + LINE + b'], "test": [' + LINE + b"]}",
    "by_id.json": json.dumps({PAIR.get("id", "a"): PAIR}).encode(),
    "columns.json": json.dumps({k: [x] for k, x in PAIR.items()}).encode(),
    "pandas.json": pd.DataFrame([PAIR]).to_json().encode(),
    "split.json": pd.DataFrame([PAIR]).to_json(orient="split").encode(),
    "a.arrow": arrow(pa.ipc.new_file),
    "a.feather": arrow(pa.ipc.new_file),
    "stream.arrow": arrow(pa.ipc.new_stream),
    "semicolons.csv": TSV.replace(b"\t", b";"),
    "bars.csv": b"sep=|\r\n" + TSV.replace(b"\t", b"|"),
    "tabs.csv": TSV,
    "commas.tsv": TSV.replace(b"\t", b","),
    "spaces.csv": TSV.replace(b"\t", b", ", 4).replace(b"\t", b","),
}


@pytest.mark.parametrize("name", SAME)
def test_every_kind_of_file_reads_the_same(name, tmp_path):
    (tmp_path / name).write_bytes(SAME[name])
    (pair,) = read_pairs(tmp_path / name).records
    assert (pair["id"], pair["chosen"], pair["margin"]) == ("a", "Fine.", 1.5)


def test_of_several_splits_to_train_on_none_is_guessed(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("train_prefs", "train_sft", "test_prefs"):
        write_lines(tmp_path / f"data/{name}-00000-of-00001.jsonl", PAIR)
    with pytest.raises(UserError, match=r"several splits.*train_sft"):
        read_pairs(tmp_path)
    (tmp_path / "data/train_sft-00000-of-00001.jsonl").unlink()
    assert len(read_pairs(tmp_path).records) == 1


def test_a_pointer_is_not_the_data(tmp_path):
    (tmp_path / "a.jsonl").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:aa\n")
    with pytest.raises(UserError, match="run git lfs pull"):
        read_pairs(tmp_path / "a.jsonl")


@pytest.mark.parametrize("name", ["a.parquet", "b[1].parquet", "b?.parquet"])
def test_the_name_of_a_parquet_file_is_no_pattern(name, tmp_path):
    for written in ("b1.parquet", name):
        pa.parquet.write_table(pa.Table.from_pylist([PAIR | {"id": written}]), tmp_path / written)
    (pair,) = read_pairs(tmp_path / name).records
    assert pair["id"] == name


@pytest.mark.parametrize("name", ["a.jsonl.bz2", "a.ndjson.xz", "a.jsonl.zst", "a.csv.lz4"])
def test_a_damaged_file_is_named(name, tmp_path):
    (tmp_path / name).write_bytes(SAME[name][:-9])
    with pytest.raises(UserError, match=f"{name}: (cut off|cannot read)"):
        read_pairs(tmp_path / name)


TWICE = b'{"prompt": "a", "prompt": "b", "chosen": "c", "rejected": "d"}'
COLUMNS = ["prompt", "chosen", "rejected", "prompt"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", LINE + b"\n" + TWICE),
        ("lines.json", LINE + b"\n" + TWICE),
        ("list.json", b"[" + LINE + b", " + TWICE + b"]"),
        ("wrapped.json", b'{"data": [' + LINE + b",\n" + TWICE + b"]}"),
        ("deep.jsonl", LINE + b'\n{"prompt": [{"role": "user", ' + TWICE[1:-1] + b"}]}"),
    ],
)
def test_a_field_that_is_named_twice_is_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}, record 2: names 'prompt' twice"):
        read_pairs(tmp_path / name)


def test_a_column_that_is_named_twice_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text(",".join(COLUMNS) + "\n")
    table = pa.table([["x"]] * 4, names=COLUMNS)
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    frame = pd.DataFrame([["x"] * 4], columns=COLUMNS)
    for source in (tmp_path / "a.csv", tmp_path / "a.parquet", table, frame):
        with pytest.raises(UserError, match="names column 'prompt' twice; rename one"):
            load_pairs(source)


def test_a_header_that_comes_again_is_no_record(tmp_path):
    (tmp_path / "a.tsv").write_bytes(TSV + TSV)
    with pytest.raises(UserError, match=r"record 2: is the header again; remove it"):
        read_pairs(tmp_path / "a.tsv")
    assert len(read_pairs(tmp_path / "a.tsv", on_error="skip").records) == 1


def test_archives_are_to_be_unpacked(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"archives \(.zip, .tar\) have to be unpacked"):
        read_pairs(tmp_path / "a.zip")


def test_lists_in_cells_are_lists(tmp_path):
    for cells in ('"[""Bad."", ""Fine.""]","[1, 2]"', "\"['Bad.', 'Fine.']\",\"[1, 2]\""):
        (tmp_path / "a.csv").write_text(f"prompt,responses,scores\nHow?,{cells}\n")
        (pair,) = read_pairs(tmp_path / "a.csv").records
        assert (pair["chosen"], pair["rejected"]) == ("Fine.", "Bad.")


def test_saved_splits_are_read_as_a_folder_of_splits_is(tmp_path):
    import datasets

    def save(**splits):
        found = {k: datasets.Dataset.from_list([PAIR | {"id": v}]) for k, v in splits.items()}
        datasets.DatasetDict(found).save_to_disk(str(tmp_path / "_".join(splits)))
        return tmp_path / "_".join(splits)

    assert [p["id"] for p in read_pairs(save(train="a", test="b")).records] == ["a"]
    assert [p["id"] for p in read_pairs(save(other="c")).records] == ["c"]
    with pytest.raises(UserError, match=r"several splits .train_prefs, train_sft.; give the one"):
        read_pairs(save(train_prefs="a", train_sft="b"))


def test_what_holds_several_splits_is_no_list_of_records():
    with pytest.raises(UserError, match="not an object with train, test; give a part"):
        load_pairs({"train": [PAIR], "test": [PAIR]})


def pairs(folder, **files):
    for name, count in files.items():
        path = folder / name.replace("__", "/").replace("_jsonl", ".jsonl")
        path.parent.mkdir(exist_ok=True, parents=True)
        write_lines(path, *({**PAIR, "id": f"{name} {i}"} for i in range(count)))


def test_a_folder_of_splits_gives_its_train_split(tmp_path):
    pairs(tmp_path, train_jsonl=3, test_jsonl=2, validation_jsonl=1)
    assert {p["id"].split()[0] for p in read_pairs(tmp_path).records} == {"train_jsonl"}


def test_a_folder_as_the_hub_leaves_it_is_read(tmp_path):
    pairs(tmp_path, data__train_jsonl=3, data__test_jsonl=2)
    (tmp_path / "dataset_infos.json").write_text('{"default": {}}')
    (tmp_path / "README.md").write_text("# Pairs")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.jsonl").write_text("{}")
    (tmp_path / "data" / "._train.jsonl").write_bytes(b"\0\1")
    assert len(read_pairs(tmp_path).records) == 3


def test_a_folder_of_one_split_is_read_whatever_it_is(tmp_path):
    pairs(tmp_path, test_jsonl=2)
    assert len(read_pairs(tmp_path).records) == 2


@pytest.mark.parametrize(
    "names",
    [
        ("training.jsonl", "testing.jsonl"),
        ("hhtrain.jsonl", "hhtest.jsonl"),
        ("Train.jsonl", "held_out.jsonl"),
        ("train-00000-of-00001.jsonl", "dev-00000-of-00001.jsonl"),
    ],
)
def test_splits_are_known_by_their_names(names, tmp_path):
    pairs(tmp_path, **dict.fromkeys(names, 1))
    assert [p["id"] for p in read_pairs(tmp_path).records] == [f"{names[0]} 0"]


@pytest.mark.parametrize("names", [("latest.jsonl", "contest.jsonl"), ("a_v1.jsonl", "a_v2.jsonl")])
def test_other_names_are_no_splits(names, tmp_path):
    pairs(tmp_path, **dict.fromkeys(names, 1))
    assert len(read_pairs(tmp_path).records) == 2


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train-00000-of-00002.jsonl"], "holds 1 of the 2 files train-.; get the others"),
        (["pairs.jsonl", "pairs.ndjson"], "pairs.jsonl and pairs.ndjson, which may be the same"),
        (["a.jsonl", "old__b.jsonl"], r"holds data files, and more in folders .old.b.jsonl."),
    ],
)
def test_a_folder_that_is_in_doubt_is_refused(names, message, tmp_path):
    pairs(tmp_path, **dict.fromkeys(names, 1))
    with pytest.raises(UserError, match=message):
        read_pairs(tmp_path)


def test_a_link_to_data_that_is_not_there_is_named(tmp_path):
    pairs(tmp_path, **{"a.jsonl": 1})
    (tmp_path / ".b.jsonl").symlink_to("gone")  # as editors lock files
    assert len(read_pairs(tmp_path).records) == 1
    (tmp_path / "b.jsonl").symlink_to("gone")
    with pytest.raises(UserError, match=r"b\.jsonl is a link to a file that is not there"):
        read_pairs(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("org/name:train?streaming=maybe", "streaming is 'maybe'; it must be true or false"),
        ("org/name:train?split=test", "names its split twice; write it once, as org/name:train"),
        ("https://huggingface.co/datasets/org/name", "a page of the hub; give the data set itself"),
        ("https://hf.co/datasets/org/name/viewer/x", "give the data set itself, org/name:train"),
    ],
)
def test_a_name_of_the_hub_that_cannot_be_meant_is_refused(name, said):
    with pytest.raises(UserError, match=said):
        read_pairs(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(LINE), "compressed by gzip; name it .jsonl.gz"),
        (LINE.decode().encode("utf-16"), "UTF-16 and not UTF-8 text; save it as UTF-8"),
        (b"PAR1...", "Parquet; name it .parquet"),
        (b"<!DOCTYPE html>", "a page of HTML"),
        (json.dumps(PAIR, indent=1).encode(), "a file that is one JSON value is named .json"),
    ],
    ids=["gzip", "UTF-16", "Parquet", "HTML", "JSON"],
)
def test_a_file_that_is_not_what_its_name_says_is_told(content, message, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=f"a.jsonl, record 1: .*{message}"):
        read_pairs(tmp_path / "a.jsonl")


def test_splits_beside_other_files_have_to_be_chosen(tmp_path):
    pairs(tmp_path, test_jsonl=2, more_jsonl=2)
    with pytest.raises(UserError, match=r"several splits .more.jsonl, test.jsonl.; give the one"):
        read_pairs(tmp_path)


def test_the_home_folder_and_the_root_are_no_data_sets(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    pairs(tmp_path, a_jsonl=1)
    monkeypatch.chdir(tmp_path)
    for name in ("~", "~/", ".", tmp_path, f"{tmp_path}/../{tmp_path.name}"):
        with pytest.raises(UserError, match="is your home folder; give the file or the folder"):
            read_pairs(name)
    for name in ("/", "/.."):
        with pytest.raises(UserError, match="is the root of the file system; give the file or"):
            read_pairs(name)
    assert len(read_pairs("~/a.jsonl").records) == 1


def test_a_folder_of_too_many_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "MOST", 3)
    pairs(tmp_path, a_jsonl=1, b_jsonl=1, c_jsonl=1)
    assert len(read_pairs(tmp_path).records) == 3
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "d").write_text("")
    with pytest.raises(UserError, match="holds more than 3 files; give the file or the folder of"):
        read_pairs(tmp_path)


def test_a_file_of_an_unread_kind_is_named(tmp_path):
    pairs(tmp_path, a_jsonl=1)
    (tmp_path / "b.xlsx").write_bytes(b"?")
    with pytest.raises(UserError, match=r"holds b.xlsx, which cannot be read"):
        read_pairs(tmp_path)


def test_what_is_no_file_among_the_files_of_a_folder_is_named(tmp_path):
    write_lines(tmp_path / "a.jsonl", PAIR)
    for make in (os.mkfifo, lambda path: os.symlink("gone.jsonl", path)):
        (tmp_path / ".hidden.jsonl").unlink(missing_ok=True)
        make(tmp_path / ".hidden.jsonl")
        assert len(load_pairs(tmp_path)) == 1
        make(tmp_path / "b.jsonl")
        with pytest.raises(UserError, match=r"b\.jsonl is (no regular|a link to a) file"):
            load_pairs(tmp_path)
        (tmp_path / "b.jsonl").unlink()


def test_several_names_patterns_and_the_home_folder(tmp_path, monkeypatch):
    pairs(tmp_path, a_jsonl=1, b_jsonl=2)
    monkeypatch.setenv("HOME", str(tmp_path))
    a, b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    for name, count in {f"{a},{b}": 3, f"{tmp_path}/*.jsonl": 3, "~/b.jsonl": 2}.items():
        assert len(list(read_entries(name))) == count, name
    with pytest.raises(UserError, match="no file or folder matches"):
        list(read_entries(f"{tmp_path}/*.csv"))


def test_a_pattern_that_matches_held_out_files_says_so(tmp_path, capsys):
    pairs(tmp_path, train_jsonl=1, test_jsonl=2, more_jsonl=1)
    for pattern, said in {"*.jsonl": True, "t*n.jsonl": False, "test*": False}.items():
        assert list(read_entries(f"{tmp_path}/{pattern}"))
        assert ("held out, too (test.jsonl)" in capsys.readouterr().out) == said, pattern


def test_a_file_in_a_bucket_is_read():
    import fsspec

    with fsspec.open("memory://pairs/a.jsonl.gz", "wb") as file:
        file.write(gzip.compress(LINE))
    assert len(read_pairs("memory://pairs/a.jsonl.gz").records) == 1
    with pytest.raises(UserError, match=r"memory://pairs/b\.jsonl: cannot read it"):
        read_pairs("memory://pairs/b.jsonl")


def test_patterns_and_folders_in_a_bucket_are_read_as_those_on_the_disk():
    import fsspec

    for name in ("data/train-00000-of-00001", "data/test-00000-of-00001", ".x", "b/c"):
        with fsspec.open(f"memory://several/{name}.jsonl", "wb") as file:
            file.write(json.dumps(PAIR | {"id": name}).encode())
    for source, found in {
        "memory://several/data": ["data/train-00000-of-00001"],
        "memory://several/data/": ["data/train-00000-of-00001"],
        "memory://several/data/t*.jsonl": ["data/test-00000-of-00001", "data/train-00000-of-00001"],
        "memory://several/b": ["b/c"],
    }.items():
        assert [pair["id"] for pair in read_pairs(source).records] == found, source
    for source, said in {
        "memory://several": "several splits .*; give the one to read",
        "memory://several/d*.csv": r"no file matches memory://several/d\*.csv",
        "memory://nothing": "holds no data files",
        "memory://several/b/c.txt": "unknown ending",
    }.items():
        with pytest.raises(UserError, match=said):
            read_pairs(source)


def test_wrapped_json_keeps_what_looks_wrapped_but_is_a_record(tmp_path):
    (tmp_path / "a.json").write_text('{"chosen": "no list"}')
    with pytest.raises(UserError, match=r"a.json, record 1: has no 'rejected'"):
        read_pairs(tmp_path / "a.json")


def test_rows_as_the_server_of_the_hub_gives_them(tmp_path):
    rows = [{"row_idx": i, "row": {**PAIR, "id": i}, "truncated_cells": []} for i in range(2)]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"features": [{"name": "prompt"}], "rows": rows}))
    assert [pair["id"] for pair in load_pairs(path)] == ["0", "1"]
    rows[1]["truncated_cells"] = ["chosen"]
    path.write_text(json.dumps({"features": [{"name": "prompt"}], "rows": rows}))
    with pytest.raises(UserError, match=r"record 2: was cut by the server that gave it \(chosen\)"):
        load_pairs(path)


def test_ifeval_reads_its_files_as_all_data_is_read(tmp_path):
    from mapl_jax.evaluation import ifeval_files

    line = b'{"prompt": "Q", "response": "A"}'
    files = {"a.jsonl": b"\xef\xbb\xbf" + line, "a.jsonl.gz": gzip.compress(line),
             "a.json": b"[" + line + b"]"}  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        assert ifeval_files.read_responses(tmp_path / name) == {"Q": ["A"]}, name

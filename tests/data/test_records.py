"""Preference pairs and samples from files: every accepted form, and what is said about bad ones."""

import csv
import gzip
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapl_jax.data.fields import as_object
from mapl_jax.data.readers import Entries, read_entries
from mapl_jax.data.records import Ids, collect, iter_pairs, read_pairs
from mapl_jax.data.samples import check_sample, is_sample, read_samples
from mapl_jax.runtime.errors import UserError

from support import PAIR, SAMPLE, SHARED, USER, write_lines

PREFERENCES = SHARED / "data" / "preferences"

GOOD, BAD = {"role": "assistant", "content": "Fine."}, {"role": "assistant", "content": "Bad."}


def one(record):
    return collect(iter_pairs, Entries("here", [("here", record)])).records[0]


# Accepted forms.

SAME_PAIR = {
    "text": {"prompt": "How are you?", "chosen": "Fine.", "rejected": "Bad."},
    "prompt as messages": {"prompt": [USER], "chosen": "Fine.", "rejected": "Bad."},
    "all as messages": {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
    "text prompt, replies as messages": {
        "prompt": "How are you?",
        "chosen": [GOOD],
        "rejected": [BAD],
    },
    "prompt repeated in the replies": {
        "prompt": "How are you?",
        "chosen": [USER, GOOD],
        "rejected": [USER, BAD],
    },
    "implicit prompt": {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
    "implicit prompt, null column": {
        "prompt": None,
        "chosen": [USER, GOOD],
        "rejected": [USER, BAD],
    },
    "HH dialogue": {
        "chosen": "\n\nHuman: How are you?\n\nAssistant: Fine.",
        "rejected": "\n\nHuman: How are you?\n\nAssistant: Bad.",
    },
    "HH prompt": {
        "prompt": "\n\nHuman: How are you?\n\nAssistant:",
        "chosen": "Fine.",
        "rejected": "Bad.",
    },
}


@pytest.mark.parametrize("name", SAME_PAIR)
def test_every_form_of_a_pair_reads_the_same(name):
    pair = one(SAME_PAIR[name])
    assert pair["prompt"] == [USER]
    assert (pair["chosen"], pair["rejected"]) == ("Fine.", "Bad.")
    assert pair["margin"] == 0.0


def test_rows_of_different_forms_may_be_mixed():
    entries = [("row", record) for record in SAME_PAIR.values()]
    pairs = collect(iter_pairs, Entries("mixed", entries))
    assert len(pairs.records) == len(SAME_PAIR)
    assert len({json.dumps(pair["prompt"]) for pair in pairs.records}) == 1


def test_shared_characters_never_move_into_the_prompt():
    """TRL's extract_prompt makes "Q? ye" the prompt of "Q? yes" and "Q? yes, sir"."""
    yes, sir = ({**GOOD, "content": text} for text in ("yes", "yes, sir"))
    pair = one({"chosen": [USER, yes], "rejected": [USER, sir]})
    assert pair["prompt"] == [USER]
    assert (pair["chosen"], pair["rejected"]) == ("yes", "yes, sir")


def test_shared_turns_of_the_assistant_belong_to_the_prompt():
    conversation = [USER, GOOD, {"role": "user", "content": "Really?"}]
    pair = one({"chosen": [*conversation, GOOD], "rejected": [*conversation, BAD]})
    assert pair["prompt"] == conversation


def test_hh_dialogues_are_split_by_turn():
    text = "\n\nHuman: Hi\n\nAssistant: Hello\nthere\n\nHuman: Bye\n\nAssistant: "
    pair = one({"chosen": text + "Bye now", "rejected": text + "Bye no"})
    assert pair["prompt"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello\nthere"},
        {"role": "user", "content": "Bye"},
    ]
    assert (pair["chosen"], pair["rejected"]) == ("Bye now", "Bye no")


def test_replies_are_kept_to_the_letter():
    assert one({**PAIR, "chosen": " Fine.\n"})["chosen"] == " Fine.\n"


text_part = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(prompt=text_part, chosen=text_part, rejected=text_part)
def test_explicit_and_implicit_prompts_agree(prompt, chosen, rejected):
    if chosen.strip() == rejected.strip():
        return
    user = {"role": "user", "content": prompt}
    explicit = one({"prompt": [user], "chosen": chosen, "rejected": rejected})
    implicit = one(
        {
            "chosen": [user, {"role": "assistant", "content": chosen}],
            "rejected": [user, {"role": "assistant", "content": rejected}],
        }
    )
    assert explicit == implicit


# Ids.


def test_missing_ids_are_made_from_the_content():
    record = SAME_PAIR["text"]
    assert one(record)["id"] == one(SAME_PAIR["all as messages"])["id"]
    assert one(record)["id"] != one({**record, "chosen": "Great."})["id"]


def test_a_pair_that_occurs_again_without_id_gets_a_count():
    entries = Entries("s", [("1", SAME_PAIR["text"]), ("2", SAME_PAIR["text"])])
    pairs = collect(iter_pairs, entries)
    first, second = (pair["id"] for pair in pairs.records)
    assert second == f"{first}-2"


def test_integer_ids_become_text():
    assert one({**PAIR, "id": 7})["id"] == "7"


def test_repeated_ids_are_refused(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", PAIR, {**PAIR, "chosen": "Great."})
    with pytest.raises(UserError, match=r"a\.jsonl, record 2: id 'a' was used before.*record 1"):
        read_pairs(path)


def test_ids_are_remembered_however_many_there_are():
    ids = Ids()
    count = 2 * 2**15 + 100
    assert not any(ids.add(f"id {number}", number) for number in range(1, count))
    assert [ids.add(f"id {number}", 0) for number in (1, 2**15, 2**16, count - 1)] == [
        1,
        2**15,
        2**16,
        count - 1,
    ]
    assert ids.unused("id 7") == "id 7-2"
    assert ids.unused("id 0") == "id 0"


# Bad records, each with a piece of its message.

BAD_RECORDS = {
    "number": (5, "must be an object"),
    "list": ([PAIR], "must be an object"),
    "no rejected": ({"prompt": "q", "chosen": "a"}, "no 'rejected' .found: chosen, prompt."),
    "null reply": ({**PAIR, "chosen": None}, "chosen must be text, not null"),
    "integer reply": ({**PAIR, "rejected": 3}, "rejected must be text, not a number"),
    "identical reply as a message": ({**PAIR, "rejected": GOOD}, "are the same"),
    "reply without content": (
        {**PAIR, "rejected": {"role": "assistant"}},
        "must be an object with",
    ),
    "empty reply": ({**PAIR, "chosen": ""}, "chosen is empty"),
    "blank reply": ({**PAIR, "chosen": " \n"}, "chosen is empty"),
    "identical": ({**PAIR, "rejected": "Fine."}, "chosen and rejected are the same"),
    "identical but for space": ({**PAIR, "rejected": "Fine.\n"}, "are the same"),
    "NaN margin": ({**PAIR, "margin": float("nan")}, "margin must be a finite number, not nan"),
    "infinite margin": ({**PAIR, "margin": float("inf")}, "margin must be a finite number"),
    "huge margin": ({**PAIR, "margin": 10**400}, "margin must be a finite number"),
    "text margin": ({**PAIR, "margin": "2"}, "margin must be a finite number, not '2'"),
    "boolean margin": ({**PAIR, "margin": True}, "margin must be a finite number"),
    "boolean id": ({**PAIR, "id": True}, "id must be text or an integer"),
    "empty prompt": ({**PAIR, "prompt": ""}, "prompt is empty"),
    "no messages": ({**PAIR, "prompt": []}, "prompt is an empty list"),
    "integer prompt": ({**PAIR, "prompt": 3}, "prompt must be text or messages"),
    "unknown role": (
        {**PAIR, "prompt": [{"role": "narrator", "content": "Hi"}]},
        "message 1 of prompt has role 'narrator'; known are system, user, assistant",
    ),
    "message without content": (
        {**PAIR, "prompt": [{"role": "user"}]},
        'must be an object with "role" and "content"',
    ),
    "content of parts": (
        {**PAIR, "prompt": [{"role": "user", "content": [{"type": "image", "image": "a.png"}]}]},
        "message 1 of prompt holds a part of type 'image'; only text is read",
    ),
    "tool call": (
        {**PAIR, "prompt": [USER, {**GOOD, "tool_calls": [{"what": "f"}]}]},
        "has tools or calls that are no objects",
    ),
    "prompt ends with the assistant": (
        {**PAIR, "prompt": [USER, GOOD]},
        "ends with a turn of role 'assistant'; it must end with a user's",
    ),
    "another prompt in the reply": (
        {**PAIR, "chosen": [{"role": "user", "content": "Who?"}, GOOD]},
        "chosen has 2 messages that do not begin with the prompt's",
    ),
    "reply by the user": ({**PAIR, "chosen": [USER]}, "must end with a turn of role 'assistant'"),
    "two texts without prompt": (
        {"chosen": "Q? yes", "rejected": "Q? yes, sir"},
        "where it ends cannot be told from two texts",
    ),
    "mixed forms": ({"chosen": [USER, GOOD], "rejected": "Bad."}, "use one form"),
    "conversations part early": (
        {"chosen": [USER, GOOD, USER, GOOD], "rejected": [USER, BAD, USER, BAD]},
        "chosen has 3 turns after the 1 that both share",
    ),
    "one conversation begins the other": (
        {"chosen": [USER, GOOD], "rejected": [USER, GOOD, USER, BAD]},
        "chosen ends where the other side goes on",
    ),
    "identical conversations": ({"chosen": [USER, GOOD], "rejected": [USER, GOOD]}, "the same"),
    "no shared turn": ({"chosen": [GOOD], "rejected": [BAD]}, "share no messages"),
    "half a surrogate pair": ({**PAIR, "chosen": "\ud83d"}, "half of a surrogate pair"),
    "a sample": (SAMPLE, "holds a synthesized sample"),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_bad_record_is_named_with_file_and_number(name, tmp_path):
    record, message = BAD_RECORDS[name]
    path = write_lines(tmp_path / "data.jsonl", {**PAIR, "id": "other"}, record)
    with pytest.raises(UserError, match=rf"data\.jsonl, record 2: .*{message}"):
        read_pairs(path)


def test_skipping_counts_every_reason(tmp_path):
    bad = [record for record, _ in BAD_RECORDS.values()]
    path = write_lines(tmp_path / "data.jsonl", {**PAIR, "id": "other"}, *bad)
    pairs = read_pairs(path, on_error="skip")
    assert (pairs.tally.read, len(pairs.records)) == (1 + len(bad), 1)
    assert sum(pairs.tally.dropped.values()) == len(bad)
    assert pairs.tally.dropped["bad margin"] == 5
    assert "bad margin 5" in pairs.tally.describe()


def test_unknown_on_error_is_refused(tmp_path):
    with pytest.raises(UserError, match="on_error"):
        read_pairs(tmp_path, on_error="ignore")


def test_nothing_left_is_an_error(tmp_path):
    path = write_lines(tmp_path / "data.jsonl", {**PAIR, "chosen": ""})
    with pytest.raises(UserError, match=r"no pair of .* can be used"):
        read_pairs(path, on_error="skip")


# Files.

GOOD_LINE = json.dumps(PAIR).encode()
BAD_LINES = {
    "cut off": (GOOD_LINE[:-9], "not JSON .*cut off"),
    "not JSON": (b"{'id': 1}", "not JSON"),
    "latin-1": ('{"prompt": "caf\xe9"}'.encode("latin-1"), "not UTF-8 text"),
    "deep": (b"[" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_bad_line_is_named_and_costs_only_itself(name, tmp_path):
    line, message = BAD_LINES[name]
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\n".join([GOOD_LINE, line, json.dumps({**PAIR, "id": "b"}).encode()]))
    with pytest.raises(UserError, match=rf"data\.jsonl, record 2: .*{message}"):
        read_pairs(path)
    assert len(read_pairs(path, on_error="skip").records) == 2


def test_blank_lines_and_byte_order_mark_are_harmless(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD_LINE + b"\r\n\n" + b'{"id": 1}')
    with pytest.raises(UserError, match=r"record 2 \(line 3\)"):
        read_pairs(path)


def test_unicode_line_separators_do_not_break_lines(tmp_path):
    record = {**PAIR, "chosen": "one\u2028two\x85three"}
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    assert read_pairs(path).records[0]["chosen"] == record["chosen"]


def test_every_kind_of_file_reads_the_same(tmp_path):
    import pyarrow
    import pyarrow.parquet

    records = [PAIR, {**PAIR, "id": "b", "prompt": "Why, and\nhow?", "margin": 0.0}]
    write_lines(tmp_path / "a.jsonl", *records)
    (tmp_path / "a.json").write_text(json.dumps(records, indent=2))
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, PAIR)
        writer.writeheader()
        writer.writerows(records)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), tmp_path / "a.parquet")
    expected = read_pairs(tmp_path / "a.jsonl").records
    for name in ("a.json", "a.jsonl.gz", "a.csv", "a.parquet"):
        assert read_pairs(tmp_path / name).records == expected, name


def test_csv_replies_are_text_whatever_they_look_like(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("prompt,chosen,rejected,margin\nHow many?,12,NA,\n")
    _, value = next(iter(read_entries(path)))
    assert one(as_object(value))["chosen"] == "12"
    assert read_pairs(path).records[0]["rejected"] == "NA"


def test_csv_cells_may_hold_messages(tmp_path):
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["chosen", "rejected"], [json.dumps([USER, GOOD]), json.dumps([USER, BAD])]]
        )
    assert read_pairs(path).records[0]["prompt"] == [USER]


@pytest.mark.parametrize(
    ("row", "message"),
    [("q,a,b,high", "not 'high'"), ("q,a", "cells"), ("q,a,b,1,2", "cells"), ("q,,b,1", "empty")],
)
def test_bad_csv_row_is_named(row, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"prompt,chosen,rejected,margin\nQ,A,B,1\n{row}\n")
    with pytest.raises(UserError, match=rf"a\.csv, record 2: .*{message}"):
        read_pairs(path)


def test_folder_is_read_file_by_file_in_order(tmp_path):
    write_lines(tmp_path / "b.jsonl", {**PAIR, "id": "2"})
    write_lines(tmp_path / "a.jsonl", {**PAIR, "id": "1"})
    (tmp_path / "README.md").write_text("not data")
    assert [pair["id"] for pair in read_pairs(tmp_path).records] == ["1", "2"]


def test_folder_written_by_datasets_is_read(tmp_path):
    import datasets

    datasets.Dataset.from_list([PAIR]).save_to_disk(str(tmp_path / "saved"))
    assert read_pairs(tmp_path / "saved").records == [one(PAIR)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jsonl", b"", "holds no records"),
        ("empty.json", b"[]", "holds no records"),
        ("head.csv", b"prompt,chosen,rejected\n", "holds no records"),
        ("broken.json", b'[{"id": 1}, {', "not JSON"),
        ("broken.parquet", b"PAR1 not really", "not readable as Parquet"),
        ("latin.csv", "prompt,chosen\nq,caf\xe9\n".encode("latin-1"), "not readable as UTF-8 CSV"),
        ("data.txt", b"hello", "an unknown ending"),
        ("broken.jsonl.gz", b"not gzip", "cannot read"),
    ],
)
def test_file_that_cannot_be_used_is_named(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{name}.*{message}"):
        read_pairs(path)


@pytest.mark.parametrize("name", ["nowhere.jsonl", "data/nowhere.jsonl", "./nowhere", "/no/where"])
def test_missing_file_is_no_hub_name(name):
    with pytest.raises(UserError, match="no such file or folder"):
        read_pairs(name)


def test_folder_without_data_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no data files"):
        read_pairs(tmp_path)


def test_hub_name_without_network_is_a_clear_error():
    code = (
        "from mapl_jax.data.records import read_pairs\n"
        "from mapl_jax.runtime.errors import UserError\n"
        "try:\n    read_pairs('some-org/some-data:train[:10]')\n"
        "except UserError as error:\n    print(error)\n"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "PATH": ""}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert "cannot load 'some-org/some-data' (split 'train[:10]') from the hub" in result.stdout
    assert "network" in result.stdout


def test_hub_name_loads_the_named_split(monkeypatch):
    import datasets

    asked = []

    def load_dataset(name, split):
        asked.append((name, split))
        return [PAIR]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert len(read_pairs("some-org/some-data:test").records) == 1
    assert len(read_pairs("some-org/some-data").records) == 1
    assert asked == [("some-org/some-data", "test"), ("some-org/some-data", "train")]


# Samples.


def test_samples_are_told_from_pairs(tmp_path):
    assert is_sample(read_entries(write_lines(tmp_path / "samples.jsonl", SAMPLE)).peek())
    assert not is_sample(read_entries(write_lines(tmp_path / "pairs.jsonl", PAIR)).peek())


def test_samples_read_back_from_json_and_parquet(tmp_path):
    import datasets

    other = json.loads(json.dumps(SAMPLE))
    other["id"] = "b"
    other["prompts"][1]["constraints"][0] = {
        "id": "keywords:existence",
        "params": {"keywords": ["fine"]},
        "text": "Include fine.",
    }
    path = write_lines(tmp_path / "samples.jsonl", SAMPLE, other)
    assert read_samples(path) == [SAMPLE, other]
    loaded = datasets.load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )
    loaded.to_parquet(str(tmp_path / "samples.parquet"))
    assert read_samples(tmp_path / "samples.parquet") == [SAMPLE, other]


def broken(**changes):
    return {**SAMPLE, **changes}


def with_comparison(**changes):
    return broken(comparisons=[{**SAMPLE["comparisons"][0], **changes}])


BAD_SAMPLES = {
    "no id": ({key: SAMPLE[key] for key in SAMPLE if key != "id"}, "without 'id'"),
    "integer id": (broken(id=3), "id must be"),
    "one response": (broken(responses=["a"]), "two non-empty strings"),
    "empty response": (broken(responses=["a", ""]), "two non-empty strings"),
    "no prompts": (broken(prompts=[]), "prompts must be a non-empty list"),
    "prompt without constraints": (broken(prompts=[{"messages": [USER]}]), "prompt 0"),
    "prompt of the assistant": (
        broken(prompts=[{"messages": [GOOD], "constraints": []}]),
        "prompt 0: .*must end with a user's",
    ),
    "constraint without text": (
        broken(prompts=[{"messages": [USER], "constraints": [{"id": "a", "params": {}}]}]),
        "prompt 0: a constraint needs id and text",
    ),
    "no comparisons": (broken(comparisons=[]), "comparisons must be a non-empty list"),
    "level": (with_comparison(level="extra"), "level must be one of base, intra, inter"),
    "prompt index": (with_comparison(prompt=[0, 2]), "a prompt index is out of range"),
    "response index": (with_comparison(response=[0, -1]), "a response index is out of range"),
    "lengths": (with_comparison(prompt=[0]), "one length"),
    "no list": (with_comparison(sign=1), "must be lists"),
    "sign": (with_comparison(sign=[1, 1]), "as many"),
    "float sign": (with_comparison(sign=[1.0, -1.0]), "must be integers"),
    "gamma": (with_comparison(gamma=float("nan")), "gamma must be a finite number"),
}


@pytest.mark.parametrize("name", BAD_SAMPLES)
def test_bad_sample_is_named_with_file_and_number(name, tmp_path):
    sample, message = BAD_SAMPLES[name]
    path = write_lines(tmp_path / "samples.jsonl", broken(id="other"), sample)
    with pytest.raises(UserError, match=rf"samples\.jsonl, record 2: .*{message}.*anew"):
        read_samples(path)


def test_samples_with_one_id_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"repeats .*record 1"):
        read_samples(write_lines(tmp_path / "s.jsonl", SAMPLE, SAMPLE))


def test_checking_a_sample_changes_nothing():
    assert check_sample(SAMPLE) == SAMPLE


# Real data.


@pytest.mark.skipif(not PREFERENCES.is_dir(), reason=f"{PREFERENCES} is absent")
def test_real_pairs_are_all_usable():
    pairs = read_pairs(PREFERENCES / "hh_helpful_test.jsonl")
    assert (pairs.tally.read, len(pairs.records), pairs.tally.dropped) == (1000, 1000, {})

"""Answers in other languages and in code: only what is true there is proposed."""

import json
from pathlib import Path

import pytest

from mapl_jax import constraints
from mapl_jax.constraints.registry import FAMILIES
from mapl_jax.constraints.requests import Request
from mapl_jax.constraints.text.statistics import view
from mapl_jax.synthesis.build import build
from mapl_jax.synthesis.settings import Settings
from mapl_jax.synthesis.tally import Stats

# (prompt, chosen, rejected) each.
TEXTS = {
    "Chinese": [
        ("北京的天气如何？", "北京夏天炎热多雨，冬天干燥。", "我不知道，请查看天气预报。"),
        ("推荐一本书。", "我推荐《活着》！这本书很感人。\n\n作者是余华。", "可以读《围城》。"),
        ("如何泡茶？", "1. 烧水。\n2. 放入茶叶。\n3. 等。", "先烧水，然后放入茶叶，等3分钟。"),
    ],
    "Japanese": [
        ("天気は？", "今日は晴れです。明日は雨が降るでしょう！", "わかりません。"),
        ("入れ方は？", "お湯を沸かし、三分待ちます。", "コーヒーはいかがですか？"),
    ],
    "Arabic": [
        ("كيف الطقس؟", "الطقس حار في الصيف، وبارد في الشتاء. هل تريد المزيد؟", "لا أعرف."),
        ("ما هو الشاي؟", "الشاي مشروب ساخن. يشربه الناس هنا!", "هو مشروب، كما أظن، ساخن."),
    ],
    "Hindi": [
        ("मौसम कैसा है?", "आज मौसम अच्छा है। कल बारिश होगी।", "मुझे नहीं पता, कृपया समाचार देखें।"),
        ("चाय कैसे बनाएं?", "पहले पानी उबालें। फिर चाय डालें। अंत में दूध मिलाएं!", "दुकान से खरीद लें।"),
    ],
    "German": [
        (
            "Wie ist das Wetter?",
            "Im Sommer ist es dort ziemlich heiß und trocken. Möchtest du noch mehr wissen?",
            "Das weiß ich leider nicht, aber im März regnet es oft.",
        ),
        (
            "Was ist Tee?",
            "Tee ist ein Getränk. Man gießt heißes Wasser auf die Blätter und wartet drei Minuten.",
            "Ein Getränk!",
        ),
    ],
}  # fmt: skip
CODE = [
    (
        "Sort a list in Python.",
        "Use `sorted`:\n\n```python\n# sort\nx = sorted(a[0], key=lambda t: -t[1])\nprint(x)\n```\n"
        "It returns a new list.",
        "Call a.sort() on it, which changes the list itself and gives nothing back.",
    ),
    (
        "Read a file in C.",
        "```c\nFILE *f = fopen(\"a\", \"r\");\nint c, n = 0;\nwhile ((c = fgetc(f)) > 0) n++;\n```",
        "Open it with fopen, read it with fgetc; close it with fclose.",
    ),
]  # fmt: skip


# About ten a language together with those above.
for line in (Path(__file__).parent / "languages.jsonl").read_text(encoding="utf-8").splitlines():
    row = json.loads(line)
    more = CODE if row["language"] == "code" else TEXTS[row["language"]]
    more.append((row["prompt"], row["chosen"], row["rejected"]))


def samples(texts, seeds=2):
    for number, (prompt, chosen, rejected) in enumerate(texts):
        for seed in range(seeds):
            pair = {"id": f"{number}-{seed}", "prompt": [{"role": "user", "content": prompt}],
                    "chosen": chosen, "rejected": rejected, "margin": None}  # fmt: skip
            yield build(pair, Settings(k_min=1, seed=seed, families="all"))


def asked(texts):
    return [
        (entry, outcome.sample)
        for outcome in samples(texts)
        for prompt in outcome.sample["prompts"]
        for entry in prompt["constraints"]
    ]


ENGLISH = {
    *(id for id in constraints.ids() if id.startswith("detectable_content:") and "person" in id),
    "detectable_content:month",
    "detectable_content:dates",
    *(
        f"detectable_content:{name}"
        for name in ("hedges", "fillers", "contrasts", "duties", "reasons")
    ),
    "detectable_content:opinions",
    "detectable_content:contractions",
    "detectable_content:examples",
    "change_case:english_lowercase",
    "change_case:english_capital",
    "keywords:mention",
    "keywords:both",
    "keywords:either",
}
WORDS = {
    "length_constraints:number_words",
    "length_constraints:word_range",
    "length_constraints:distinct_words",
    "length_constraints:first_sentence",
    "length_constraints:average_sentence",
    "length_constraints:longest_sentence",
    "length_constraints:shortest_sentence",
    "length_constraints:longest_paragraph",
    "length_constraints:nth_paragraph_first_word",
    "startend:first_word",
    "startend:last_word",
    "startend:sentence_opening",
    "keywords:initial_letter",
    "keywords:repeated_words",
    "keywords:word_length",
}


@pytest.mark.parametrize("language", TEXTS)
def test_nothing_english_is_asked_of_other_languages(language):
    found = asked(TEXTS[language])
    assert found
    assert not {entry["id"] for entry, _ in found} & ENGLISH


@pytest.mark.parametrize("language", ["Chinese", "Japanese"])
def test_words_are_not_counted_where_no_spaces_part_them(language):
    assert not {entry["id"] for entry, _ in asked(TEXTS[language])} & WORDS


@pytest.mark.parametrize("language", TEXTS)
def test_marks_and_sentences_of_the_script_are_those_asked_for(language):
    ids = {entry["id"] for entry, _ in asked(TEXTS[language])}
    assert "length_constraints:number_sentences" in ids
    assert any(id.startswith("punctuation:") for id in ids)


@pytest.mark.parametrize(("text", "few"), [("怎么学游泳？", True), ("How do I swim?", False)])
def test_fewer_characters_are_a_length_where_a_character_says_more(text, few):
    hundred = {"relation": "less than", "number": 100}
    why_not = constraints.unasked("length_constraints:characters", hundred, Request(text))
    assert (why_not is None) is few


@pytest.mark.parametrize("texts", [CODE, *TEXTS.values()], ids=["code", *TEXTS])
def test_what_one_reading_says_the_others_say(texts):
    for entry, sample in asked(texts):
        family = FAMILIES[entry["id"]]
        readings = getattr(family, "readings", ())
        for text in sample["responses"]:
            judged = constraints.check(entry["id"], entry["params"], text)
            for read in readings:
                value = read(view(text))
                assert (family.judge(entry["params"], value) >= 0) is judged, (entry, text)


@pytest.mark.parametrize("language", TEXTS)
def test_a_summary_says_how_many_families_applied(language):
    stats = Stats()
    # More draws: of three families of marks chance takes one or all.
    for outcome in samples(TEXTS[language], seeds=4):
        stats.add(outcome)
    assert 8 <= stats.summary()["families_applied"] < len(constraints.ids()) / 2

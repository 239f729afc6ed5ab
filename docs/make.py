"""Writes the pages that come from the code: python docs/make.py

docs/constraints.md from the registry of constraints, docs/configuration.md from the config files
and their settings classes, and the address of the project (PROJECT_URL in setup.py) wherever it stands.
A test says when a page is behind.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np

from mapl_jax import constraints, evaluate, generate, synthesize, train
from mapl_jax.data import demo
from mapl_jax.evaluation import ifeval, scored_file
from mapl_jax.runtime import config, files, settings

FOLDER = Path(__file__).parent
# Config -> its title and its settings class.
CONFIGS = {
    "rm": ("A reward model", train.Settings),
    "dpo": ("A policy by preferences", train.Settings),
    "sft": ("A policy by demonstrations", train.Settings),
    "synthesize": ("Synthesis", synthesize.CommandSettings),
    "evaluate": ("Evaluation of a reward model", evaluate.Settings),
    "evaluate:score": ("Rewards of a file of responses", scored_file.ScoreSettings),
    "evaluate:ifeval": ("IFEval's scores", ifeval.IfevalSettings),
    "generate": ("Responses of a policy", generate.Settings),
}
COMMANDS = {"rm": "train", "dpo": "train", "sft": "train"}
COMMANDS |= dict.fromkeys(("evaluate:score", "evaluate:ifeval"), "evaluate")
# Texts that have what few responses have.
SPECIAL = (
    'P.S. Bring a map.\n\n***\n\n"Where to?" <<A Walk>> [city] [date]\n\n* one\n* two\n\n1. Go.\n2. Stop.',
    '{"answer": "yes", "why": ["short", "clear"]}',
    "PARAGRAPH ONE IS LOUD.\n\n***\n\nPARAGRAPH TWO IS LOUDER!",
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n| c | d | e |\n|---|---|---|\n| 3 | 4 | 5 |",
    "SECTION 1\nWarm up the oven.\n\nSECTION 2\nBake the *bread* for **30** minutes; then wait.",
    "mein hund schläft gern in der sonne, und die katze sieht ihm den ganzen tag dabei zu.",
    '"My answer is yes."',
    "First, mix. Second, wait (an hour). See https://example.org or write to a@example.org: 3-4 eggs",
    "# Baking\n\nOn March 3, 2021 we didn't sleep; it's a long story 🙂.\n\n## Steps\n\n"
    "| step | time |\n|---|---|\n| mix | 5 |\n\n```python\nprint('mix')\n```\n\n### Notes\n\nDon't wait.",
    "Meet me on 2020-05-01 or on 7 June 2022, in July at the latest.",
    "# One\n\nText 🙂🙂.\n\n```\na\n```\n\n```\nb\n```\n\nThat's what we've got, isn't it? They'll say it's fine.",
    "Do you like tea? We do, and we drink a lot of it. We like it.\n\nIt is good.",
    "It is tea, as far as I know.\n\nIt is hot! What do you like to drink? Say so.",
    "Is it tea? Do you like it?",
    "1. Wash it\n2. Dry it for as long as it takes",
    "- Wash it with a lot of water\n- Dry it",
    "It might be tea. Some of us have it with milk, for example, and we like it.",
    "I think that tea must be hot, but milk should be cold.",
    "Repeat after me.\n\nRepeat after me.\n******\nA second response, my friend?",
)
MADE = demo.make_pairs(60)
RESPONSES = (*SPECIAL, *(pair[side] for pair in MADE for side in ("chosen", "rejected")))


READING = """## How a response is read

`mapl_jax.constraints.check` judges as a person reads the sentence, and `mapl_jax.constraints.verdict` as IFEval does, verdict for verdict. How `check` reads a response is decided once, in `mapl_jax/constraints/text/`:

| what | how it is read | families |
|---|---|---|
| words that are counted | What stands between spaces and dashes, as people and word processors count: "You\u2019re", "3.14", "well-known" and a web address are one word each. A Chinese, Japanese or Thai character is a word of its own. | `number_words`, `word_range`, lengths of sentences and paragraphs, `initial_letter` |
| words that are looked up | Unicode's rules (UAX 29), in lower case, composed, with straight apostrophes; "you're" is also a "you", "tea's" a "tea", and "e.g." no "e". | `keywords:*`, `distinct_words`, persons, months |
| characters | Grapheme clusters of UAX 29: an accent belongs to its letter, a family of emoji is one character. | `characters` |
| capitals | A word in all capital letters has two letters or more, so "I" and "A" are none. | `capital_word_frequency` |
| sentences | `.`, `?`, `!` and the marks of other scripts (\u3002, \uff1f, \uff01, \u0964, \u061f) end one; abbreviations, decimals, "1." of a list and an ellipsis before a small letter do not. An item of a list ends at its line; headings and rows of tables are no sentences. | `number_sentences`, lengths of sentences, `sentence_opening` |
| blocks of code | No prose: no words, marks, headings, bullets, placeholders, highlights or sentences in them. | all but `characters`, `lines`, `digits` |
| code within a line | Its words are words, its marks are no punctuation, `a[0]` is no placeholder. | `punctuation:*`, `number_placeholders` |
| web and mail addresses | One word each; their marks are no punctuation. | `punctuation:*`, `number_words` |
| markers of lists, `#`, `>`, rules, emphasis | Taken off: a bullet is no hyphen, `**Then**` begins with Then, `_tea_` is the word tea. | all that look at words and marks |
| punctuation | Full-width, Arabic and ideographic marks are what they look like: \uff0c is a comma. `...` and \u2026 are no full stop. | `punctuation:*`, `full_stop_end`, `question_end` |

### Where readers could differ

Does code count? Is "well-known" one word? Does a line break begin a paragraph? Is an unfinished sentence one, "--" a hyphen, "VI" a word? Does the comma of 1,000 count? An instruction is proposed only if it holds in each reading; `text/readings.py` and `text/marks.py` list them. Families of words are not offered where a script has no spaces, nor those of English words (persons, months, dates, case) where the answer is not English.

### What is asked, and what is not

* **Numbers.** Thresholds are round wherever a round number lies between the two responses, and a sentence shows the round one ("at most 50", "fewer than 50"). Too small ones (two characters) are not asked for, and if only a number that nobody would choose (52 words) tells the two responses apart, synthesis leaves the instruction out. For most marks and letters, an answer is asked to have none or at least one, never a number.
* **Things and words.** Words to use, and things to mention or to leave out, are those that people name (butter, a dentist, the budget). They are in a list of some 1,800 (`text/things.py`), made by hand, which leaves out what is as often another word ("train", "present", "sort"); rare words are added where the request and the answer use them as nouns. Names are not among them, nor two forms of one word, and what the conversation or an answer speaks of again comes first. A thing is mentioned by one or by several ("a carrot", "carrots"), not by "butter" in "peanut butter", and nothing is asked where a reader may find it in other words: "toddlers" for kids, "mozzarella" for cheese, "rental" for rent. A ban on a thing is not asked for alone, because most answers keep it by chance. Words to leave out are fillers ("very", "actually") that the request does not have.
* **The end of an answer** is a sentence of at most five words that fits any answer.
* **Parts of an answer.** The families of `scope` speak of a part of the answer (its first sentence, its last paragraph), of every sentence or item, or apply under a condition; they are asked only about texts of plain sentences that all readers take alike.
* **Held out for evaluation**, because readers found them contrived in everyday requests or because they fit few pairs: all but one of the families of `scope` (the one that is trained on asks whether the first sentence is a question); rules about commas, digits, letters, hyphens, colons, quotation marks, words in capitals, and a full stop at the end; the length of the first and the longest sentence and of the longest paragraph, and the average length of a sentence; two things to mention at once, or either of two; words to use so many times, words that begin no sentence, fillers, opinions and openings. The tables below mark them.
* **Together.** A prompt has no two instructions about the same thing, or of which one follows from another or from two others; no two about punctuation, no two that name things to mention, no three about words, no two about the length of sentences, no two limits on the length of the whole answer, and no limit of the whole that leaves a limit of its parts nothing to say.
* **The request** (`requests.py`). No recipe, story or list in a few words or a single line; no ban on digits where the answer is a number; no question at the end where the answer is a fact; no ban on a word of the request; no long answer to a question for a fact; no chatty tone in grave matters; the first person only where one answers as oneself ("what would you do"), the second only where one is advised; no contractions in a recipe or about a fact; no length where the user gives one. What few would ask for (a question back to one who waits for an answer, a keyword that is no thing and that the conversation does not have, a ban on "but" or "much", persons in a list) is tried last, where the pair allows no two other instructions.
* **Turns that ask nothing** (thanks, a remark) and people in distress get one instruction: a rule for every answer that needs no topic, in a system message. A pair that allows no two instructions gets one.

### Scripts and libraries

Unicode's rules come from the library `regex`, which transformers brings along: it keeps up with Unicode, needs no data or compiler, and takes 0.3 ms for a page. PyICU needs ICU on the system; uniseg and grapheme are several times as slow. Texts in ASCII go through a pattern that finds the same words, as a test checks.

Chinese, Japanese, Thai, Lao, Khmer and Burmese have no segmenter here, and no instruction that counts or names words. Segmenters (jieba, MeCab, ICU's dictionaries) disagree with each other and with their own later versions about where words end, and people who write these scripts give lengths in characters. A label that depends on a dictionary is what this page wants to avoid, and an extra for it would add a dictionary to maintain for each language, for families that nobody asks for there. What is offered are characters, sentences, paragraphs, lists, marks, and everything of Markdown; `summary.json` says how many families applied.
""".splitlines()


READERS = """## What readers found

Whether instructions read as people write them is judged by reading, round by round. In each round three new readers read samples of HH's pairs that nobody had read before (`hh_helpful_train.jsonl`, drawn at random): the conversation, both prompts with their instructions, both responses and the ticks, nothing of the code. They note each wrong tick, each sentence that a person would not write, each prompt that asks the same thing twice or contradicts itself, and each that asks the impossible.

| round | samples | wrong ticks | odd sentences | redundant | impossible or misplaced |
|---|---|---|---|---|---|
| 1 | 300 | 5 (27) | 21 (70) | 11 (15) | 0 (1) |
| 2 | 300 | 0 (17) | 34 (122) | 6 (14) | 1 (14) |
| 3 | 300 | 0 (10) | 17 (75) | 4 (13) | 5 (14) |
| 4 | 300 | 0 (22) | 27 (about 140) | 6 (23) | 0 |
| 5 | 300 | 0 (23) | 57 (about 220) | 1 (8) | 0 (3) |
| 6 | 300 | 0 (16) | 25 (90) | 0 (2) | 0 |
| 7 | 300 | 3 (27) | 20 (95) | 0 (3) | 0 (4) |
| 8 | 300 | 1 (16) | 13 (103) | 14 (16) | 0 (2) |
| 9 | 300 | 0 (8) | 10 (113) | 1 (5) | 0 (1) |
| 10 | 300 | 0 (11) | 10 (93) | 0 (3) | 0 (1) |
| 11 | 300 | 7 (33) | 50 (194) | 0 (1) | 2 (7) |
| 12 | 180 | 2 (12) | 25 (95) | 0 (2) | 0 |
| 13 | 300 | 4 (25) | 27 (131) | 0 (1) | 0 |
| 14, today's | 300 | 2 (18) | 2 (88) | 0 (2) | 0 |

(In parentheses: with what the readers called borderline or doubtful. Our aims are 2 % wrong ticks and 3 % odd sentences; today's state has 0.7 % of either.)

Readers differ in how severe they are, mostly in what they doubt. The page that readers are given asked in round 12 whether anybody would want the instruction in that conversation; in rounds 13 and 14 it asked whether the sentence is bad English, ambiguous, contradictory or senseless where it stands, and counted what is merely unusual as doubtful.

What each round found was mended by its kind, with tests (`tests/constraints/test_doubts.py`, `test_requests.py`), or taken out of training where a better wording does not help:

* Rounds 1 to 3: a sentence that breaks off, a line break as the end of a paragraph, "you" in a title, `--`, an odd number behind "at most", what two limits bring along, how many words are repeated, which sentence is the shortest.
* Rounds 4 to 6: dictated endings, rules about letters, apostrophes, commas and capitals; a rule where the turn asks nothing.
* Rounds 7 to 10: reasons that do not fit the request, an exact number of sentences beside a limit of the same, the first or second person in a recipe, questions that read as a second request ("Can you use contractions?" names the answer now).
* Rounds 11 and 12: demands of fillers ("very"), opinions ("I think") and openings ("Sure"); two things to mention or either of two; average lengths; words to use so many times; first words of sentences.
* Round 13: 24 of its 27 odd sentences, and all four wrong ticks, were demands to mention one thing and to leave out another ("Mention butter but not garlic"). They are for evaluation now. In their place came words that give a reason ("because", "since" or "so"), and keywords are words of the conversation, unless too few instructions come about.

In round 14, the two odd sentences ask for two words that have nothing to do with the request, and for liveliness on a grave matter. In the two wrong ticks, the "I" of a film title counts as first person, and a smiley that ends a sentence is taken for no end. What readers doubt most are demands of one of a short list of words ("but", "maybe", "should", "so"), bans of everyday words, and the first or second person in an answer about facts. The 88 samples are those in which an instruction was doubted for its place; if every demand of such a list and every ban of an everyday word counts, which readers noted as kinds, they are 208.

All 967 rows of the annotated table (`tests/constraints/annotated.jsonl`) had a second reader, who had not written them and saw only the text and the instruction, most of them in a wording of today: 25 verdicts differed, none of the 50 that came last. In 20 the readings differ that an instruction has to hold in together before it is proposed (marks in code and addresses, `--` as a hyphen, `**` between numbers, an ellipsis as a full stop, "42" as lower case), and in one the fence of a code block was `~~~`. Two counted words of Chinese, where no family of words is offered, and two hung on a wording that says more than is checked ("statements of opinion like", "limit yourself to one word in all capital letters"); these four were mended, as were the wordings that the readers called odd or unclear.

On 4,000 pairs of HH, the standard deviation of how often families come up is 0.28 of the mean, all five comparisons are there for 98.3 % of the pairs, and 9 % of the prompts of a turn that asks something carry a single instruction (`tests/synthesis/test_corpus.py` holds the limits).
""".splitlines()


WRITING = """## How instructions are written into a prompt

Every family has at least twelve wordings for either direction, a third of them held out: commands, requests, questions, noun phrases, in American and British spelling. The templates are tables in `mapl_jax/constraints/families/wordings/`; nouns, articles, quotation marks and full stops agree with every parameter. At most one instruction of a prompt is a question or a request, the others are statements, and all of them call the answer by the same name. A share of the prompts (`synthesis.lists`, 0.4) lists its instructions, the others have them as prose. Where all of a prompt's instructions are plain commands, half of the prose (`synthesis.woven`, 0.5) joins them: "When you answer, use at least two commas and don't use any hyphens."

Most stand behind the request. `synthesis.places` gives the shares of the other places. They cost tokens, since the prompts of a sample then share less:

| place | share | shared by the prompts | flat tokens of a token of the trie |
|---|---|---|---|
| behind the request | 0.71 | all of the prompt | 5.00 |
| `inside` it, before its last sentence or paragraph | 0.04 | up to there | 4.96 |
| `before` it | 0.10 | the earlier turns | 4.81 |
| `turns`: some in the user's turn before | 0 | up to that turn | 4.25 |
| in a `system` message that opens a conversation | 0.15 | what that said before | 3.61 |

Measured on 200 pairs of HH (helpful, test) with all instructions at one place and a vocabulary of 8,000 tokens. A request of one sentence has no inside (24 % have one) and a conversation of one turn no turn before (66 % have one); their instructions then stand behind the request.
""".splitlines()


def constraints_page() -> str:
    """The catalogue of constraints."""
    known = constraints.ids()
    new, held_out = (set(constraints.ids(**{k: True})) for k in ("beyond_ifeval", "held_out"))
    lines = [
        "# Constraints",
        "",
        "Made by `python docs/make.py` from the registry in `mapl_jax/constraints/`.",
        "",
        f"{len(known)} families of instructions that a program can check. {len(known) - len(new)} are "
        f"IFEval's (arXiv 2311.07911), {len(new)} are further ones. {len(held_out)} are held out: they "
        "are never synthesized for training (`synthesis.families=train`), and show in evaluation "
        "(`held_out`) whether a model learned more than it was trained on. So are the wordings of the "
        "last column (`synthesis.wordings=held_out`).",
        "",
        "Each family checks a response, derives parameters from two responses so that one keeps and "
        "the other breaks it, puts them into a sentence and reads the sentence back. For any two "
        "responses that it can tell apart it does so in both directions: in the tables, one example "
        "response keeps what *asks* says and breaks *or the opposite*, and another one the reverse. "
        "All sentences were written by the package with parameters derived from such responses.",
        "",
        "```python",
        "import mapl_jax",
        "",
        'mapl_jax.propose_instructions(keeps="...", breaks="...", k=3)',
        'mapl_jax.check_instructions(["Use fewer than 3 commas."], "a, b, c")',
        "```",
        "",
        'Sentences are read in the wordings of the package and in plain ones ("Keep it under 50 '
        'words", "max 3 sentences", "no commas, please"). What could mean something else '
        '("use exactly one comma", "keep it short") is refused by `check_instructions` and passed '
        "over in a prompt.",
        "",
        *READING,
        "",
        *WRITING,
        "",
        *READERS,
    ]
    for group in dict.fromkeys(constraints.group(id) for id in known):
        members = [id for id in known if constraints.group(id) == group]
        lines += ["", f"## {group}", "", "| id | of | asks | or the opposite | held-out wording |"]
        lines.append("|---|---|---|---|---|")
        for id in members:
            one, other, held = examples(id)
            origin = "new" if id in new else "IFEval"
            marks = f"{origin}, held out" if id in held_out else origin
            cells = [f"`{id}`", marks, one, other, held]
            lines.append(f"| {' | '.join(map(cell, cells))} |")
    return "\n".join(lines) + "\n"


def examples(id: str) -> tuple[str, str, str]:
    """Sentences of a family: kept by one response, by another that breaks the first, held out."""
    rng = np.random.default_rng(list(id.encode()))
    order = rng.permutation(len(RESPONSES))
    for first in order:
        for second in order[:40]:
            texts = RESPONSES[first], RESPONSES[second]
            params = constraints.propose(id, [(texts[0], True), (texts[1], False)], rng)
            if params is None:
                continue
            opposite = constraints.propose(id, [(texts[1], True), (texts[0], False)], rng)
            if opposite is None:
                continue
            return (
                constraints.render(id, params, rng),
                constraints.render(id, opposite, rng),
                constraints.render(id, params, rng, held_out=True),
            )
    raise RuntimeError(f"no example of {id} in both directions; add a text to SPECIAL")


def configuration_page() -> str:
    """The reference of all config files."""
    lines = [
        "# Configuration",
        "",
        "Made by `python docs/make.py` from the files in `configs/` and the settings classes they fill.",
        "",
        "A command reads a config file, `--config=configs/FILE.py` or `--config=configs/FILE.py:PRESET`, "
        "and every field can be set beside it: `--config.train.learning_rate=3e-4`. An unknown field "
        'is an error. In Python: `mapl_jax.load_config("rm:small", {"train.steps": 100})`. A run '
        "keeps its config in `config.json`, and its folder is then for that config alone. Lengths are "
        "in tokens unless a field says otherwise.",
    ]
    for name, (title, cls) in CONFIGS.items():
        file, _, preset = name.partition(":")
        command = COMMANDS.get(name, file)
        path = f"configs/{file}.py" + (f":{preset}" if preset else "")
        lines += ["", f"## {title}", "", f"`python -m mapl_jax.{command} --config={path}`", ""]
        lines += ["| field | default | meaning |", "|---|---|---|"]
        for field in settings.described(cls, config.load_config(name).to_dict()):
            cells = f"`{field.name}`", value(field.default), field.about.help
            lines.append(f"| {' | '.join(map(cell, cells))} |")
        lines += presets(name)
    return "\n".join(lines) + "\n"


def presets(name: str) -> list[str]:
    """What the presets of a config file set otherwise."""
    default = dict(config.fields(config.load_config(name)))
    lines = []
    for preset in config.presets(name):
        changed = [
            f"`{field}` = {value(new)}"
            for field, new in config.fields(config.load_config(f"{name}:{preset}"))
            if field not in default or default[field] != new
        ]
        if changed:
            lines.append(f"| `{name}:{preset}` | {cell(', '.join(changed))} |")
    return ["", "| preset | sets |", "|---|---|", *lines] if lines else []


def value(found: object) -> str:
    """A value as it is given on the command line."""
    text = found if isinstance(found, str) else json.dumps(found)
    if text.count(",") > 4:
        return f"{text.count(',') + 1} ids"
    return f"`{text}`" if text else "(empty)"


def cell(text: str) -> str:
    """Text in a table."""
    return text.replace("|", "\\|").replace("\n", " ")


PAGES = {"constraints.md": constraints_page, "configuration.md": configuration_page}


# Files that name the address of the project.
LINKED = (*sorted((FOLDER.parent / "notebooks").glob("*.ipynb")), FOLDER.parent / "CITATION.cff")
URL = r"https://github\.com/([\w.-]+/[\w.-]+)"


def linked(path: Path) -> str:
    """A file with the address of setup.py, also in links that open it on Colab."""
    setup = (FOLDER.parent / "setup.py").read_text(encoding="utf-8")
    (name,) = re.findall(rf'^PROJECT_URL = "{URL}"$', setup, re.MULTILINE)
    text = path.read_text(encoding="utf-8")
    (old,) = set(re.findall(rf'(?:repository-code: |PROJECT_URL = )\\?"{URL}\\?"', text))
    return text.replace(f"/{old}", f"/{name}")


def main() -> None:
    """Writes all pages."""
    for path in LINKED:
        files.write_text(path, linked(path))
    for name, page in PAGES.items():
        files.write_text(FOLDER / name, page())
        print(FOLDER / name, file=sys.stderr)


if __name__ == "__main__":
    main()

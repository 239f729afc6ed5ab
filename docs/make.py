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

In each round, three readers (others in every round) read samples of HH's pairs: the prompt with its instructions, both responses and the ticks, nothing of the code. What they found was mended by its kind before the next round, with a test in `tests/constraints/test_doubts.py`.

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

(In parentheses: with what the readers called borderline. Our aim is 3 % odd sentences at most.)

Readers differ a lot, so the rounds cannot be compared closely. After round 10, 3.3 % of the samples held a sentence that a reader called odd without doubt, and three in ten one that a reader doubted; of two hundred of these samples in a slightly older state, two others called 3 and 8 odd, where these say 6 and 3. By the readers of rounds 11 and 12, the aim is missed by far.

What the rounds led to:

* **1 and 2.** Mended: a sentence that breaks off, a line break as the end of a paragraph, "you" in a title, `--`, lines wrapped on a page, half a sentence as the end, an odd number behind "at most", what two limits imply together. Half of the odd sentences of round 2 spoke of how many words are repeated; such instructions, and those that hardly fit (sections, the first word of a paragraph), are for evaluation only. Counts of a letter stay small, what a person would not dictate is not asked for, and no rule stands behind "Mr.".
* **3** was quick (eight minutes a reader). A third of its odd sentences said in a roundabout way that the first sentence is not the shortest, and the misplaced ones spoke of "my next question" before a turn that asks nothing; both are reworded. Afterwards about 250 further samples, not all of them with both responses, were read while the instructions were mended, by the person who mended them, so there is no count of them here. What is contrived was taken out of training rather than reworded (which sentence is the shortest or longest, how many apostrophes or commas, what the last word is, repeated openings); pronouns, commas and exclamation marks in the first or last sentence came in.
* **4.** Ten of the odd sentences dictated the end of the answer; an ending is now a few words that fit any answer, and asked for in evaluation only. Words to use are of the topic and stand with the request, fewer rules stand in an earlier turn, and no question stands behind a lead.
* **5.** Two thirds of the odd ones were rules about letters, which are now for evaluation, as are the other kinds that readers named (one mark, pronouns or commas of one sentence, words in capitals, no full stop at the end). The others depended on a turn that asks nothing, or went against the request.
* **6.** Ten of the odd ones asked for a comma and three for two question marks, which nobody wants for their own sake; three said "do not ... in each answer", which is now "in any answer". The rest do not fit the turn: a number in digits or an example where there is nothing to number or to exemplify, rules behind a goodbye.
* **7.** Half of the odd ones gave a reason that did not fit the request ("to sound balanced" in a recipe), two of the wrong ticks missed the end of a sentence at a curly quotation mark, and the third was an open list ("a word like ..."); such lists are now closed and give no reasons.
* **8.** Most of the redundant ones set an exact number of sentences beside a limit of the same.
* **9.** What is left asks for the first or second person, a question or a keyword where they have no point, or gives a rule where nothing is asked. The redundant pair and three that were doubted are mended, and so are the kinds of the ten odd ones: a question ("Can you use contractions?") that read as a second request now names the answer, keywords are of the conversation, what few would ask for comes last, and no rule of form is given along with distress.
* **10.** Its ten odd ones ask for the first or second person in a recipe or an explanation (4), for a question where the user waits for an answer (1), for a keyword or "no examples" without a point (2), or for ten words at least, where any answer has more (2); one puts a rule as a question before anything is asked. Many more are doubted because they require words that people would rather ban ("at least one of "very", "really" ...").
* **11** read a state that was not kept: it asked for the first and second person less often and had two more families, which ban a kind of words, such as superlatives. Four of the wrong ticks took a list in parentheses for examples of a kind. Most of the odd ones demand one of a list of small words ("very", "maybe", "should", "but"; "Sure" as the opening), which the same readers accept as a ban. These families were a quarter of all instructions; without them, families come up less evenly (0.43 instead of 0.2), 96.4 % of the pairs have all five comparisons, and 16 % of the prompts carry a single instruction (`--synthesis.families` leaves any of them out).
* **Two rounds that are not in the table** were as severe. In one, three readers read 180 samples of a state in which none of those families was trained on and four others took their place: one thing to mention, two at once ("Mention both rent and food"), either of two, each with a thing to leave out in the other direction, and the average length of a sentence. They called 67 of the samples odd without doubt, most of them (31 of 36 of two readers) for things that seemed picked at random, others for long averages and words to use more than once. In the other, three more read 66 samples of the state before and 66 of one near that of today, mixed, without knowing which is which: they called 17 of the former odd and 11 of the latter (26 and 17 %).
* **After these**, fillers, opinions and openings are for evaluation only, and so are two things at once, either of two, and the average of a sentence. Contrasts, hedges and duties are still trained on, because without them families come up too unevenly (0.32); of the new families only the single thing is ("Mention butter", or "Mention butter but not garlic"). Words to use are things that people name, and the first and second person and contractions are asked for only where they fit. Three kinds were tried and taken back: "Mention one of these three, but only one" and "Mention rice or beans, but not both", which are games, and bans on a first word or on a thing alone, which nearly all answers keep. Words to use so many times and words that begin no sentence, which were in both states and among the odd ones, were taken out of training after that.
* **12** read this last state: 25 of 180 odd (14 %; by reader 12, 3 and 10 of 60). Most of these name a thing or a word that fits the answer and hardly the request ("mention elections but not communities"), and most of the doubted ones demand "but", "maybe" or "should", or ban a small word. One of the two wrong ticks took "hip hop" for hips, which is mended; in the other, questions quoted within a sentence count as sentences. To ask only for things that the request speaks of, or that an answer speaks of again, was tried after it: families come up less evenly (1.55 times the median, limit 1.5), and 13 % of the prompts carry a single instruction.

The evenness of the families is 0.29, 98.2 % of the pairs have all five comparisons, and 8.5 % of the prompts of a turn that asks something carry a single instruction (4,000 pairs of HH; `tests/synthesis/test_corpus.py` holds the limits).

All 958 rows of the annotated table (`tests/constraints/annotated.jsonl`) had a second reader, who had not written them and saw only the text and the instruction, most of them in a wording of today. 25 verdicts differed, none of the 41 that came last. In 20 of them, the readings differ in which an instruction has to hold before it is proposed (marks in code and addresses, `--` as a hyphen, `**` between numbers, an ellipsis as a full stop, "42" as lower case), and in one the fence of a code block was `~~~`. Two counted words of Chinese, where no family of words is offered, and two depended on a wording that says more than is checked ("statements of opinion like", "limit yourself to one word in all capital letters"). These four were mended, as were the wordings that the readers called odd or unclear.
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

"""Instructions in plain wordings, which no template wrote, are read as what they clearly mean."""

import pytest

import mapl_jax
from mapl_jax import constraints
from mapl_jax.evaluation import reward_function


def words(number, relation="less than"):
    return "length_constraints:number_words", {"num_words": number, "relation": relation}


def sentences(number, relation="less than"):
    return "length_constraints:number_sentences", {"num_sentences": number, "relation": relation}


def paragraphs(number, relation="less than"):
    return "length_constraints:blank_line_paragraphs", {"number": number, "relation": relation}


def characters(number):
    return "length_constraints:characters", {"number": number, "relation": "less than"}


def commas(number, relation="less than"):
    return "punctuation:commas", {"number": number, "relation": relation}


def no(mark):
    return f"punctuation:{mark}", {"number": 1, "relation": "less than"}


NO_COMMA = "punctuation:no_comma", {}
LOWER, UPPER = ("change_case:english_lowercase", {}), ("change_case:english_capital", {})


PLAIN = {
    "Use fewer than 20 words.": words(20),
    "Keep it under 50 words": words(50),
    "Answer in at most three sentences": sentences(4),
    "in 100 words or less": words(101),
    "No more than 2 paragraphs": paragraphs(3),
    "Do not use commas": NO_COMMA,
    "Answer in lowercase": LOWER,
    "Use less than 20 words.": words(20),
    "Maximum 50 words.": words(51),
    "Max 50 words": words(51),
    "50 words max.": words(51),
    "At most 30 words.": words(31),
    "Limit it to 3 sentences.": sentences(4),
    "Keep your answer to three sentences or fewer.": sentences(4),
    "Keep the answer below 80 words.": words(80),
    "Your response should be at least 3 paragraphs.": paragraphs(3, "at least"),
    "Answer in 3 sentences.": ("length_constraints:exact_sentences", {"number": 3}),
    "No commas.": NO_COMMA,
    "Use no commas.": NO_COMMA,
    "Avoid commas.": NO_COMMA,
    "Don't use any exclamation points.": no("exclamation_marks"),
    "Don't use exclamation marks!": no("exclamation_marks"),
    "Use no question marks.": no("question_marks"),
    "Answer in all lowercase.": LOWER,
    "Answer in all caps.": UPPER,
    "Write everything in capital letters.": UPPER,
    "Use only lowercase letters.": LOWER,
    "Use lowercase only.": LOWER,
    "Respond in fewer than 40 words, please.": words(40),
    "Please respond in under 40 words.": words(40),
    "Answer in a single paragraph.": paragraphs(2),
    "Use a single sentence.": sentences(2),
    "One paragraph only.": paragraphs(2),
    "50-100 words.": ("length_constraints:word_range", {"min_words": 50, "max_words": 100}),
    "Do not exceed 100 words.": words(101),
    "Don't go over 100 words.": words(101),
    "Your answer must not exceed 3 sentences.": sentences(4),
    'Include the word "tea".': ("keywords:existence", {"keywords": ["tea"]}),
    'Do not mention the word "sugar".': (
        "keywords:forbidden_words",
        {"forbidden_words": ["sugar"]},
    ),
    "End with a question.": ("startend:question_end", {}),
    "End your answer with a question mark.": ("startend:question_end", {}),
    'Start with "Sure".': ("startend:first_word", {"word": "Sure"}),
    'Begin your answer with the word "Well".': ("startend:first_word", {"word": "Well"}),
    'Finish with "That is all."': ("startend:end_checker", {"end_phrase": "That is all."}),
    "No bullet points.": ("detectable_format:number_bullet_lists", {"num_bullets": 0}),
    "Format the answer as JSON.": ("detectable_format:json_format", {}),
    "Respond in JSON.": ("detectable_format:json_format", {}),
    "Reply in German.": ("language:response_language", {"language": "de"}),
    "No emojis.": ("detectable_content:emoji", {"negated": True}),
    "Don't use emoji.": ("detectable_content:emoji", {"negated": True}),
    "Include a code block.": ("detectable_format:code_block", {}),
    "Wrap your answer in double quotes.": ("startend:quotation", {}),
    "Don't use digits.": ("detectable_content:digits", {"negated": True}),
    "No contractions.": ("detectable_content:contractions", {"negated": True}),
    "Include a title in double angle brackets.": ("detectable_format:title", {}),
    "More than 100 words.": words(101, "at least"),
    "Over 100 words.": words(101, "at least"),
    "Write more than 3 sentences.": sentences(4, "at least"),
    "A minimum of 3 sentences.": sentences(3, "at least"),
    "No fewer than 3 sentences.": sentences(3, "at least"),
    "Not more than 60 words.": words(61),
    "Use at most 280 characters.": characters(281),
    "Keep it under 280 characters.": characters(280),
    "Make it shorter than 60 words.": words(60),
    "Less than 5 lines.": ("detectable_format:lines", {"relation": "less than", "number": 5}),
    "Make sure your answer is under 50 words.": words(50),
    "The answer should be no longer than 50 words.": words(51),
    "Your answer should be less than 50 words long.": words(50),
    "I want fewer than 50 words.": words(50),
    "I need at most 3 sentences.": sentences(4),
    "Answer with fewer than 50 words.": words(50),
    "Explain in under 50 words.": words(50),
    "Describe it in at most 3 sentences.": sentences(4),
    "Respond with at least 4 sentences.": sentences(4, "at least"),
    "Could you keep it under 50 words?": words(50),
    "Please use fewer than 3 commas": commas(3),
    "Use exactly 3 bullet points.": ("detectable_format:number_bullet_lists", {"num_bullets": 3}),
    "Give me 3 bullet points.": ("detectable_format:number_bullet_lists", {"num_bullets": 3}),
    "In 3 sentences or less.": sentences(4),
    "Answer in no more than one paragraph.": paragraphs(2),
    "In two paragraphs or fewer.": paragraphs(3),
    "In at most 50 words, please.": words(51),
    "use at most fifty words": words(51),
    "Your reply should contain fewer than 50 words": words(50),
    "Do not use fewer than 3 commas.": commas(3, "at least"),
    "Do not end with a question.": ("startend:question_end", {"negated": True}),
    "Your answer should not be in English.": (
        "language:response_language",
        {"negated": True, "language": "en"},
    ),
    "Reply in Hindi.": ("language:response_language", {"language": "hi"}),
    "The answer should be 600+ words long": words(600, "at least"),
    "Write at least two paragraphs": paragraphs(2, "at least"),
}


@pytest.mark.parametrize("sentence, reading", PLAIN.items())
def test_a_plain_wording_is_read_as_what_it_means(sentence, reading):
    assert constraints.parse(sentence) == reading
    assert constraints.read(f"Name a river. {sentence}") == [reading]


@pytest.mark.parametrize(
    "sentence",
    [
        "Use exactly one comma.",  # no family asks for exactly so many
        "Use exactly 3 words.",
        "In one word.",
        "Use at most 50 words (excluding code).",  # says more than the family does
        "At least 3 words per sentence.",
        "Keep it short.",
        "Less is more.",
        "What is 50 words?",
        "How do I write without commas?",
        "Write a question.",
        "Give me an example.",
        "A comma.",
        "English.",
        "Tell me at most 3 facts.",
        f"Use at most 50 words{' or so, as you like' * 20}.",
    ],
)
def test_what_is_not_clearly_an_instruction_is_left_alone(sentence):
    assert constraints.read(sentence) == []


def test_several_in_one_sentence_are_read_one_by_one():
    text = "Use no commas and at most three sentences. Keep it under 50 words, without digits."
    digits = "detectable_content:digits", {"negated": True}
    assert constraints.read(text) == [NO_COMMA, sentences(4), words(50), digits]


def test_the_functions_of_the_package_take_plain_wordings():
    asked = ["Keep it under 5 words", "no commas", "Finish with a question."]
    assert mapl_jax.check_instructions(asked, "A river, then.") == [True, False, False]
    reward = reward_function.reward_function(constraints="prompt")
    prompt = "What is tea? Use fewer than 4 words and avoid commas."
    assert reward(prompts=[prompt] * 2, completions=["A drink.", "Hot, like soup."]) == [1, 0.5]

"""Where a response begins, and that it ends in the end of its turn exactly once."""

import copy

import numpy as np
import pytest

from mapl_jax.data import templates, tokenization
from mapl_jax.runtime.errors import UserError

pytestmark = pytest.mark.smoke

TEXTS = [
    "Bake the bread for 35 minutes, then let it cool.",
    "How do I bake bread? It's 2026 and I don't know!",
    "naïve café — 日本語 🙂\n\n- one\n- two\n",
]
HELLO = [{"role": "user", "content": "How do I bake bread?"}]

TRAILING_NEWLINE = templates.CHATML
NO_END = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}"
# The generation prompt ends in a space that the conversation does not have: not a prefix.
SPACE = (
    "{% for m in messages %}{{ m['role'] + ':' + m['content'] + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer():
    return tokenization.train(TEXTS * 5, 400)


def test_training_is_deterministic(tokenizer):
    again = tokenization.train(TEXTS * 5, 400)
    assert tokenization.fingerprint(again) == tokenization.fingerprint(tokenizer)


@pytest.mark.parametrize("text", [*TEXTS, "", " ", "\x00\u200b", "12345", "<|im_end|>"])
def test_every_text_reads_back(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_digits_stay_single(tokenizer):
    ids = tokenizer("35 2026", add_special_tokens=False)["input_ids"]
    assert [tokenizer.decode([i]) for i in ids] == list("35 2026")


def test_padding_is_not_the_end_of_a_turn(tokenizer):
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_a_saved_tokenizer_gives_the_same_ids(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = tokenization.load(str(tmp_path))
    for text in TEXTS:
        assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert tokenization.fingerprint(loaded) == tokenization.fingerprint(tokenizer)


def test_a_leaf_is_prompt_then_response_then_one_end(tokenizer):
    (path,) = tokenization.encode_leaves(tokenizer, [(HELLO, "Mix flour, then wait.")])
    prompt = tokenizer.decode(path.tokens[: path.prompt_length])
    response = tokenizer.decode(path.tokens[path.prompt_length :])
    assert prompt == "<|im_start|>user\nHow do I bake bread?<|im_end|>\n<|im_start|>assistant\n"
    assert response == "Mix flour, then wait.<|im_end|>"


def test_a_template_without_an_end_gets_the_eos_token(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    plain = tokenization.load(str(tmp_path), chat_template=NO_END)
    (path,) = tokenization.encode_leaves(plain, [(HELLO, "Wait.")])
    assert path.tokens[-1] == plain.eos_token_id
    assert (path.tokens == plain.eos_token_id).sum() == 1


def test_a_response_begins_where_the_tokens_part(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    spaced = tokenization.load(str(tmp_path), chat_template=SPACE)
    (path,) = tokenization.encode_leaves(spaced, [(HELLO, "Wait.")])
    assert spaced.decode(path.tokens[path.prompt_length :]).strip() == "Wait.<|im_end|>"


def test_an_end_inside_the_response_does_not_cut_it(tokenizer):
    (path,) = tokenization.encode_leaves(tokenizer, [(HELLO, "a <|im_end|> b")])
    assert tokenizer.decode(path.tokens[path.prompt_length :]) == "a <|im_end|> b<|im_end|>"


def test_an_empty_response_is_its_end(tokenizer):
    (path,) = tokenization.encode_leaves(tokenizer, [(HELLO, "")])
    np.testing.assert_array_equal(path.tokens[path.prompt_length :], [tokenizer.eos_token_id])


def test_leaves_of_one_prompt_share_its_tokens(tokenizer):
    a, b = tokenization.encode_leaves(tokenizer, [(HELLO, "Yes."), (HELLO, "No.")])
    np.testing.assert_array_equal(a.tokens[: a.prompt_length], b.tokens[: b.prompt_length])


def test_a_template_may_come_from_a_file(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "mine.jinja").write_text(NO_END)
    loaded = tokenization.load(str(tmp_path), chat_template=str(tmp_path / "mine.jinja"))
    assert loaded.chat_template == NO_END


def test_what_cannot_be_loaded_is_named(tokenizer, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        tokenization.load(str(tmp_path / "nothing"))
    tokenizer.save_pretrained(tmp_path / "bare")
    with pytest.raises(UserError, match="template file not found"):
        tokenization.load(str(tmp_path / "bare"), chat_template="missing.jinja")


def test_a_vocabulary_too_small_for_bytes_is_refused():
    with pytest.raises(UserError, match="vocab_size"):
        tokenization.train(TEXTS, 100)


def test_a_template_that_refuses_a_conversation_says_so(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    alternating = (
        "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{{ m['content'] }}{% endfor %}"
    )
    strict = tokenization.load(str(tmp_path), chat_template=alternating)
    with pytest.raises(UserError, match=r"user, user.* roles must alternate"):
        tokenization.encode_leaves(strict, [([*HELLO, *HELLO], "x")])
    with pytest.raises(UserError, match="roles must alternate"):
        tokenization.load(
            str(tmp_path), chat_template="{{ raise_exception('roles must alternate') }}"
        )
    unended = "{{ messages[0].content }}\n{% for m in messages %}"
    with pytest.raises(UserError, match="the chat template cannot be read, line 2: Unexpected end"):
        tokenization.load(str(tmp_path), chat_template=unended)


def test_rendered_text_is_the_leaf_with_or_without_its_first_token_and_white_space(tokenizer):
    (leaf,) = tokenization.encode_leaves(tokenizer, [(HELLO, TEXTS[0])])
    talk = [*HELLO, {"role": "assistant", "content": TEXTS[0]}]
    text = templates.render(tokenizer, talk, add_generation_prompt=False)
    forms = [text, text.rstrip(), f"{text} \n"]
    # Servers whose tokenizers add the first token are sent text without it.
    beginning = copy.deepcopy(tokenizer)
    beginning.bos_token = "<|im_start|>"
    forms_without = [form.removeprefix("<|im_start|>") for form in forms]
    for known, texts in ((tokenizer, forms), (beginning, [*forms, *forms_without])):
        for path in tokenization.encode_rendered(known, texts, str):
            np.testing.assert_array_equal(path.tokens, leaf.tokens)
    for bad in ("", "Fine.", text + "Fine.", text.replace("<|im_end|>", "<|endoftext|>")):
        with pytest.raises(UserError, match=r"text 1 does not end in <\|im_end\|>"):
            tokenization.encode_rendered(tokenizer, [text, bad], "text {}".format)

"""Chat templates in the styles of published families: every leaf ends in its end of turn, once."""

import dataclasses

import numpy as np
import pytest
import tokenizers
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

from mapl_jax.data import run_tokenizer, templates, tokenization
from mapl_jax.data.parse import BadRecord
from mapl_jax.data.readers import read_entries
from mapl_jax.data.records import Tally, iter_demonstrations, iter_pairs
from mapl_jax.data.settings import TokenizerSettings
from mapl_jax.runtime.errors import UserError
from mapl_jax.synthesis import placement

from support import write_lines

QUESTION = [{"role": "user", "content": "How do I bake bread?"}]
DIALOGUE = [
    {"role": "user", "content": "Hello."},
    {"role": "assistant", "content": "Hi! What is it?"},
    *QUESTION,
]
SYSTEM = [{"role": "system", "content": "Be brief."}, *QUESTION]
ANSWER = "Mix flour, then wait."

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nHelp.<|im_end|>\n{% endif %}"
)
LLAMA_3 = (
    "{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
ALTERNATE = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
)


@dataclasses.dataclass(frozen=True)
class Style:
    """How a family writes conversations.

    Attributes:
        template: in the family's style.
        special: its special tokens.
        end: the token every leaf ends in.
        eos: what its tokenizer names so.
        bos: the same; None if it has none.
        pad: the same.
    """

    template: str
    special: tuple[str, ...]
    end: str
    eos: str
    bos: str | None = None
    pad: str | None = None


STYLES = {
    "qwen2.5": Style(
        DEFAULT_SYSTEM + CHATML,
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        end="<|im_end|>",
        eos="<|endoftext|>",
        pad="<|endoftext|>",
    ),
    "smollm2": Style(
        DEFAULT_SYSTEM + CHATML,
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        end="<|im_end|>",
        eos="<|im_end|>",
        bos="<|im_start|>",
        pad="<|im_end|>",
    ),
    "llama-2": Style(
        "{% for m in messages %}"
        "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + m['content'] + ' [/INST]' }}"
        "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + ' ' + eos_token }}"
        "{% else %}{{ raise_exception('unknown role') }}{% endif %}{% endfor %}",
        ("<unk>", "<s>", "</s>"),
        end="</s>",
        eos="</s>",
        bos="<s>",
    ),
    "llama-3": Style(
        "{{ bos_token }}" + LLAMA_3,
        (
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|finetune_right_pad_id|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
        ),
        end="<|eot_id|>",
        eos="<|eot_id|>",
        bos="<|begin_of_text|>",
    ),
    "llama-3 with a date": Style(
        "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}"
        "{% endif %}{{ bos_token }}Today: {{ date_string }}<|eot_id|>" + LLAMA_3,
        (
            "<|begin_of_text|>",
            "<|reserved_special_token_0|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
        ),
        end="<|eot_id|>",
        eos="<|eot_id|>",
        bos="<|begin_of_text|>",
    ),
    "mistral": Style(
        "{{ bos_token }}" + ALTERNATE + "{% if m['role'] == 'user' %}[INST] {{ m['content'] }}"
        "[/INST]{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}",
        ("<unk>", "<s>", "</s>", "[INST]", "[/INST]"),
        end="</s>",
        eos="</s>",
        bos="<s>",
        pad="</s>",
    ),
    "gemma": Style(
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
        "{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for m in messages %}"
        "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
        "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
        ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"),
        end="<end_of_turn>",
        eos="<eos>",
        bos="<bos>",
        pad="<pad>",
    ),
    "phi-3": Style(
        "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}",
        ("<unk>", "<s>", "<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
        end="<|endoftext|>",
        eos="<|endoftext|>",
        bos="<s>",
        pad="<|endoftext|>",
    ),
    "olmo-2": Style(
        "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}"
        "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
        "{% if not loop.last or m['role'] != 'assistant' %}\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
        ("<|endoftext|>", "<|pad|>"),
        end="<|endoftext|>",
        eos="<|endoftext|>",
        bos="<|endoftext|>",
        pad="<|pad|>",
    ),
    "a base model": Style(
        "",
        ("<|endoftext|>", "<|fim_pad|>"),
        end="<|endoftext|>",
        eos="<|endoftext|>",
        bos="<|endoftext|>",
    ),
}
BOS_ADDED = ("llama-2", "llama-3", "llama-3 with a date", "mistral", "gemma")


def bpe(special, texts=(ANSWER, "How do I bake bread? Hello there. Be brief.")):
    """A small byte-level BPE tokenizer with these special tokens."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + len(special) + 40,
        special_tokens=[AddedToken(name, special=True, normalized=False) for name in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return backend


def save(folder, name):
    """The tokenizer of a style, in a folder."""
    style = STYLES[name]
    backend = bpe(style.special)
    if name in BOS_ADDED:
        at = (style.bos, backend.token_to_id(style.bos))
        backend.post_processor = tokenizers.processors.TemplateProcessing(
            single=f"{style.bos} $A", special_tokens=[at]
        )
    names = {"eos_token": style.eos, "bos_token": style.bos, "pad_token": style.pad}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        chat_template=style.template or None,
        **{role: token for role, token in names.items() if token},
    )
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """The tokenizer of every style, loaded."""
    root = tmp_path_factory.mktemp("tokenizers")
    return {name: tokenization.load(save(root / name.replace(" ", "-"), name)) for name in STYLES}


def leaf(tokenizer, messages, answer=ANSWER):
    (path,) = tokenization.encode_leaves(tokenizer, [(messages, answer)])
    return path


@pytest.mark.parametrize("name", STYLES)
@pytest.mark.parametrize("messages", [QUESTION, DIALOGUE, SYSTEM])
def test_a_leaf_ends_in_the_end_of_its_turn_exactly_once(loaded, name, messages):
    tokenizer = loaded[name]
    path = leaf(tokenizer, messages)
    response = tokenizer.convert_ids_to_tokens(path.tokens[path.prompt_length :])
    assert response[-1] == STYLES[name].end
    assert response.count(STYLES[name].end) == 1
    assert ANSWER in tokenizer.decode(path.tokens[path.prompt_length :])


@pytest.mark.parametrize("name", STYLES)
@pytest.mark.parametrize("messages", [QUESTION, DIALOGUE, SYSTEM])
def test_the_prompt_is_what_the_template_gives_to_generate_from(loaded, name, messages):
    tokenizer = loaded[name]
    path = leaf(tokenizer, messages)
    empty = leaf(tokenizer, messages, "Another.")
    np.testing.assert_array_equal(
        path.tokens[: path.prompt_length], empty.tokens[: empty.prompt_length]
    )
    if messages is not SYSTEM:
        text = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, date_string=templates.DATE
        )
        ids = tokenizer.encode(text, add_special_tokens=False)
        np.testing.assert_array_equal(path.tokens[: path.prompt_length], ids)


@pytest.mark.parametrize("name", STYLES)
def test_a_text_begins_at_most_once(loaded, name):
    bos = loaded[name].bos_token_id
    tokens = leaf(loaded[name], QUESTION).tokens
    assert not (tokens[0] == bos and tokens[1] == bos)


@pytest.mark.parametrize("name", STYLES)
def test_padding_is_in_the_vocabulary_and_ends_no_text(loaded, name):
    tokenizer = loaded[name]
    assert tokenizer.pad_token_id is not None
    assert tokenizer.convert_ids_to_tokens(tokenizer.pad_token_id) != STYLES[name].end
    assert len(tokenizer) == bpe(STYLES[name].special).get_vocab_size()


@pytest.mark.parametrize(
    ("name", "pad"),
    [
        ("qwen2.5", "<|endoftext|>"),
        ("gemma", "<pad>"),
        ("olmo-2", "<|pad|>"),
        ("llama-2", "<unk>"),
        ("llama-3", "<|finetune_right_pad_id|>"),
        ("phi-3", "<unk>"),
        ("mistral", "<unk>"),
        ("a base model", "<|fim_pad|>"),
    ],
)
def test_the_padding_of_a_tokenizer_stays_if_it_can(loaded, name, pad):
    assert loaded[name].pad_token == pad


@pytest.mark.parametrize("name", STYLES)
@pytest.mark.parametrize("messages", [QUESTION, DIALOGUE])
def test_a_closed_template_writes_leaves(loaded, name, messages):
    closed = tokenization.closed(loaded[name])
    answered = [*messages, {"role": "assistant", "content": ANSWER}]
    text = closed.apply_chat_template(answered, tokenize=False)
    path = leaf(loaded[name], messages)
    assert closed.encode(text, add_special_tokens=False) == path.tokens.tolist()
    np.testing.assert_array_equal(leaf(closed, messages).tokens, path.tokens)
    again = tokenization.closed(closed)
    assert again.chat_template == closed.chat_template


@pytest.mark.parametrize("name", ["qwen2.5", "gemma", "llama-3 with a date"])
def test_a_closed_template_generates_as_before(loaded, name):
    closed = tokenization.closed(loaded[name])
    before, after = (
        t.apply_chat_template(DIALOGUE, tokenize=False, add_generation_prompt=True, date_string="x")
        for t in (loaded[name], closed)
    )
    assert before == after


def test_a_system_message_without_a_role_goes_before_the_question(loaded):
    for name in ("gemma", "mistral", "llama-2"):
        path = leaf(loaded[name], SYSTEM)
        prompt = loaded[name].decode(path.tokens[: path.prompt_length])
        assert "Be brief.\n\nHow do I bake bread?" in prompt


def test_a_template_that_drops_the_system_message_gets_it_with_the_question(loaded, tmp_path):
    silent = "{% for m in messages if m['role'] != 'system' %}" + CHATML.split("%}", 1)[1]
    folder = save(tmp_path, "qwen2.5")
    tokenizer = tokenization.load(folder, chat_template=silent)
    path = leaf(tokenizer, SYSTEM)
    assert "Be brief.\n\nHow do I bake bread?" in tokenizer.decode(path.tokens)


def test_the_date_of_a_template_is_always_the_same(loaded):
    path = leaf(loaded["llama-3 with a date"], QUESTION)
    assert f"Today: {templates.DATE}" in loaded["llama-3 with a date"].decode(path.tokens)


@pytest.mark.parametrize(("format", "day"), [("%Y-%m-%d", "2024-07-26"), ("%B %d", "July 26")])
def test_a_template_that_asks_for_today_gets_the_same_day(tmp_path, format, day):
    asks = f"{{{{ 'Today: ' + strftime_now('{format}') + '\n' }}}}{CHATML}"
    tokenizer = tokenization.load(save(tmp_path, "qwen2.5"), chat_template=asks)
    path = leaf(tokenizer, QUESTION)
    assert tokenizer.decode(path.tokens).startswith(f"Today: {day}\n")
    closed = tokenization.closed(tokenizer)
    text = closed.apply_chat_template(
        [*QUESTION, {"role": "assistant", "content": ANSWER}], tokenize=False
    )
    assert closed.encode(text, add_special_tokens=False) == path.tokens.tolist()
    assert tokenization.closed(closed).chat_template == closed.chat_template


def test_of_several_templates_the_default_is_taken(tmp_path):
    folder = save(tmp_path, "qwen2.5")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = {"default": tokenizer.chat_template, "tool_use": "{{ tools }}"}
    tokenizer.save_pretrained(tmp_path)
    assert isinstance(transformers.AutoTokenizer.from_pretrained(folder).chat_template, dict)
    path = leaf(tokenization.load(folder), QUESTION)
    assert tokenizer.convert_ids_to_tokens(path.tokens)[-1] == "<|im_end|>"


def test_a_base_model_gets_the_plain_template(loaded):
    tokenizer = loaded["a base model"]
    path = leaf(tokenizer, DIALOGUE)
    assert tokenizer.decode(path.tokens) == (
        "User: Hello.\n\nAssistant: Hi! What is it?<|endoftext|>\n\n"
        "User: How do I bake bread?\n\nAssistant: Mix flour, then wait.<|endoftext|>"
    )


@pytest.mark.parametrize(("judges", "said"), [(True, 1), (False, 0)])
def test_a_model_that_is_used_without_a_template_is_told(tmp_path, judges, said, capsys):
    folder = save(tmp_path, "a base model")
    tokenization.load(folder, judges=judges)
    line = "has no chat template; turns are written as plain text (User: ...), which the model may"
    assert capsys.readouterr().err.count(line) == said


def test_the_plain_template_begins_as_the_tokenizer_does(tmp_path):
    folder = save(tmp_path, "llama-3")
    (tmp_path / "chat_template.jinja").unlink()
    tokenizer = tokenization.load(folder)
    path = leaf(tokenizer, QUESTION)
    tokens = tokenizer.convert_ids_to_tokens(path.tokens)
    assert tokens[0] == "<|begin_of_text|>" and tokens.count("<|begin_of_text|>") == 1


def test_nothing_to_pad_with_is_said(tmp_path):
    backend = bpe(("<|endoftext|>",))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|endoftext|>"
    ).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="no special token to pad with"):
        tokenization.load(str(tmp_path))


def test_a_template_that_rewrites_the_past_is_refused(tmp_path):
    folder = save(tmp_path, "qwen2.5")
    rewriting = "{% if messages[-1]['role'] == 'assistant' %}Answered.\n{% endif %}" + CHATML
    tokenizer = tokenization.load(folder, chat_template=CHATML)
    tokenizer.chat_template = rewriting
    with pytest.raises(UserError, match="differently once it is answered"):
        leaf(tokenizer, QUESTION)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(STYLES)), question=st.text(max_size=30), answer=st.text(max_size=30)
)
def test_any_text_ends_in_one_end_behind_its_prompt(loaded, name, question, answer):
    tokenizer = loaded[name]
    path = leaf(tokenizer, [{"role": "user", "content": question}], answer)
    response = tokenizer.convert_ids_to_tokens(path.tokens[path.prompt_length :])
    assert response[-1] == STYLES[name].end
    assert response[-2:-1] != [STYLES[name].end]


# The templates of the others write something between a response and its end.
@pytest.mark.parametrize("name", sorted(STYLES.keys() - {"phi-3", "llama-2"}))
def test_a_response_that_was_stored_with_its_end_has_it_once(loaded, name):
    ended = leaf(loaded[name], QUESTION, ANSWER + STYLES[name].end)
    response = loaded[name].convert_ids_to_tokens(ended.tokens[ended.prompt_length :])
    assert response[-1] == STYLES[name].end
    assert response.count(STYLES[name].end) == 1


THINKING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{% for name in names or [] %}{{ name }},{% endfor %}{% endif %}"
)


@pytest.fixture(scope="module")
def thinking(tmp_path_factory):
    """The folder of a tokenizer whose template takes arguments."""
    tokenizer = tokenization.train(["a"], 300)
    tokenizer.chat_template = THINKING
    folder = tmp_path_factory.mktemp("thinking")
    tokenizer.save_pretrained(str(folder))
    return str(folder)


@pytest.mark.parametrize(
    ("arguments", "tail"),
    [
        ("", "assistant\n"),
        ('{"enable_thinking": true}', "assistant\n"),
        ('{"enable_thinking": false}', "<think>\n\n</think>\n\n"),
        ('{"names": ["\\u00e9\\"", "b"]}', 'assistant\né",b,'),
        ('{"enable_thinking": null}', "<think>\n\n</think>\n\n"),
    ],
)
def test_arguments_of_a_template_stay_with_the_tokenizer(thinking, tmp_path, arguments, tail):
    tokenizer = tokenization.load(thinking, template_args=arguments)
    tokenizer.save_pretrained(str(tmp_path))
    for again in (tokenizer, tokenization.load(str(tmp_path)), tokenization.closed(tokenizer)):
        assert templates.render(again, QUESTION, add_generation_prompt=True).endswith(tail)


def test_given_arguments_go_before_those_of_the_tokenizer(thinking):
    first = tokenization.load(thinking, template_args='{"enable_thinking": false}')
    second = tokenization.with_template_args(first, '{"enable_thinking": true}')
    assert "<think>" not in templates.render(second, QUESTION, add_generation_prompt=True)
    assert tokenization.fingerprint(first) != tokenization.fingerprint(second)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{", "template_args is not JSON"),
        ("[1]", "must be an object of JSON"),
        ('{"enable_thinkin": true}', "knows no argument 'enable_thinkin'"),
        ('{"messages": []}', "knows no argument 'messages'"),
        ('{"assistant": 1}', "knows no argument 'assistant'"),
        # Words of the language, names of the template's own, and what it is given in any case.
        ('{"for": 1}', "knows no argument 'for'"),
        ('{"message": 1}', "knows no argument 'message'"),
        ('{"loop": 1}', "knows no argument 'loop'"),
        ('{"add_generation_prompt": true}', "knows no argument 'add_generation_prompt'"),
        ('{"eos_token": "x"}', "knows no argument 'eos_token'"),
        ('{"a b": 1}', "knows no argument 'a b'"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(thinking, arguments, message):
    with pytest.raises(UserError, match=message):
        tokenization.load(thinking, template_args=arguments)


ONE_TURN = TokenizerSettings(chat_template=ALTERNATE + "{{ m['content'] }}{% endfor %}")
TWICE = [{"role": "user", "content": "Hello"}, {"role": "user", "content": "Hi?"}]


def test_a_record_that_the_template_refuses_is_named_or_left_out(tmp_path):
    records = [
        {"prompt": "Q", "chosen": "a", "rejected": "b"},
        {"id": "two-users", "prompt": TWICE, "chosen": "c", "rejected": "d"},
    ]
    accept = templates.acceptance(run_tokenizer.trained(ONE_TURN))
    path = write_lines(tmp_path / "a.jsonl", *records)
    with pytest.raises(UserError, match=r"a.jsonl, record 2: .*\(user, user\).*id two-users"):
        list(iter_pairs(read_entries(path), Tally(), accept=accept))
    tally = Tally()
    kept = list(iter_pairs(read_entries(path), tally, on_error="skip", accept=accept))
    assert [pair["chosen"] for pair in kept] == ["a"]
    assert tally.notes()[0].endswith("1 dropped (refused by the chat template 1)")
    demonstrations = iter_demonstrations(
        read_entries(path), Tally(), on_error="skip", accept=accept
    )
    assert [record["completion"] for record in demonstrations] == ["a"]


WITH_TOOLS = (
    "{%- if tools %}{{ tools | tojson }}{% endif %}{%- for m in messages %}<s>{{ m.role }}: "
    "{{ m.content }}{% for call in m.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}"
    "</s>{%- endfor %}{%- if add_generation_prompt %}<s>assistant: {%- endif %}"
)
TOOLS = [{"function": {"name": "clock"}}, {"function": {"name": "tide"}}]
CALL = {"type": "function", "function": {"name": "tide", "arguments": {"place": "Brest"}}}
CALLED = [
    {"role": "user", "content": "High?", "tools": TOOLS},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": '6 "metres"'},
]


def test_a_template_that_knows_tools_is_given_them(thinking):
    tokenizer = tokenization.load(thinking)
    tokenizer.chat_template = WITH_TOOLS
    text = templates.render(tokenizer, CALLED, add_generation_prompt=True)
    for part in ('"clock"', '{"name": "tide", "arguments": {"place": "Brest"}}', '6 "metres"'):
        assert part in text
    # Instructions belong to what the user asked, and the tools stay.
    put = placement.Style(placement.AFTER, None, inline=True).put(CALLED, ["Use one word."])
    assert put == [{**CALLED[0], "content": "High? Use one word."}, *CALLED[1:]]
    put = placement.Style(placement.SYSTEM, None).put(CALLED, ["Use one word."])
    assert put[0] == {"role": "system", "content": "Use one word.", "tools": TOOLS}


@pytest.mark.parametrize("lost", ["tool 'clock'", "call of 'tide'", "result of a tool"])
def test_a_template_that_leaves_out_what_is_said_of_tools_refuses_the_record(thinking, lost):
    tokenizer = tokenization.load(thinking)
    left_out = {
        "tool 'clock'": "{{ tools | tojson }}",
        "call of 'tide'": "{{ call.function | tojson }}",
        "result of a tool": "{{ m.content }}",
    }[lost]
    tokenizer.chat_template = WITH_TOOLS.replace(left_out, "x")
    bare = [{"role": "user", "content": "x"}, *CALLED[1:]]
    with pytest.raises(BadRecord, match=f"leaves out the {lost}"):
        templates.acceptance(tokenizer)(CALLED if "clock" in lost else bare, "a")


def test_a_prompt_to_answer_that_the_template_refuses_is_named():
    tokenizer = run_tokenizer.trained(ONE_TURN)
    with pytest.raises(UserError, match=r"^prompt 2 the chat template refuses"):
        tokenization.encode_prompts(tokenizer, [QUESTION, TWICE], lambda i: f"prompt {i + 1}")


@pytest.mark.parametrize(
    "part",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 'a' * 10 ** 10 }}",
        "{{ '%9999999999d' % 5 }}",
        "{{ (range(99999) | list * 99999) | length }}",
        "{% if messages | length > 30 %}{{ 'a' | center(10 ** 11) }}{% endif %}",
    ],
)
def test_a_template_without_bounds_is_refused_in_one_line(part):
    with pytest.raises(UserError, match=r"takes more than 3 seconds or 1024 MB"):
        templates.check_bounds(templates.PLAIN + part, (("eos_token", "</s>"),))


def test_a_template_that_says_no_is_within_bounds():
    for part in ("{{ raise_exception('no') }}", "{% generation %}a{% endgeneration %}", "{{ (("):
        templates.check_bounds(part + templates.PLAIN, ())


def test_a_template_and_its_arguments_are_short(tmp_path):
    path = tmp_path / "long.jinja"
    path.write_text("{{ messages }}" + " " * 2**18)
    with pytest.raises(UserError, match="longer than 262144 characters"):
        templates.read_template(str(path))
    with pytest.raises(UserError, match=r"is not JSON.*nested too deeply"):
        templates.with_arguments(templates.PLAIN, "[" * 10**5)

"""The generate command, as a user runs it."""

import dataclasses
import io
import json

import jax
import numpy as np
import pytest

from mapl_jax import generate
from mapl_jax.data import demo, tokenization
from mapl_jax.evaluation import sampler
from mapl_jax.evaluation.answers import Kept, Response
from mapl_jax.models import hf_config, hub, saving
from mapl_jax.models.config import DecoderConfig
from mapl_jax.models.generation import Sampling
from mapl_jax.models.heads import LogpHead, ScoreHead
from mapl_jax.runtime import cli
from mapl_jax.runtime.errors import UserError
from mapl_jax.training import sharding

from support import config_of, random_like, read_lines, run, write_lines

PROMPTS = [
    {"key": 7, "prompt": "How do I begin?"},
    {"key": 8, "messages": [{"role": "user", "content": "What do I need for brewing coffee?"}]},
    {"key": 9, "prompt": "Why? " * 30},
]


@pytest.fixture(scope="module")
def tokenizer():
    pairs = demo.make_pairs(60)
    texts = [text for pair in pairs for text in (pair["prompt"][0]["content"], pair["chosen"])]
    return tokenization.train(texts, 400)


def save(folder, tokenizer, head):
    config = DecoderConfig(448, 16, 2, 2, 1, 8, 24, tie_embeddings=False, max_positions=512)
    params = random_like(head.abstract_params(config), 0.5)
    saving.save_params(folder, config, params, tokenizer=tokenizer)
    return folder


@pytest.fixture(scope="module")
def model(tokenizer, tmp_path_factory):
    """A folder with a policy that says anything."""
    return save(tmp_path_factory.mktemp("policy") / "model", tokenizer, LogpHead())


@pytest.fixture
def prompts(tmp_path):
    return write_lines(tmp_path / "prompts.jsonl", *PROMPTS)


def settings(**fields):
    return config_of("generate", {"max_new_tokens": 6, "rows_per_batch": 8, **fields}).lock()


def answer(**fields):
    """Runs the command in this process."""
    config = settings(**{name: str(value) for name, value in fields.items() if name in PATHS})
    with config.unlocked():
        config.update({name: value for name, value in fields.items() if name not in PATHS})
    generate.main(cli.Arguments(config, None, "generate"))


PATHS = ("checkpoint", "input", "output")


def run_generate(*arguments, typed=""):
    return run("generate", *arguments, config="generate", typed=typed)


@pytest.fixture(scope="module")
def answered(model, tmp_path_factory):
    """The lines that the command writes for `PROMPTS`."""
    folder = tmp_path_factory.mktemp("answered")
    write_lines(folder / "prompts.jsonl", *PROMPTS)
    answer(checkpoint=model, input=folder / "prompts.jsonl", output=folder / "out.jsonl")
    assert sorted(path.name for path in folder.iterdir()) == ["out.jsonl", "prompts.jsonl"]
    return read_lines(folder / "out.jsonl")


def test_every_prompt_is_answered_in_order_and_keeps_its_fields(answered):
    assert [line["key"] for line in answered] == [7, 8, 9]
    assert answered[0]["prompt"] == "How do I begin?"
    assert answered[1]["prompt"] == "What do I need for brewing coffee?"
    assert all(isinstance(line["response"], str) for line in answered)
    assert all(line["finish_reason"] in ("stop", "length") for line in answered)


def test_the_command_prints_one_line_of_json_a_response(model, prompts, answered):
    result = run_generate(
        f"--config.checkpoint={model}",
        f"--config.input={prompts}",
        "--config.max_new_tokens=6",
    )
    assert result.returncode == 0, result.stderr
    assert [json.loads(line) for line in result.stdout.splitlines()] == answered


def test_a_conversation_is_typed(model):
    typed = "How do I begin?\n/new\nHow do I begin?\nAnd then?\n"
    result = run_generate(f"--config.checkpoint={model}", "--config.max_new_tokens=6", typed=typed)
    assert result.returncode == 0, result.stderr
    # A slow machine says how far it has come, and nothing else is said.
    lines = result.stderr.splitlines()
    assert not [line for line in lines if not line.startswith("loading weights ")]
    hint, first, new, again, after, end = result.stdout.split("> ")
    assert "/new" in hint and new == "" and end.strip() == ""
    # A new conversation begins as the first one did, and goes on differently.
    assert first == again
    assert after != again


@pytest.mark.slow
def test_samples_differ_and_are_numbered_and_come_again(model, prompts, tmp_path):
    fields = {"checkpoint": model, "input": prompts, "temperature": 1.0, "top_p": 0.95, "n": 3}
    for name in ("one.jsonl", "two.jsonl"):
        answer(output=tmp_path / name, **fields)
    found = read_lines(tmp_path / "one.jsonl")
    assert found == read_lines(tmp_path / "two.jsonl")
    assert [(line["key"], line["sample"]) for line in found] == [
        (key, sample) for key in (7, 8, 9) for sample in range(3)
    ]
    assert len({line["response"] for line in found}) > 6
    answer(output=tmp_path / "three.jsonl", seed=1, rows_per_batch=16, **fields)
    assert found != read_lines(tmp_path / "three.jsonl")


@pytest.mark.slow
def test_the_size_of_a_batch_and_the_mesh_change_nothing(model, prompts, answered, tmp_path):
    mesh = {"data": 1, "fsdp": 2, "tensor": 4}
    answer(
        checkpoint=model,
        input=prompts,
        output=tmp_path / "out.jsonl",
        rows_per_batch=1,
        mesh=mesh,
    )
    assert read_lines(tmp_path / "out.jsonl") == answered


def test_ends_come_from_the_tokenizer_its_template_and_the_generation_config(tokenizer, tmp_path):
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    model = DecoderConfig(448, 16, 1, 2, 1, 8, 16, eos_tokens=(7,))
    assert sampler.stops(tokenizer, dataclasses.replace(model, eos_tokens=())) == (end,)
    (tmp_path / "config.json").write_text(json.dumps(hf_config.to_hf(model) | {"eos_token_id": 7}))
    path = tmp_path / "generation_config.json"
    path.write_text('{"eos_token_id": [5, 9]}')
    assert sampler.stops(tokenizer, hub.load_config(tmp_path)) == tuple(sorted({5, 7, 9, end}))
    path.write_text('{"eos_token_id": "</s>"}')
    with pytest.raises(UserError, match=r"generation_config\.json.*eos_token_id"):
        hub.load_config(tmp_path)


def test_a_text_ends_before_its_end_of_turn(tokenizer):
    """A model that always says the same word, then ends."""
    word, end = tokenizer.encode("Sure")[0], tokenizer.eos_token_id
    config = DecoderConfig(448, 16, 1, 2, 1, 8, 24, tie_embeddings=False, qkv_bias=False)
    params = jax.tree.map(
        lambda x: np.zeros(x.shape, np.float32), LogpHead().abstract_params(config)
    )
    # No layer adds anything: what follows is decided by the token itself.
    params["norm"]["scale"][:] = 1
    params["embed"][:, 0] = 1
    params["embed"][word] = np.eye(16)[1]
    params["lm_head"][0, word] = params["lm_head"][1, end] = 1
    mesh = sharding.make_mesh({"data": -1, "fsdp": 1, "tensor": 1})
    respond = sampler.Responder(
        config,
        tokenizer,
        mesh,
        sampling=Sampling(5, sampler.stops(tokenizer, config)),
    )
    ((found,),) = respond(params, [[{"role": "user", "content": "Why?"}]])
    assert found == Response(str(tokenizer.decode([word])), True)


def test_a_stopped_command_loses_nothing_and_goes_on(model, tmp_path, monkeypatch, capsys):
    prompts = write_lines(tmp_path / "prompts.jsonl", *PROMPTS * 4)
    fields = {"checkpoint": model, "input": prompts, "max_new_tokens": 4}
    answer(output=tmp_path / "whole.jsonl", **fields)
    add, written = Kept.add, []

    def stop(self, responses):
        add(self, responses)
        written.append(len(responses))
        raise KeyboardInterrupt

    monkeypatch.setattr(Kept, "add", stop)
    with pytest.raises(KeyboardInterrupt):
        answer(output=tmp_path / "out.jsonl", **fields)
    left = tmp_path / "out.jsonl.partial"
    assert len(left.read_text().splitlines()) == 1 + 8  # the first of two batches
    assert not (tmp_path / "out.jsonl").exists()
    with left.open("a") as file:
        file.write('[0, 0, "cut o')
    monkeypatch.setattr(
        Kept, "add", lambda self, some: (add(self, some), written.append(len(some)))
    )
    answer(output=tmp_path / "out.jsonl", **fields)
    assert "going on after the 8 responses" in capsys.readouterr().out
    assert written == [8, 4]
    assert read_lines(tmp_path / "out.jsonl") == read_lines(tmp_path / "whole.jsonl")
    assert not left.exists()


@pytest.mark.parametrize(
    ("fields", "what"),
    [({"seed": 1}, "seed"), ({"max_new_tokens": 5}, "max_new_tokens"), ({"n": 2}, "n, prompts")],
)
def test_another_command_does_not_go_on(model, tmp_path, fields, what):
    """Of which anything differs that decides the responses."""
    about = {"seed": 0, "max_new_tokens": 6, "prompts": ["a"], "n": 1}
    about_first = {name: about[name] for name in ("seed", "max_new_tokens")}
    kept = Kept(tmp_path / "out.jsonl", about_first, Response)
    kept.resume({"prompts": ["a"], "n": 1})
    kept.add({(0, 0): Response("a", True)})
    other = {**about, **fields, **({"prompts": ["b"]} if "n" in fields else {})}
    with pytest.raises(UserError, match=rf"out.jsonl.partial holds .* another {what};.*remove"):
        Kept(tmp_path / "out.jsonl", {}, Response).resume({"n": other.pop("n"), **other})


def test_two_commands_do_not_write_the_same_responses(tmp_path):
    first = Kept(tmp_path / "out.jsonl", {}, Response)
    assert first.resume({}) == {}
    first.add({(1, 0): Response("b", False), (0, 0): Response("a", True)})
    with pytest.raises(UserError, match=r"out.jsonl.partial is in use by another process"):
        Kept(tmp_path / "out.jsonl", {}, Response).resume({})
    first.finish([{"response": "a"}])
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_prompt_too_long_for_the_model_is_named(model, tmp_path):
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"prompt": "Why?"}) + "\n" + json.dumps({"prompt": "Why? " * 600}))
    with pytest.raises(UserError, match=r"long\.jsonl, record 2.*room for 506"):
        answer(checkpoint=model, input=path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"checkpoint": ""}, "no checkpoint given"),
        ({"checkpoint": "nowhere"}, "no such folder: nowhere"),
        ({"input": "nowhere.jsonl"}, r"nowhere\.jsonl"),
        ({"n": 2, "temperature": 0.0}, "all n=2 responses are the same"),
        ({"n": 0}, "at least 1"),
        ({"temperature": -0.5}, "temperature"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"rows_per_batch": 0}, "rows_per_batch"),
        ({"dtype": "int8"}, "int8"),
        ({"attention": "flash"}, "flash"),
        ({"input": "", "output": "out.jsonl"}, "no input"),
        ({"input": "", "n": 2, "temperature": 1.0}, "--config.input"),
        ({"output": "/"}, "is a folder|holds the input"),
    ],
)
def test_a_mistake_gives_one_line(model, prompts, fields, message):
    with pytest.raises(UserError, match=message):
        answer(**{"checkpoint": model, "input": prompts, **fields})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no records"),
        ('{"key": 1}\n', "record 1: has no 'prompt'"),
        ('{"prompt": "a"}\n{"prompt": 3}\n', "record 2: prompt must be text or messages"),
        ('{"messages": [{"role": "assistant", "content": "a"}]}', "must end with a user's"),
        ('{"prompt": "a"', "not JSON"),
    ],
)
def test_a_bad_record_is_named(model, tmp_path, text, message):
    path = tmp_path / "prompts.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        answer(checkpoint=model, input=path, output=tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_reward_model_is_refused(tokenizer, prompts, tmp_path):
    folder = save(tmp_path / "model", tokenizer, ScoreHead())
    result = run_generate(f"--config.checkpoint={folder}", f"--config.input={prompts}")
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        f"error: {folder} is a reward model, which cannot answer; give a policy"
    ]


@pytest.mark.parametrize("encoding", [("utf-8", "strict"), ("ascii", "surrogateescape")])
def test_typed_bytes_that_are_no_text_are_told(encoding):
    typed = io.TextIOWrapper(io.BytesIO(b"\xff\xfe\x00\n"), *encoding)
    with pytest.raises(UserError, match="what was typed is not UTF-8 text"):
        generate.converse(lambda _: pytest.fail("it was asked"), typed)


def test_a_line_without_end_is_not_read_to_its_end():
    class Endless(io.StringIO):
        def readline(self, size=-1):
            assert 0 < size < 10**7
            return "a" * size

    with pytest.raises(UserError, match="a line has more than 1,048,576 characters"):
        generate.converse(lambda _: pytest.fail("it was asked"), Endless())

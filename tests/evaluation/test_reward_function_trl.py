"""Two steps of TRL's GRPOTrainer with a reward model and verifiers of this package; needs trl."""

import pytest

import mapl_jax

torch = pytest.importorskip("torch")
trl = pytest.importorskip("trl")
transformers = pytest.importorskip("transformers")
datasets = pytest.importorskip("datasets")
pytestmark = pytest.mark.peers

PROMPTS = ("Name a river. Use at least one comma.", "Say hello. Write at most three words.")


def test_two_steps_of_grpo(tmp_path):
    pairs = mapl_jax.load_pairs("demo", limit=12)
    model = mapl_jax.build_model(mapl_jax.load_config("rm:tiny"), pairs)
    reward = mapl_jax.reward_function(model, constraints="prompt", gate=0.0)
    said = []

    def noted(prompts, completions, **columns):
        values = reward(prompts=prompts, completions=completions, **columns)
        said.append((prompts, completions, values))
        return values

    config = transformers.Qwen2Config(
        vocab_size=len(model.tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=model.tokenizer.pad_token_id,
        eos_token_id=model.tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    policy = transformers.AutoModelForCausalLM.from_config(config)
    before = policy.model.embed_tokens.weight.detach().clone()
    trainer = trl.GRPOTrainer(
        model=policy,
        reward_funcs=[noted, mapl_jax.reward_function(model)],
        args=trl.GRPOConfig(
            output_dir=str(tmp_path),
            max_steps=2,
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=8,
            learning_rate=1e-2,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            bf16=False,
        ),
        train_dataset=datasets.Dataset.from_list(
            [{"prompt": [{"role": "user", "content": prompt}]} for prompt in PROMPTS * 4]
        ),
        processing_class=model.tokenizer,
    )
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert len(logs) == len(said) == 2
    for entry, (prompts, completions, values) in zip(logs, said, strict=True):
        assert len(prompts) == len(completions) == len(values) == 4
        assert set(values) <= {0.0, 0.5, 2.0, -0.5, 1.0}
        assert entry["rewards/noted/mean"] == pytest.approx(sum(values) / 4)
        assert entry["rewards/mapl_reward/std"] > 0
    assert not torch.equal(policy.model.embed_tokens.weight, before)

"""The model card: README.md of an exported folder, in Markdown."""

import html
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from mapl_jax.evaluation import likelihood, preferences
from mapl_jax.runtime.storage import HUB_NAME

LEVELS = {
    "base": "which of two responses is better",
    "intra": "which of two prompts one response keeps",
    "inter": "by how much instructions that only one response keeps widen the gap",
}
USE = """```python
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

{load}

messages = [
    {{"role": "user", "content": "Name two colours. Use no comma."}},
    {{"role": "assistant", "content": "Red and blue."}},
]
text = tokenizer.apply_chat_template(messages, tokenize=False)
inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")
with torch.no_grad():
    print(model(**inputs).logits[0, 0].item())

# The same number from a pipeline:
classify = pipeline("text-classification", model=model, tokenizer=tokenizer)
print(classify(text, add_special_tokens=False)[0]["score"])
```"""
WHOLE = """folder = "."  # this folder
model = AutoModelForSequenceClassification.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)"""
USE_POLICY = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

{load}

messages = [{{"role": "user", "content": "Name two colours. Use no comma."}}]
inputs = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
)
output = model.generate(**inputs, max_new_tokens=64, do_sample=False)
print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
```"""
ADAPTER = """from peft import PeftModel

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
base = AutoModelForSequenceClassification.from_pretrained(
    {base}, num_labels=1, pad_token_id=tokenizer.pad_token_id, problem_type="regression"
)
model = PeftModel.from_pretrained(base, folder)"""
ADAPTER_POLICY = """from peft import PeftModel

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained({base}), folder)"""


def write(
    summary: Mapping[str, Any],
    config: Mapping[str, Any],
    *,
    step: int | None,
    adapter: bool,
    policy: bool = False,
) -> str:
    """The card.

    Args:
        summary: of the run, as `summary.json` has it; empty if the run has none at this step.
        config: of the run; empty if the model comes from no run.
        step: the checkpoint of the run, if it comes from one.
        adapter: the folder holds adapters alone.
        policy: the model is a language model and not a reward model.
    """
    base = config.get("model", {}).get("path", "")
    title = " ".join((config.get("name") or ("Policy" if policy else "Reward model")).split())
    parts = [_header(base, config, adapter, policy), f"# {title}", _about(config, adapter, policy)]
    if "train" in config:
        parts += ["## Training", _training(summary, config, base, step)]
    after = summary.get("eval", {}).get("after")
    if after:
        module = likelihood if config.get("objective") == "sft" else preferences
        parts += ["## Results on held-out data", _results(summary["eval"], module)]
    parts.append("## Use")
    if policy:
        whole = WHOLE.replace("SequenceClassification", "CausalLM")
        load = ADAPTER_POLICY.format(base=json.dumps(base)) if adapter else whole
        return "\n\n".join([*parts, USE_POLICY.format(load=load)]) + "\n"
    load = ADAPTER.format(base=json.dumps(base)) if adapter else WHOLE
    parts += [
        USE.format(load=load),
        "The score is read at the last token, so a text has to end as the chat template of this "
        "folder ends it: in the end of the answer's turn, with nothing behind it. The template "
        "writes the beginning of the text itself; `add_special_tokens=False` keeps the tokenizer "
        "from adding a second one. The score is a raw reward, not a probability; differences "
        "between responses to one prompt are what it was trained for.",
    ]
    return "\n\n".join(parts) + "\n"


def _about(config: Mapping[str, Any], adapter: bool, policy: bool) -> str:
    method = (
        "multi-level aware preference learning "
        "([arXiv 2505.12845](https://arxiv.org/abs/2505.12845))"
    )
    if policy:
        kind = "Low-rank adapters (LoRA) of a" if adapter else "A"
        if config.get("objective") == "sft":
            method = "maximum likelihood of demonstrated responses"
        return f"{kind} language model, trained by {method} with `mapl_jax`."
    kind = "Low-rank adapters (LoRA) and the head of a" if adapter else "A"
    return (
        f"{kind} reward model: one number for a conversation that ends in a response, higher is "
        f"better. Trained by {method} with `mapl_jax`."
    )


def _header(base: str, config: Mapping[str, Any], adapter: bool, policy: bool) -> str:
    lines = [
        f"library_name: {'peft' if adapter else 'transformers'}",
        f"pipeline_tag: {'text-generation' if policy else 'text-classification'}",
        f"tags: [{'policy' if policy else 'reward-model'}, mapl]",
    ]
    if _is_hub_name(base):
        lines.append(f"base_model: {base}")
    data = str(config.get("data", {}).get("train", "")).split(":")[0]
    if _is_hub_name(data):
        lines.append(f"datasets: [{data}]")
    return "\n".join(["---", *lines, "---"])


def _is_hub_name(name: str) -> bool:
    return bool(HUB_NAME.fullmatch(name)) and not Path(name).exists()


def _training(
    summary: Mapping[str, Any], config: Mapping[str, Any], base: str, step: int | None
) -> str:
    data, loss, train = config["data"], config.get("loss", {}), config["train"]
    held_out = data["test"] or f"{data['test_fraction']:g} of the training data"
    rows = [
        ("Base model", base or "none, trained from scratch"),
        ("Training data", data["train"]),
        ("Held-out data", "demo" if data["train"] == "demo" else held_out),
    ]
    if "inter_form" in loss:
        rows += [
            ("Instructions", f"families {config['synthesis']['families'].replace(',', ', ')}"),
            *((f"Level `{level}`", f"weight {loss[level]:g}: {LEVELS[level]}") for level in LEVELS),
            ("Form of `inter`", loss["inter_form"]),
        ]
    if "beta" in loss:
        rows.append(("Loss of `base`", f"{loss['type']}, beta {loss['beta']:g}"))
    rows += [
        ("Learning rate", f"{train['learning_rate']:g}, {train['schedule']}"),
        ("Batch", f"{train['rows_per_batch']} rows of {data['row_length']} tokens"),
    ]
    if config["lora"]["rank"]:
        lora = config["lora"]
        rows.append(
            ("LoRA", f"rank {lora['rank']}, alpha {lora['alpha']:g}, targets {lora['targets']}")
        )
    if step is not None:
        of = f" of {summary['steps']}" if summary else ""
        rows.append(("Steps", f"{step}{of}"))
    text = _table([("", ""), *rows])
    if summary:
        text += f"\n\n```bash\n{summary['command']}\n```"
    return text


def _results(evaluations: Mapping[str, Any], module: ModuleType) -> str:
    cells = module.table_cells(evaluations.get("before"), evaluations["after"])
    return _table(cells) + "\n\n" + "\n".join(module.FOOTNOTES)


def _table(rows: Any) -> str:
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _cell(value: Any) -> str:
    """A value in one cell: no end of line, no end of cell, and no HTML."""
    text = " ".join(str(value).split())
    return html.escape(text, quote=False).replace("|", "\\|")

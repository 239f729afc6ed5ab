"""The model card: README.md of an exported folder, in Markdown."""

import html
import importlib.resources
import json
import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from mapl_jax.evaluation import evaluator_of, kind_of
from mapl_jax.evaluation.statistics import Summary
from mapl_jax.losses import LEVELS
from mapl_jax.runtime.run_folder import Config
from mapl_jax.runtime.storage import HUB_NAME
from mapl_jax.training.restore import Trained

SAYS = {
    "base": "which of two responses is better",
    "intra": "which of two prompts one response keeps",
    "inter": "by how much instructions that only one response keeps widen the gap",
}


def card_of(model: Trained, *, adapter: bool = False) -> str:
    """The card of a model, or of its adapters alone."""
    return write(
        model.summary, model.config, step=model.step, adapter=adapter, policy=not model.head
    )


def write(
    summary: Summary, config: Config, *, step: int | None, adapter: bool, policy: bool = False
) -> str:
    """The card of a model, or of its adapters alone.

    Args:
        summary: of the run, as `summary.json` has it; empty if the run has none at this step.
        config: of the run; empty if the model comes from no run.
        step: the checkpoint of the run, if it comes from one.
    """
    base = config.get("model", {}).get("path", "")
    title = config.get("name") or ("Policy" if policy else "Reward model")
    evaluations = summary.get("eval", {})
    results, footnotes = "", ""
    if evaluations.get("after"):
        evaluator = evaluator_of(kind_of(evaluations["after"]))
        first, *_ = evaluator.tables(evaluations.get("before"), evaluations["after"])
        results, footnotes = _table(first.cells), "\n".join(first.footnotes)
    template = importlib.resources.files("mapl_jax.reports") / "templates" / "model_card.md"
    card = ModelCard.from_template(
        _data(base, config, adapter, policy, evaluations),
        template_str=template.read_text(encoding="utf-8"),
        title=" ".join(title.split()),
        is_sft=config.get("objective") == "sft",
        training=_training(summary, config, base, step) if "train" in config else "",
        command=summary.get("command", ""),
        results=results,
        footnotes=footnotes,
        base=json.dumps(base),
        adapter=adapter,
        policy=policy,
    )
    return re.sub(r"\n{3,}", "\n\n", str(card).rstrip()) + "\n"


def _data(
    base: str, config: Config, adapter: bool, policy: bool, evaluations: Summary
) -> ModelCardData:
    data = str(config.get("data", {}).get("train", "")).split(":")[0]
    task = "text-generation" if policy else "text-classification"
    results = _results(task, config, evaluations)
    return ModelCardData(
        model_name=" ".join(str(config.get("name") or "model").split()) if results else None,
        eval_results=results or None,
        library_name="peft" if adapter else "transformers",
        pipeline_tag=task,
        tags=["policy" if policy else "reward-model", "mapl"],
        base_model=base if _is_hub_name(base) else None,
        datasets=[data] if _is_hub_name(data) else None,
    )


def _results(task: str, config: Config, evaluations: Summary) -> list[EvalResult]:
    """What the evaluation after training found, as the hub shows it beside a model."""
    after, kept = evaluations.get("after") or {}, evaluations.get("generation") or {}
    metrics = [
        ("accuracy", f"accuracy, {level}", after[f"{level}_accuracy"])
        for level in LEVELS
        if after.get(f"{level}_count")
    ]
    metrics += [("perplexity", "perplexity", after["perplexity"])] if "perplexity" in after else []
    for what in ("prompt", "instruction"):
        if f"{what}_after" in kept:
            metrics.append(("accuracy", f"{what}s kept", kept[f"{what}_after"]))
    source = config.get("data", {})
    name = str(source.get("test") or source.get("train") or "held-out data")
    name = " ".join((Path(name).name if not _is_hub_name(name.split(":")[0]) else name).split())
    known = name.split(":")[0] if _is_hub_name(name.split(":")[0]) else "other"
    return [
        EvalResult(
            task_type=task,
            dataset_type=known,
            dataset_name=name,
            dataset_split="test",
            metric_type=kind,
            metric_name=label,
            metric_value=round(float(value), 4),
        )
        for kind, label, value in metrics
    ]


def _is_hub_name(name: str) -> bool:
    return bool(HUB_NAME.fullmatch(name)) and not Path(name).exists()


def _training(summary: Summary, config: Config, base: str, step: int | None) -> str:
    data, loss, train = config["data"], config.get("loss", {}), config["train"]
    held_out = data["test"] or f"{data['test_fraction']:g} of the training data"
    rows: list[tuple[str, object]] = [
        ("Base model", base or "none, trained from scratch"),
        ("Training data", data["train"]),
        ("Held-out data", "demo" if data["train"] == "demo" else held_out),
    ]
    if "inter_form" in loss:
        rows += [
            ("Instructions", f"families {config['synthesis']['families'].replace(',', ', ')}"),
            *((f"Level `{level}`", f"weight {loss[level]:g}: {SAYS[level]}") for level in LEVELS),
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
            (
                "LoRA",
                f"rank {lora['rank']}, alpha {lora['alpha']:g}, targets {lora['targets']}"
                + (f", last {lora['layers']} layers" if lora.get("layers") else ""),
            )
        )
    if step is not None:
        rows.append(("Steps", f"{step} of {summary['steps']}" if summary else step))
    return _table([("", ""), *rows])


def _table(rows: Sequence[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _cell(value: object) -> str:
    """A value in one cell: no end of line, no end of cell, and no HTML."""
    text = " ".join(str(value).split())
    return html.escape(text, quote=False).replace("|", "\\|")

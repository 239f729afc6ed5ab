"""What a run leaves for people: scores, summary.json, the report and the printed table."""

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import jax

from mapl_jax.data.samples import Sample
from mapl_jax.evaluation import following
from mapl_jax.evaluation.evaluators import Evaluator, S
from mapl_jax.evaluation.statistics import Summary
from mapl_jax.runtime import console, files
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.run_folder import RunFolder

SIDES = ("before", "after")


def has_scores(folder: RunFolder, which: str, answered: bool = False) -> bool:
    """Whether an evaluation of this run, with answers or not, was written before, and is whole."""
    names = [f"{which}.jsonl", *([f"answers-{which}.jsonl"] if answered else [])]
    if not all((folder.eval / name).exists() for name in names):
        return False
    flaw = files.flaw(folder.eval, names)
    if flaw and jax.process_index() == 0:
        console.notice(f"{folder.eval} cannot be used ({flaw}) and is made anew")
    return flaw is None


def write_answers(folder: RunFolder, which: str, answers: list[following.Answer]) -> None:
    """Keeps a policy's own responses, "before" or "after" training."""
    if jax.process_index() == 0:
        following.write(folder.eval / f"answers-{which}.jsonl", answers)
        files.seal(folder.eval, [f"answers-{which}.jsonl"])


def write_scores(folder: RunFolder, which: str, scored: S, evaluator: Evaluator[S]) -> None:
    """Keeps an evaluation, so that the report of a resumed run has both ends of it."""
    if jax.process_index() == 0:
        evaluator.write(folder.eval / f"{which}.jsonl", scored)
        files.seal(folder.eval, [f"{which}.jsonl"])


def read_summary(folder: RunFolder) -> Summary:
    """The summary.json of a finished run or evaluation."""
    summary = folder.read_summary()
    if not summary.get("eval"):
        raise UserError(f"{folder.summary} is not the summary of a run or an evaluation")
    return summary


def read_scores(folder: RunFolder, which: str, evaluator: Evaluator[S]) -> S:
    """The scores of an evaluation, "before" or "after", as they were written."""
    return evaluator.read(_checked(folder, f"{which}.jsonl"))


def read_answers(folder: RunFolder, which: str) -> list[following.Answer]:
    """The answers of an evaluation, as `read_scores` reads its scores."""
    return following.read(_checked(folder, f"answers-{which}.jsonl"))


def _checked(folder: RunFolder, name: str) -> Path:
    if flaw := files.flaw(folder.eval, [name]):
        raise UserError(
            f"{folder.eval} cannot be used ({flaw}); the command that made it makes it anew"
        )
    return folder.eval / name


def share_scores(of: RunFolder, to: RunFolder, which: str) -> None:
    """Gives one run an evaluation of another that is the same for both, with answers if it has any.

    What is damaged is not given.
    """
    names = [f"{which}.jsonl", f"answers-{which}.jsonl"]
    names = [name for name in names if (of.eval / name).exists()]
    if files.flaw(of.eval, names) is not None:
        return
    to.eval.mkdir(exist_ok=True)
    for name in names:
        with files.replacing(to.eval / name) as part:
            shutil.copyfile(of.eval / name, part)
    files.seal(to.eval, names)


def digests(samples: Iterable[Sample]) -> dict[str, str]:
    """Names what held-out samples say, level by level, whatever tokenizer reads them.

    Two runs with the same digest of a level were tested on the same comparisons, text by text.
    Demonstrations, which have no comparisons, are the level "responses". The order of the samples
    does not matter.
    """
    hashes: dict[str, list[bytes]] = {}
    parts: list[tuple[str, object]]
    for sample in samples:
        prompts = [prompt["messages"] for prompt in sample["prompts"]]
        parts = [
            (
                entry["level"],
                [
                    [prompts[prompt], sample["responses"][response], sign]
                    for prompt, response, sign in zip(
                        entry["prompt"], entry["response"], entry["sign"], strict=True
                    )
                ],
            )
            for entry in sample["comparisons"]
        ] or [("responses", [prompts[0], sample["responses"][0]])]
        for level, part in parts:
            text = json.dumps([str(sample["id"]), part], sort_keys=True)
            hashes.setdefault(level, []).append(
                hashlib.blake2b(text.encode(), digest_size=16).digest()
            )
    return {
        level: hashlib.blake2b(b"".join(sorted(parts)), digest_size=8).hexdigest()
        for level, parts in sorted(hashes.items())
    }

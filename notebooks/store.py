"""Runs notebooks and stores them with what they print and draw, and with nothing of the machine.

    python notebooks/store.py [NAME.ipynb ...]

Without names, all of them. They run in a folder of their own, and leave nothing in the repository.
Nothing may go to stderr, which notebooks show in red.
"""

import json
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent


def main(names: list[str]) -> None:
    """Runs and stores."""
    for path in [FOLDER / name for name in names] or sorted(FOLDER.glob("*.ipynb")):
        began = time.perf_counter()
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory(prefix="mapl-") as folder:
            place = {"metadata": {"path": folder}}
            NotebookClient(notebook, timeout=3600, kernel_name="python3", resources=place).execute()
            tidy(notebook, Path(folder).resolve())
        nbformat.validate(notebook)
        text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True)
        path.write_text(text + "\n", encoding="utf-8")
        print(f"{path.name}: {time.perf_counter() - began:.0f} s", flush=True)


def tidy(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Leaves out times, bars and the name of the folder."""

    def clean(text: str) -> str:
        text = re.sub(r"[^\n]*\r|^done in .*\n", "", text, flags=re.M)  # bars written over, times
        return text.replace(f"{folder}/", "").replace(str(folder), ".")

    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        kept: list[nbformat.NotebookNode] = []
        for output in cell.get("outputs", ()):
            if output.output_type != "stream":
                output.data = {
                    kind: clean(value) if isinstance(value, str) else value
                    for kind, value in output.data.items()
                }
            elif output.name == "stderr":
                print(f"a cell writes to stderr:\n{output.text}", file=sys.stderr)
                continue
            elif kept and kept[-1].output_type == "stream":
                kept[-1].text += output.text
                continue
            kept.append(output)
        for output in kept:
            if output.output_type == "stream":
                output.text = clean(output.text)
        if cell.cell_type == "code":
            cell.outputs = kept


if __name__ == "__main__":
    main(sys.argv[1:])

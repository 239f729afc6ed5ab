"""The notebook runs from its first cell to its last."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
SMALL = (
    "--config.data.demo_pairs=40 --config.train.steps=2 --config.tokenizer.vocab_size=512 "
    "--config.model.width=32 --config.model.layers=1 --config.eval.resamples=10"
)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("MAPL_NOTEBOOK_RUN", str(tmp_path / "run"))
    monkeypatch.setenv("MAPL_NOTEBOOK_FLAGS", SMALL)
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    text = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ())
    )
    assert "base" in text
    assert "keeps" in text

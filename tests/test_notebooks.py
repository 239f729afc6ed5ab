"""The notebooks run from their first cell to their last, and are stored as people read them."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
(URL,) = re.findall(r'PROJECT_URL = "(.+)"', (FOLDER.parent / "setup.py").read_text())
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

# Smaller values of the cells tagged "parameters", and what is not worth a test twice.
SMALL = {
    "quickstart.ipynb": "PAIRS = 40\nSTEPS = 2",
    "dpo.ipynb": "PAIRS = 60\nEPOCHS = 1\nANSWERS = 2",
    "hub_to_transformers.ipynb": 'HUB_MODEL = "none/none"\nPAIRS = 40\nSTEPS = 2',
}
# What the last cells print if all went well.
ENDS = {
    "quickstart.ipynb": "report.html",
    "dpo.ipynb": "✓",
    "hub_to_transformers.ipynb": "mapl_jax:",
    "constraints.ipynb": "r(x″, rejected)",
}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Models of the hub are not fetched: what is stored is what runs without them."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def read(path):
    return nbformat.read(path, as_version=4)


def parameters(notebook):
    (cell,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", ())]
    return cell


def printed(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(
        output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
        for output in outputs
    )


ROW = re.compile(r"^(base|intra|inter|prompts|instructions|held out) +(\d+) +(.*)$", re.MULTILINE)


def figures(text):
    """Of every row of a printed table: how many it is of, and its shares in per cent."""
    return [
        (name, int(count), [float(share) for share in re.findall(r"([\d.]+) %", rest)])
        for name, count, rest in ROW.findall(text)
    ]


def run(notebook, folder):
    NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": str(folder)}}).execute()
    return printed(notebook)


def test_there_are_the_four():
    assert [path.name for path in NOTEBOOKS] == sorted(ENDS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stored_with_outputs_and_with_nothing_of_the_machine(path):
    notebook = read(path)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source]
    counts = [cell.execution_count for cell in code]
    assert counts == list(range(1, len(code) + 1))
    for cell in code:
        for output in cell.outputs:
            assert output.output_type in ("stream", "display_data", "execute_result")
            assert output.get("name") != "stderr"
    assert ENDS[path.name] in printed(notebook)
    text = json.dumps(json.loads(path.read_text(encoding="utf-8")), ensure_ascii=False)
    assert not re.search(r"(?<![\w.])/(tmp|root|home|usr|work|content)\b|\\u001b|pypi", text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_first_code_cell_installs_and_does_nothing_where_that_is_done(
    path, monkeypatch, tmp_path
):
    first = next(cell for cell in read(path).cells if cell.cell_type == "code")
    assert "pip" in first.source and 'find_spec("mapl_jax") is None' in first.source
    calls = []
    monkeypatch.setattr("subprocess.run", lambda command, **_: calls.append(command))
    exec(first.source, {})
    assert not calls
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("sys.path", ["before", *sys.path])
    # With a GPU, JAX's plugin has to be as new as the JAX that is installed.
    for tool, extra in ((None, ""), ("/bin/nvidia-smi", "[cuda]")):
        monkeypatch.setattr("shutil.which", lambda name, tool=tool: tool)
        sources = (
            (FOLDER, ["-e", f"{FOLDER.parent}{extra}"]),
            (tmp_path, [f"mapl_jax{extra} @ git+{URL}"]),
        )
        for folder, source in sources:
            monkeypatch.chdir(folder)
            exec(first.source, {})
            assert calls.pop()[1:] == ["-m", "pip", "install", "--quiet", *source]
    assert sys.path[: sys.path.index("before")] == [str(FOLDER.parent)] * 2
    monkeypatch.setattr("numpy.__version__", "1.0")
    with pytest.raises(SystemExit, match="numpy was in use and is new: restart the session"):
        exec(first.source, {})


def test_pictures_are_drawings_that_stand_alone():
    drawings = [
        output.data["image/svg+xml"]
        for path in NOTEBOOKS
        for cell in read(path).cells
        for output in cell.get("outputs", ())
        if "image/svg+xml" in output.get("data", {})
    ]
    assert len(drawings) >= 7  # galleries: four of the quickstart, three of the policy
    for drawing in drawings:
        assert drawing.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
        assert "--paper: #ffffff" in drawing


def test_the_constraints_notebook_runs(tmp_path):
    notebook = read(FOLDER / "constraints.ipynb")
    assert ENDS["constraints.ipynb"] in run(notebook, tmp_path)


def test_the_quickstart_runs_small(tmp_path):
    notebook = read(FOLDER / "quickstart.ipynb")
    parameters(notebook).source = SMALL["quickstart.ipynb"]
    assert ENDS["quickstart.ipynb"] in run(notebook, tmp_path)
    assert (tmp_path / "runs" / "quickstart" / "report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpo.ipynb", "hub_to_transformers.ipynb"])
def test_a_notebook_runs_small(name, tmp_path):
    notebook = read(FOLDER / name)
    parameters(notebook).source = SMALL[name]
    assert ENDS[name] in run(notebook, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_as_it_is_and_gives_the_figures_that_are_stored(path, tmp_path):
    stored = printed(read(path))
    made = run(read(path), tmp_path)
    assert ENDS[path.name] in made
    if path.name == "constraints.ipynb":
        assert made == stored
    assert len(figures(made)) == len(figures(stored))
    for (name, count, shares), (stored_name, stored_count, stored_shares) in zip(
        figures(made), figures(stored), strict=True
    ):
        # The same data everywhere; training differs in the last digit, which grows.
        assert (name, count) == (stored_name, stored_count), "run python notebooks/store.py"
        assert shares == pytest.approx(stored_shares, abs=8)


def test_figures_are_found_in_what_notebooks_print():
    for name, least in (
        ("quickstart.ipynb", 3),
        ("dpo.ipynb", 5),
        ("hub_to_transformers.ipynb", 6),
    ):
        found = figures(printed(read(FOLDER / name)))
        assert len(found) >= least
        assert {"base", "intra", "inter"} <= {row for row, *_ in found}


def test_notebooks_use_public_names_and_no_positions():
    for path in NOTEBOOKS:
        for cell in read(path).cells:
            if cell.cell_type == "code":
                imported = re.findall(
                    r"from mapl_jax\.?(\S*) import|import mapl_jax\.(\S+)", cell.source
                )
                assert not any("".join(name) for name in imported), path.name
                assert not re.search(r'pictures\["\w+"\]\[', cell.source), path.name

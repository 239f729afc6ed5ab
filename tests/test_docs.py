"""Pages that come from the code are up to date, and what pages name is there."""

import importlib.util
import re
from pathlib import Path

import pytest

from mapl_jax import constraints

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
PAGES += [ROOT / "launch" / "README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))


@pytest.fixture(scope="module")
def make():
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "docs" / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["constraints.md", "configuration.md"])
def test_a_page_from_the_code_is_up_to_date(make, name):
    assert make.PAGES[name]() == (ROOT / "docs" / name).read_text(), "run python docs/make.py"


def test_the_address_of_the_project_is_the_same_everywhere(make, tmp_path, monkeypatch):
    for path in make.LINKED:
        assert make.linked(path) == path.read_text(), "run python docs/make.py"
    (tmp_path / "docs").mkdir()
    setup = (ROOT / "setup.py").read_text()
    (tmp_path / "setup.py").write_text(re.sub(make.URL, "https://github.com/me/mine", setup))
    monkeypatch.setattr(make, "FOLDER", tmp_path / "docs")
    for path in make.LINKED:
        text = make.linked(path)
        assert set(re.findall(make.URL, text)) - {"huggingface/datasets"} == {"me/mine"}
        assert ("colab.research.google.com/github/me/mine/" in text) == (path.suffix == ".ipynb")


def test_every_family_is_in_the_catalogue_in_words_that_are_read_back():
    text = (ROOT / "docs" / "constraints.md").read_text()
    rows = re.findall(r"^\| `(\w+:\w+)` \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", text, re.M)
    assert {row[0] for row in rows} == set(constraints.ids())
    for id, _, *sentences in rows:
        for sentence in sentences:
            if "\\|" not in sentence and "HELLO" not in sentence:
                assert constraints.parse(sentence)[0] == id, sentence


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_names_is_there(page):
    text = page.read_text()
    for name in re.findall(r"`((?:mapl_jax|configs|tests|docs|launch|notebooks)/[\w./-]+)`", text):
        assert (ROOT / name.rstrip("/")).exists(), name
    for name in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert (page.parent / name).exists(), name


def test_the_first_screen_leads_on():
    text = (ROOT / "README.md").read_text()
    for name in ("method", "constraints", "configuration", "speed"):
        assert f"(docs/{name}.md)" in text
    assert "(launch/README.md)" in text

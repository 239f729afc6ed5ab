"""Pages that come from the code are up to date, and what pages name is there."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import yaml

from mapl_jax import constraints
from mapl_jax.__main__ import COMMANDS
from mapl_jax.runtime import config

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
PAGES += [ROOT / "launch" / "README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))


def script(name):
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def make():
    return script("make")


@pytest.fixture(scope="module")
def hooks():
    return script("hooks")


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
    for name in ("start", "recipes", "trl", "method", "constraints", "configuration", "speed"):
        assert f"(docs/{name}.md)" in text
    assert "(launch/README.md)" in text


def commands():
    """(page, command, config, the names of its flags) of every command in a block of a page."""
    for page in PAGES:
        for block in re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                starts = [i for i, word in enumerate(words) if word in ("mapl", "-m")]
                for start in starts:
                    name = words[start + 1].removeprefix("mapl_jax.")
                    end = words.index("&&", start) if "&&" in words[start:] else len(words)
                    flags = dict(
                        w[2:].partition("=")[::2] for w in words[start:end] if w[:2] == "--"
                    )
                    if name in COMMANDS and "config" in flags:
                        yield page, name, flags.pop("config"), tuple(flags)


@pytest.mark.parametrize(
    ("page", "command", "name", "flags"),
    [pytest.param(*found, id=f"{found[0].name}-{i}") for i, found in enumerate(commands())],
)
def test_what_a_command_on_a_page_sets_is_there(page, command, name, flags):
    known = {field for field, _ in config.fields(config.load_config(name))}
    # Flags beside the config: of the command, and of every run.
    known |= set(re.findall(r"^    (\w+): .*setting\(", source(command), re.MULTILINE))
    known |= {"workdir", "overrides", "quiet", "coordinator", "num_processes", "process_id"}
    assert {flag.removeprefix("config.") for flag in flags} <= known


def source(command):
    return (ROOT / "mapl_jax" / COMMANDS[command]).read_text()


def test_commands_are_found_on_the_pages():
    assert {page.name for page, *_ in commands()} >= {"README.md", "recipes.md", "start.md"}


def test_every_page_is_in_the_navigation_of_the_site_once(hooks):
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    shown = [page for entry in settings["nav"] for page in entry.values()]
    here = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert sorted(shown) == sorted(here | {*hooks.OUTSIDE, "api.md"})
    assert settings["theme"]["font"] is False


def test_links_between_pages_hold_on_github_and_on_the_site(hooks):
    pages = {path.name for path in (ROOT / "docs").iterdir()} | {*hooks.OUTSIDE}
    text = "[a](docs/data.md#files) [b](launch/README.md) [c](CITATION.cff) [d](https://x.y/z)"
    expected = (
        "[a](data.md#files) [b](launch.md) [c](URL/blob/main/CITATION.cff) [d](https://x.y/z)"
    )
    assert hooks.linked(text, "index.md", pages) == expected.replace("URL", hooks.URL)
    text = "[a](data.md) [b](../README.md) [c](#here) ![d](idea.svg) [e](../configs/rm.py)"
    expected = (
        "[a](data.md) [b](index.md) [c](#here) ![d](idea.svg) [e](URL/blob/main/configs/rm.py)"
    )
    assert hooks.linked(text, "method.md", pages) == expected.replace("URL", hooks.URL)
    assert hooks.linked("[a](../docs/data.md)", "launch.md", pages) == "[a](data.md)"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_code_is_written_as_the_site_reads_it(hooks, page):
    # The site takes ```jsonl prompt=a,chosen=b for text, and all up to the next fence for code.
    text = hooks.plain_code(page.read_text("utf-8"))
    assert all(re.fullmatch(r"\w*", fence) for fence in re.findall(r"^```(.*)$", text, re.M))
    assert not re.search(r"^\|.*`[^`]*\\\|[^`]*`", text, re.M)


def test_the_page_of_the_api_has_every_public_name(hooks):
    page = hooks.api()
    for name, module in hooks.PUBLIC.items():
        assert f"::: mapl_jax.{module}.{name}\n" in page


def test_pictures_follow_a_dark_theme():
    pictures = sorted((ROOT / "docs").glob("*.svg"))
    assert len(pictures) >= 6
    for picture in pictures:
        assert "prefers-color-scheme" in picture.read_text(), picture.name


def test_every_promise_names_tests_that_are_there():
    text = (ROOT / "docs" / "reliability.md").read_text()
    promises = re.findall(r"^\| (?!\||---)([^|]*) \| [^|]* \| ([^|]*) \|$", text, re.M)
    assert len(promises) > 20
    for promise, held_by in promises:
        tests = re.findall(r"`(tests/\S+\.py)::(\w+)`", held_by)
        assert tests, promise
        for path, name in tests:
            assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"

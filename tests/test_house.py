"""What may import what, and how long anything may be.

Each folder of the package says in its `__init__` what it may import ("May import: ..."), and its
modules are held to that line; no line may allow what NEVER forbids. `python tests/test_house.py`
prints what is left to do.
"""

import ast
import graphlib
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mapl_jax"
VERBS = {"train", "synthesize", "evaluate", "generate", "export", "serve", "plan", "bench", "study"}
FORMULAS = {"losses", "pair_losses", "token_losses"}
ROOMS = {
    "constraints",
    "constraints.families",
    "constraints.families.wordings",
    "constraints.text",
    "data",
    "evaluation",
    "kernels",
    "models",
    "performance",
    "reports",
    "runtime",
    "serving",
    "study",
    "synthesis",
    "training",
}
# Importing room -> rooms that it never imports, whatever its `__init__` says.
NEVER = {
    "evaluation": {"reports"},
    "synthesis": {"reports", "training"},
    "training": {"evaluation", "synthesis"},
    "data": {"models"},
    "models": {"data", "training"},
    **{
        room: (ROOMS | FORMULAS) - {it for it in ROOMS if it.startswith("constraints")}
        for room in ROOMS
        if room.startswith("constraints")
    },
    "kernels": (ROOMS | FORMULAS) - {"kernels"},
    "losses": (ROOMS | FORMULAS) - {"losses", "pair_losses"},
    "pair_losses": (ROOMS | FORMULAS) - {"pair_losses"},
    "token_losses": (ROOMS | FORMULAS) - {"token_losses", "losses"},
}
# Besides the verbs, where a ConfigDict is read: a verb turns it into settings and hands those on.
READS_CONFIGS = {"runtime.config", "runtime.cli"}
# Tables and templates: long because there is much to list, not much to follow.
TABLES = {
    "constraints.families.wordings.formats",
    "constraints.families.wordings.length",
    "constraints.families.wordings.scope",
    "constraints.text.things",
    "models.families",
}

LONGEST_FUNCTION = 80
LONGEST_FILE = 400
LONGEST_TRAIN = 149
MOST_LINES = 21_000
MOST_ANY = 149

# Rule -> what still breaks it; only ever gets shorter.
LEFT: dict[str, set[str]] = {"lines": set()}


@cache
def modules() -> dict[str, Path]:
    """Dotted name inside the package ("" for the package itself) -> file."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def room(module: str) -> str:
    """The folder that a module is in, or the module itself where it is in the root."""
    while module and module not in ROOMS | VERBS | FORMULAS:
        module = module.rpartition(".")[0]
    return module


@cache
def imports(module: str) -> tuple[tuple[str, str | None], ...]:
    """Every import of the package in a module, at the top and in functions: (module, name)."""
    package = module if modules()[module].name == "__init__.py" else module.rpartition(".")[0]
    found: list[tuple[str, str | None]] = []
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == PACKAGE.name:
                    found.append((alias.name.partition(".")[2], None))
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                parts = package.split(".")[: len(package.split(".")) - node.level + 1]
                source = ".".join([PACKAGE.name, *parts, *([source] if source else [])])
            if source.split(".")[0] != PACKAGE.name:
                continue
            inside = source.partition(".")[2]
            for alias in node.names:
                whole = f"{inside}.{alias.name}".lstrip(".")
                found.append((whole, None) if whole in modules() else (inside, alias.name))
    return tuple(found)


def allowed(folder: str) -> set[str]:
    """The rooms that the last line of a folder's docstring names."""
    docstring = ast.get_docstring(tree(folder)) or ""
    line = re.search(r"^May import: (.+)\.$", docstring, re.MULTILINE)
    assert line, f"{folder}/__init__.py does not say `May import: ...`"
    names = set(re.split(r", | and ", line[1])) - {"nothing"}
    if "all" in names:
        return ROOMS | FORMULAS | VERBS
    assert names <= ROOMS | FORMULAS, f"{folder}/__init__.py names {names - ROOMS - FORMULAS}"
    return names


def is_library(module: str) -> bool:
    return room(module) not in VERBS | {""}  # the root and its __main__ stand above all


def imports_of_verbs() -> Iterator[str]:
    """A library never imports a verb, nor the root, which hands on what verbs define."""
    for module in filter(is_library, modules()):
        for target, name in imports(module):
            if room(target) in VERBS or (target == "" and name not in {None, "__version__"}):
                yield f"{module} -> {target or name}"


def forbidden_imports() -> Iterator[str]:
    """What NEVER forbids."""
    for module in modules():
        for target, _ in imports(module):
            if room(target) in NEVER.get(room(module), ()):
                yield f"{module} -> {target}"


def unannounced_imports() -> Iterator[str]:
    """What the folder's `__init__` does not allow."""
    for module in filter(is_library, modules()):
        if room(module) in FORMULAS:
            continue
        for target, _ in imports(module):
            if target and room(target) not in allowed(room(module)) | {room(module)} | VERBS:
                yield f"{module} -> {target}"


def arrows_up() -> Iterator[str]:
    """Folders, formulas and verbs stand on floors: no import leads back to where it came from."""
    below: dict[str, set[str]] = {}
    for module in modules():
        home = room(module).partition(".")[0]
        below.setdefault(home, set()).update(
            room(target).partition(".")[0] for target, _ in imports(module)
        )
    graph = {home: rooms - {home, ""} for home, rooms in below.items() if home}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        yield " -> ".join(error.args[1])


def imported_private_names() -> Iterator[str]:
    """`from module import _name` and `module._name`."""
    for module in modules():
        local = set()
        for target, name in imports(module):
            if name and name.startswith("_") and not name.startswith("__"):
                yield f"{module}: {target}.{name}"
            local.add(target.rpartition(".")[2])
        for node in ast.walk(tree(module)):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in local
                and re.match(r"_[a-z]", node.attr, re.IGNORECASE)
            ):
                yield f"{module}: {node.value.id}.{node.attr}"


def _names(module: str) -> Iterator[str]:
    """Every identifier of a module's code, one a line and name."""
    source = modules()[module].read_text(encoding="utf-8")
    seen = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and (token.start[0], token.string) not in seen:
            seen.add((token.start[0], token.string))
            yield token.string


def configs_below_verbs() -> Iterator[str]:
    """A ConfigDict is read by verbs and by what loads configs."""
    for module in filter(is_library, modules()):
        if module not in READS_CONFIGS and {"ConfigDict", "ml_collections"} & set(_names(module)):
            yield module


def modules_as_objects() -> Iterator[str]:
    """No module is passed as an object, nor asked which one it is."""
    for module, path in modules().items():
        if "ModuleType" in _names(module) or "is likelihood" in path.read_text(encoding="utf-8"):
            yield module


def long_functions() -> Iterator[str]:
    """Functions of more than 80 lines, from `def` to the end."""
    for module in modules():
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION:
                    yield f"{module}.{node.name}"


def _length(module: str) -> int:
    return len(modules()[module].read_text(encoding="utf-8").splitlines())


def long_files() -> Iterator[str]:
    """Files of more than 400 lines that are no tables, and a `train` that is no page."""
    for module in modules():
        most = LONGEST_TRAIN if module == "train" else LONGEST_FILE
        if module not in TABLES and _length(module) > most:
            yield module


def strangers_in_the_root() -> Iterator[str]:
    """The root holds verbs, formulas, and folders."""
    files = {f"{name}.py" for name in (VERBS - {"study"}) | FORMULAS}
    known = files | {"__init__.py", "__main__.py", "py.typed", "__pycache__"}
    for path in PACKAGE.iterdir():
        if path.name not in known | {name for name in ROOMS if "." not in name}:
            yield path.name


def folders_without_a_docstring() -> Iterator[str]:
    """A folder's `__init__` says in a line what lives there, and then what it may import."""
    folders = {name for name, path in modules().items() if path.name == "__init__.py"} - {""}
    yield from folders ^ ROOMS
    for folder in folders:
        first = (ast.get_docstring(tree(folder)) or "").partition("\n")[0]
        if len(first) < 20 or not first.endswith("."):
            yield folder
        else:
            allowed(folder)


def lists_of_public_names() -> Iterator[str]:
    """Public names stand in the `__init__` of the package and of constraints, and there once."""
    for module in modules():
        targets = [
            target.id
            for node in tree(module).body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        ]
        if "__all__" in targets and module not in {"", "constraints"}:
            yield module
    # What type checkers read and what is loaded at the first use say the same.
    typed = {name: source for source, name in imports("") if name}
    (homes,) = [
        ast.literal_eval(node.value)
        for node in tree("").body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PUBLIC"
    ]
    for name, source in sorted(typed.items() ^ homes.items()):
        yield f"{source}.{name}"


def lines() -> int:
    return sum(map(_length, modules()))


def any_lines() -> int:
    return sum(list(_names(module)).count("Any") for module in modules())


def _tests_files() -> list[Path]:
    return sorted((ROOT / "tests").rglob("*.py"))


def private_names_in_tests() -> Iterator[str]:
    """Tests go through what is public, so that the rest may change its name."""
    for path in _tests_files():
        source = path.read_text(encoding="utf-8")
        parsed = ast.parse(source)
        local = set()
        where = path.relative_to(ROOT).as_posix()
        for node in ast.walk(parsed):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE.name):
                local |= {alias.asname or alias.name for alias in node.names}
                yield from (f"{where}: {a.name}" for a in node.names if _is_private(a.name))
        for node in ast.walk(parsed):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id in local and _is_private(node.attr):
                    yield f"{where}: {node.value.id}.{node.attr}"
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("setattr"):
                for text in node.args[:2]:
                    if isinstance(text, ast.Constant) and _is_private(
                        str(text.value).rpartition(".")[2]
                    ):
                        yield f"{where}: {text.value}"


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


RULES = (
    imports_of_verbs,
    forbidden_imports,
    unannounced_imports,
    arrows_up,
    imported_private_names,
    configs_below_verbs,
    modules_as_objects,
    long_functions,
    long_files,
    strangers_in_the_root,
    folders_without_a_docstring,
    lists_of_public_names,
    private_names_in_tests,
)
COUNTS = ((lines, MOST_LINES), (any_lines, MOST_ANY))


def test_the_tree_of_the_readme_names_every_folder_and_verb():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = text.partition("## Where things are")[2].split("```")[1]
    folders = {name for name in ROOMS if "." not in name} | {"configs", "launch", "notebooks"}
    assert folders | {"tests", "docs"} == set(re.findall(r"(\w+)/", tree)) - {PACKAGE.name}
    assert set(re.findall(r"\w+", tree)) >= VERBS | FORMULAS


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rules(rule):
    broken = set(rule()) - LEFT.get(rule.__name__, set())
    assert not broken, f"{rule.__doc__}\n" + "\n".join(sorted(broken))


@pytest.mark.parametrize("count, most", COUNTS, ids=lambda value: getattr(value, "__name__", ""))
def test_the_house_stays_small(count, most):
    if count.__name__ in LEFT:
        pytest.skip("not yet")
    assert count() <= most


def main() -> None:
    for rule in RULES:
        broken = sorted(set(rule()))
        print(f"{len(broken):5}  {rule.__name__.replace('_', ' ')}")
        for line in broken:
            print(f"           {line}")
    for count, most in COUNTS:
        print(f"{count():5}  {count.__name__.replace('_', ' ')}, at most {most}")


if __name__ == "__main__":
    sys.exit(main())

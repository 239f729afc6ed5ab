"""Settings classes check their fields, alone and as sections of a config."""

import dataclasses
import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest

import mapl_jax
from mapl_jax.data.settings import DataSettings, TokenizerSettings
from mapl_jax.models.config import ModelSettings
from mapl_jax.models.lora import Lora
from mapl_jax.runtime import settings
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.settings import setting
from mapl_jax.synthesis.settings import Settings
from mapl_jax.training.objective import LossSettings
from mapl_jax.training.settings import EvalSettings, TrainSettings
from mapl_jax.training.sharding import MeshSettings

PACKAGE = Path(mapl_jax.__file__).parent
SECTIONS = {
    "data": DataSettings,
    "synthesis": Settings,
    "tokenizer": TokenizerSettings,
    "model": ModelSettings,
    "lora": Lora,
    "loss": LossSettings,
    "train": TrainSettings,
    "eval": EvalSettings,
    "mesh": MeshSettings,
}


@dataclasses.dataclass(frozen=True)
class Part:
    size: int = setting(8, "size", least=1, most=9, besides=-1)
    share: float = setting(0.5, "share", above=0, below=1)
    kind: str = setting("a", "kind", choices=("a", "b"))
    on: bool = setting(True, "on")

    def __post_init__(self):
        settings.check(self, "part")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Whole:
    part: Part
    other: "Whole | None" = None
    own: dict = dataclasses.field(default_factory=dict, metadata=settings.OVERRIDES)
    seed: int = setting(0, "seed", least=0, most=2**32 - 1)


WRONG = {
    "size": {
        0: "a whole number, at least 1 and at most 9, or -1",
        2.0: "a whole number",
        True: "a whole",
    },
    "share": {0: "a finite number, above 0 and below 1", float("nan"): "a finite", "x": "a finite"},
    "kind": {"c": "choose one of a, b", None: "choose one of a, b"},
    "on": {1: "it must be True or False"},
}


@pytest.mark.parametrize("field", WRONG)
def test_a_value_out_of_bounds_is_refused(field):
    for value, said in WRONG[field].items():
        with pytest.raises(UserError, match=rf"^part\.{field} is {value!r}; .*{said}"):
            Part(**{field: value})
        with pytest.raises(UserError, match=rf"^x\.part\.{field} is {value!r}; .*{said}"):
            settings.from_section(Whole, {"part": {field: value}}, "x")


def test_values_at_the_bounds_are_accepted():
    for size in (1, 9, -1):
        assert Part(size=size).size == size
    assert Part(share=0.999).share == 0.999


def test_a_config_becomes_settings():
    made = settings.from_section(Whole, {"part": {"size": 3}, "other": {"part": {}}, "seed": 2})
    assert made == Whole(part=Part(size=3), other=Whole(part=Part()), seed=2)


def test_settings_with_other_values():
    made = Whole(part=Part(size=3), seed=1)
    assert settings.replace(made, {"part": {"share": 0.25}}) == Whole(part=Part(3, 0.25), seed=1)
    with pytest.raises(UserError, match=r"^part\.share is 2; "):
        settings.replace(made, {"part": {"share": 2}})


PROBLEMS = {
    "no section": ({}, "the config has no field part; add it"),
    "a field nobody knows": (
        {"part": {"sise": 1}},
        "unknown field part.sise; did you mean part.size",
    ),
    "a number for a section": ({"part": 5}, "part is 5; it has fields of its own, part.NAME"),
    "a section for a number": (
        {"part": {}, "seed": {}},
        "seed has fields of its own; it must be a",
    ),
    "a bad override": ({"part": {}, "own": {"part": {"size": 0}}}, "own.part.size is 0; it must"),
    "an unknown override": ({"part": {}, "own": {"x": 1}}, "unknown field own.x"),
    "a seed beyond 32 bits": ({"part": {}, "seed": 2**32}, "at least 0 and at most 4294967295"),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_bad_config_names_its_field(case):
    values, said = PROBLEMS[case]
    with pytest.raises(UserError, match=said):
        settings.from_section(Whole, values)


def test_values_of_a_command_line():
    for name, text, said in (
        ("part.size", "many", "part.size is 'many'; it must be a whole number"),
        ("part.share", "nan", "part.share is 'nan'; it must be a finite number"),
        ("part.kind", "c", "part.kind is 'c'; choose one of a, b"),
        ("part", "5", "part is '5'; it has fields of its own"),
        ("own.part.size", "0", "own.part.size is '0'"),
        ("speed", "1", "unknown field speed; did you mean seed?"),
    ):
        assert said in settings.flag_problem(Whole, name, text)
    for name, text in (("part.size", "-1"), ("part.on", "true"), ("part.share", "0.25")):
        assert settings.flag_problem(Whole, name, text) is None


def settings_classes():
    """Every class of the package whose fields are declared with `setting`."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if "setting(" in path.read_text():
            name = ".".join(("mapl_jax", *path.relative_to(PACKAGE).with_suffix("").parts))
            for cls in vars(importlib.import_module(name)).values():
                if dataclasses.is_dataclass(cls) and cls.__module__ == name:
                    yield from [cls] if inspect.isclass(cls) else []


def test_every_number_has_a_smallest_and_a_largest_value():
    seen = 0
    for cls in settings_classes():
        for name, field in settings.fields_of(cls).items():
            about = field.about
            if field.kind not in (int, float) or not about.help:
                continue
            seen += 1
            low = about.least if about.above is None else about.above
            high = about.most if about.below is None else about.below
            assert low is not None and high is not None, f"{cls.__module__}.{cls.__name__}.{name}"
            assert about.problem(field.kind, field.default) is None, name
            for value in (float("nan"), float("inf"), -float("inf"), 10**400, -(10**400), 1e39):
                assert about.problem(field.kind, value), (name, value)
            if field.kind is float and low not in (0, None):
                # What a setting lets through is a number of fp32 as well, and not 0.
                assert np.float32(low) and np.isfinite(np.float32(high)), name
    assert seen > 80


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_has_defaults_and_a_help_text_for_each_field(section):
    SECTIONS[section]()
    for name, field in settings.fields_of(SECTIONS[section]).items():
        assert len(field.about.help) > 5, name

"""Callbacks: code of one's own that sees how a run goes, and may stop it.

A callback is an object with some of the four methods

    on_step(step, metrics)       a step is done; its loss, gradient norm, accuracies, ...
    on_evaluate(step, metrics)   an evaluation during training is done
    on_save(step, folder)        the checkpoint of a step is complete, in this folder
    on_end(step, metrics)        the run is over: its model, and its last evaluation

`metrics` maps the names in metrics.jsonl to floats, without times. A method that gives back a text
stops the training, and the text says why; None lets it go on.
"""

import contextlib
import difflib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

from mapl_jax.runtime import distributed
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.run_folder import RunFolder
from mapl_jax.runtime.settings import comma_separated

HOOKS = ("on_step", "on_evaluate", "on_save", "on_end")
CALLBACKS: dict[str, Callable[[], object]] = {}


def register(name: str, make: Callable[[], object]) -> None:
    """Adds a callback under a name, for `train.callbacks`, or replaces one that was added.

    Args:
        name: without a comma.
        make: a class, or another function that makes the callback of a run.

    Raises:
        ValueError: the name cannot stand in a list of names, or it makes nothing.

    Example:
        >>> from mapl_jax.training import callbacks
        >>> class Short:
        ...     def on_step(self, step, metrics):
        ...         return "that is enough" if metrics["loss"] < 0.6 else None
        >>> callbacks.register("short", Short)
        >>> callbacks.made("short").on_step(100, {"loss": 0.5})
        'that is enough'
        >>> callbacks.unregister("short")
    """
    if not isinstance(name, str) or not name.strip() or "," in name:
        raise ValueError(f"{name!r} is no name of a callback: it needs text without a comma")
    if not callable(make):
        raise ValueError(f"callback {name}: {make!r} is no class and no function that makes one")
    CALLBACKS[name] = make


def unregister(name: str) -> None:
    """Takes a callback away that was added."""
    CALLBACKS.pop(name, None)


def names_in(text: str) -> list[str]:
    """Names of callbacks in a text with commas between, checked."""
    names = comma_separated(text)
    for name in names:
        if name not in CALLBACKS:
            raise UserError(
                f"train.callbacks: no callback {name!r}; there are: "
                f"{', '.join(CALLBACKS) or 'none'} (a module of --plugins registers them)"
            )
    return names


@contextlib.contextmanager
def named(given: Sequence[object]) -> Iterator[str]:
    """Registers callbacks under the names of their classes, within; gives `,NAME` for each."""
    names: list[str] = []
    for callback in given:
        kind = type(callback).__name__
        check(kind, callback)
        numbered = itertools.chain([kind], (f"{kind}-{i}" for i in itertools.count(2)))
        names.append(next(name for name in numbered if name not in CALLBACKS))
        register(names[-1], functools.partial(lambda made: made, callback))
    try:
        yield "".join(f",{name}" for name in names)
    finally:
        for name in names:
            unregister(name)


def made(name: str) -> object:
    """A new callback by its name."""
    try:
        callback = CALLBACKS[name]()
    except Exception as error:
        raise UserError(f"callback {name}: {type(error).__name__}: {error}") from error
    check(name, callback)
    return callback


class Callbacks:
    """The callbacks of a run. Process 0 calls them, the others only stop with it."""

    def __init__(self, text: str = ""):
        """Makes and checks those of the registered names in a text, with commas between."""
        self.names = names_in(text)
        # Whatever they do when they are made, write a file for example, is done once.
        self._made = list(map(made, self.names)) if distributed.is_main_process() else []

    def call(self, hook: str, step: int, about: object) -> Iterator[tuple[str, str]]:
        """Calls a method of all callbacks that have it; gives name and reason of each that stops.

        Args:
            about: its second argument; of metrics each gets a copy.
        """
        if not distributed.is_main_process():
            return
        for name, callback in zip(self.names, self._made, strict=True):
            function = getattr(callback, hook, None)
            if function is None:
                continue
            try:
                says = function(step, dict(about) if isinstance(about, dict) else about)
            except Exception as error:
                raise UserError(
                    f"callback {name}.{hook} failed at step {step} with {type(error).__name__}: "
                    f"{error} (--debug shows the traceback). Once that is fixed, the same command "
                    "resumes from the last checkpoint"
                ) from error
            if says:
                yield name, says if isinstance(says, str) else "it asked for that"

    def end(self, folder: RunFolder, step: int | None) -> None:
        """Tells them that a run is over, once everything is written."""
        if self._made:
            about = floats(folder.read_summary()["eval"]["after"])
            list(self.call("on_end", step or 0, about))


def check(name: str, callback: object) -> None:
    """Makes sure that an object is a callback, and that no method is misspelled."""
    own = [method for method in dir(callback) if method.startswith("on_")]
    if isinstance(callback, type) or not callable(getattr(callback, own[0], None) if own else None):
        what = "a class; give an object of it" if isinstance(callback, type) else "no callback"
        raise UserError(f"{name} is {what}: it needs some of the methods {', '.join(HOOKS)}")
    for method in own:
        if method not in HOOKS:
            (close,) = difflib.get_close_matches(method, HOOKS, 1, 0) or HOOKS[:1]
            raise UserError(f"callback {name}: nothing calls {method}; did you mean {close}?")


def floats(values: object) -> dict[str, float]:
    """The numbers among the values of an evaluation."""
    assert isinstance(values, dict)
    return {key: float(x) for key, x in values.items() if isinstance(x, int | float)}

"""Cores, and variables that JAX and XLA read: what they do not take is told in one line.

JAX reads its own when it is imported, and raises; XLA reads XLA_FLAGS when the first device is
looked for, and ends the process. Imports nothing slow.
"""

import contextlib
import functools
import os
import re
import subprocess
import sys
import traceback
from types import TracebackType

from mapl_jax.runtime import signals
from mapl_jax.runtime.errors import EXIT_USER_ERROR, UserError

# Reads the flags as the first use of a device does, and nothing more: a tenth of a second.
_PARSE = "from jaxlib import _jax; _jax.CompileOptions()"
_LOGGED = re.compile(r"^[EF]\d{4} .*?\] (.+?)(?:\.? *$|\. \()", re.MULTILINE)


def cores() -> int:
    """Cores of the CPU that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def listen() -> None:
    """Lets a command of this package end in one line over a variable that JAX does not take."""
    if signals.of_command():
        sys.excepthook = _say


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    variable = None if "--debug" in sys.argv else _variable_of(trace)
    if variable is None:
        sys.__excepthook__(kind, error, trace)
        return
    value = os.environ[variable]
    line = f"the variable {variable} is {value!r}, which JAX does not take; change it, or unset it"
    with contextlib.suppress(OSError):
        os.write(2, f"error: {line}\n".encode())
    os._exit(EXIT_USER_ERROR)


def _variable_of(trace: TracebackType | None) -> str | None:
    """The variable that JAX was reading where an error comes from; None if it was not."""
    for frame, _ in reversed([*traceback.walk_tb(trace)]):
        if frame.f_code.co_filename.endswith(os.path.join("jax", "_src", "config.py")):
            for name in ("varname", "name"):
                variable = str(frame.f_locals.get(name, "")).upper()
                if variable in os.environ:
                    return variable
    return None


def check_flags() -> None:
    """Refuses flags in XLA_FLAGS that XLA does not take, over which it would end the process."""
    if said := _refused(os.environ.get("XLA_FLAGS", "")):
        raise UserError(f"XLA does not take XLA_FLAGS: {said}; change the variable, or unset it")


@functools.cache
def _refused(flags: str) -> str:
    """What XLA says of flags that it does not take; empty if it takes them."""
    if not flags.strip():
        return ""
    command = [sys.executable, "-c", _PARSE]
    tried = subprocess.run(command, env={**os.environ, "XLA_FLAGS": flags}, capture_output=True)
    said = _LOGGED.search(tried.stderr.decode(errors="replace"))
    return said[1] if said and tried.returncode else ""

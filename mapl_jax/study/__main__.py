"""`python -m mapl_jax.study`."""

from mapl_jax.runtime import cli
from mapl_jax.study.command import Flags, main
from mapl_jax.study.settings import Settings

cli.launch(main, name="study", config="configs/study.py", settings=[Settings], flags=Flags)

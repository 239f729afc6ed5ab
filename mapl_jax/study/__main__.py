"""`python -m mapl_jax.study`."""

from mapl_jax.runtime import cli
from mapl_jax.study.command import FLAGS, main

cli.launch(main, name="study", config="configs/study.py", flags=FLAGS)

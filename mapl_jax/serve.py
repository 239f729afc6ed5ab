"""Serves a reward model over HTTP: python -m mapl_jax.serve --model=DIR

POST /score takes a prompt (or messages) and responses, /v1/rerank a query and documents, /classify
whole conversations (docs/serving.md). The server compiles the model, then prints its address;
nothing is compiled afterwards.
"""

import signal
import socket

from mapl_jax.evaluation import rewards
from mapl_jax.runtime import cli, console
from mapl_jax.runtime.errors import UserError
from mapl_jax.runtime.paths import local
from mapl_jax.serving.settings import ServeSettings
from mapl_jax.training import restore, sharding


def main(arguments: cli.Arguments[ServeSettings]) -> None:
    """Loads, compiles, serves until a signal ends it."""
    options = arguments.flags
    try:
        from mapl_jax.serving import app
    except ImportError as error:
        raise UserError(
            f"serving needs starlette and uvicorn ({error}); pip install 'mapl_jax[serve]'"
        ) from None
    if not options.model:
        raise UserError("no model given; set --model=DIR")
    with bound(options.host, options.port) as listener:
        mesh = sharding.make_mesh(restore.SPREAD)
        trained = rewards.load(options.model, mesh, options.template_args)
        longest = rewards.encoding(trained, options.max_length).max_length
        scorer = rewards.Scorer(
            trained,
            max_length=longest,
            rows_per_batch=options.rows_per_batch,
            compute=options.compute,
        )
        with console.waiting("compiling", "compiled"):
            scorer.warm_up()
        name = options.name or called(options.model)
        server = app.server(app.create(scorer, trained.tokenizer, options, name, longest))
        # uvicorn ends well and then raises the signal again, which has done its work.
        signal.signal(signal.SIGTERM, lambda *_: None)
        listener.listen(app.CONNECTIONS)
        host, port = listener.getsockname()[:2]
        console.result(f"{name}: http://{f'[{host}]' if ':' in host else host}:{port}")
        server.run(sockets=[listener])
        console.say("stopped; every request was answered")


def called(model: str) -> str:
    """What clients call a model: its name on the hub, or that of its folder."""
    path = local(model)
    return path.resolve().name if path.exists() else model.rstrip("/")


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address, before anything is loaded; it does not listen yet."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, TypeError, UnicodeError) as error:
        listener.close()
        why = getattr(error, "strerror", None) or error
        raise UserError(
            f"cannot listen at {host}, port {port}: {why}; choose others with "
            "--host and --port (0: any free port)"
        ) from None
    return listener


if __name__ == "__main__":
    cli.launch(main, name="serve", flags=ServeSettings)

"""The application: addresses, limits, and whatever goes wrong as one line of JSON."""

import asyncio
import contextlib
import functools
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from mapl_jax.data import tokenization
from mapl_jax.data.tokenization import Tokenizer
from mapl_jax.data.tries import TokenPath
from mapl_jax.evaluation.rewards import Scorer
from mapl_jax.runtime import console, files
from mapl_jax.runtime.errors import UserError
from mapl_jax.serving import forms
from mapl_jax.serving.forms import Refused
from mapl_jax.serving.queue import Full, Queue
from mapl_jax.serving.settings import ServeSettings

# Seconds that a request has to send its body, and that open ones have to end at the end.
BODY_SECONDS, LAST_SECONDS = 30, 60
# A text with more characters than this for each token that is read is refused unread: tokenizing
# megabytes would keep others waiting.
MOST_CHARACTERS = 100
# Connections at once; uvicorn answers others with a 503.
CONNECTIONS = 1024


def create(
    scorer: Scorer, tokenizer: Tokenizer, settings: ServeSettings, name: str, max_length: int
) -> Starlette:
    """The application: serves a warmed-up model under a name, within the limits of settings."""
    queue = Queue(scorer, settings.max_waiting)
    encoding = ThreadPoolExecutor(1, "encoding")
    began, most = int(time.time()), settings.max_megabytes << 20
    running: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running.append(asyncio.create_task(queue.run()))
        yield
        running[0].cancel()

    async def rewards(form: forms.Form, request: Request) -> object:
        body = await _body(request, most)
        asked = forms.request_of(form, body, name, settings.max_texts)
        loop = asyncio.get_running_loop()
        paths = await loop.run_in_executor(encoding, encoded, asked, tokenizer, max_length)
        try:
            values = await queue.rewards(paths)
        except Full:
            raise Refused("too many texts wait; send it again in a second", status=503) from None
        for value, field in zip(values, asked.fields, strict=True):
            if not math.isfinite(value):
                raise Refused(f"the model gives {value}, and no finite number", field, 500)
        return asked.answer(values, [len(path) for path in paths])

    async def health(_: Request) -> object:
        if not running or running[0].done():
            raise Refused("nothing is scored any more; start the server again", status=500)
        return {"status": "ok"}

    async def models(_: Request) -> object:
        about = {"id": name, "object": "model", "created": began, "owned_by": "mapl_jax"}
        return {"object": "list", "data": [{**about, "max_model_len": max_length}]}

    routes = [
        Route(path, _answering(functools.partial(rewards, form)), methods=["POST"])
        for path, form in forms.FORMS.items()
    ]
    routes += [Route("/health", _answering(health)), Route("/v1/models", _answering(models))]
    application = Starlette(
        routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _no_address}
    )
    # Otherwise /score/ is sent on to /score of whatever host a client names.
    application.router.redirect_slashes = False
    return application


def server(application: Starlette) -> uvicorn.Server:
    """What runs the application until SIGTERM or SIGINT, and then until all is answered."""
    return uvicorn.Server(
        uvicorn.Config(
            application,
            access_log=False,
            limit_concurrency=CONNECTIONS,
            log_config=None,
            log_level="error",  # what clients send that is no HTTP they are told, and nobody else
            server_header=False,
            timeout_graceful_shutdown=LAST_SECONDS,
            ws="none",
        )
    )


def encoded(asked: forms.Request, tokenizer: Tokenizer, max_length: int) -> list[TokenPath]:
    """The texts of a request as tokens.

    Raises:
        Refused: one is too long, or no text as the chat template writes it.
    """
    for text, field in zip(asked.texts, asked.fields, strict=True):
        size = characters(text)
        if size > MOST_CHARACTERS * max_length:
            raise Refused(
                f"{_called(asked, field)} has {size} characters, too many for the {max_length} "
                "tokens that are read here (--max_length)",
                field,
            )
    try:
        if isinstance(asked.texts[0], str):
            texts = cast(Sequence[str], asked.texts)
            paths = tokenization.encode_rendered(tokenizer, texts, lambda i: asked.fields[i])
        else:
            leaves = cast(Sequence[forms.Conversation], asked.texts)
            paths = tokenization.encode_leaves(tokenizer, leaves)
    except UserError as error:
        raise Refused(str(error), asked.asked) from None
    for path, field in zip(paths, asked.fields, strict=True):
        if len(path) > max_length:
            raise Refused(
                f"{_called(asked, field)} has {len(path)} tokens; {max_length} are read here "
                "(--max_length)",
                field,
            )
    return paths


def characters(text: forms.Conversation | str) -> int:
    """How long a text of a request is, with what it answers."""
    if isinstance(text, str):
        return len(text)
    messages, response = text
    return len(response) + sum(len(message["content"]) for message in messages)


def _called(asked: forms.Request, field: str) -> str:
    """What a text is called, with what it answers."""
    return field if isinstance(asked.texts[0], str) else f"{asked.asked} with {field}"


async def _body(request: Request, most: int) -> object:
    """The value that a request brings; `Refused` if it brings none, or too much."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused("send JSON, with the header Content-Type: application/json", status=415)
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise Refused("send the body as it is, without a Content-Encoding", status=415)
    data, size = bytearray(), 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size <= most:
                    data += part
                elif size > 4 * most:
                    break  # a little more is read, so that the client comes to read the answer
    except TimeoutError:
        raise Refused(f"the body did not come in {BODY_SECONDS} seconds", status=408) from None
    if size > most:
        raise Refused(
            f"the body is larger than {most >> 20} MB (--max_megabytes); send less at once",
            status=413,
        )
    try:
        return files.parse_json(bytes(data), _named_once)
    except ValueError as error:
        raise Refused(f"the body is no JSON: {error}") from None


def _named_once(fields: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(fields)
    if len(found) < len(fields):
        raise ValueError("it names a field twice, and either may be meant")
    return found


def _answering(
    answer: Callable[[Request], Awaitable[object]],
) -> Callable[[Request], Awaitable[JSONResponse]]:
    """An endpoint of what gives the body of an answer, or refuses."""

    async def endpoint(request: Request) -> JSONResponse:
        began = time.perf_counter()
        try:
            response = JSONResponse(await answer(request))
        except Refused as refused:
            response = _refusal(str(refused), refused.field, refused.status)
        except ClientDisconnect:
            response = _refusal("the request broke off", "", 400)
        except Exception as error:
            console.warn(f"{request.url.path}: {files.reason(error)}")
            response = _refusal("it could not be scored; the server's output says why", "", 500)
        seconds = time.perf_counter() - began
        # Only addresses that there are come here, so nothing of the client's is printed.
        console.detail(f"{request.url.path} {response.status_code} {1000 * seconds:.0f} ms")
        return response

    return endpoint


async def _no_address(request: Request, error: Exception) -> JSONResponse:
    """What is said where there is nothing, or where another method is needed."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        needed = "POST" if request.url.path in forms.FORMS else "GET"
        response = _refusal(f"{request.url.path} takes {needed}", "", status)
        response.headers["Allow"] = needed
        return response
    known = ", ".join([*forms.FORMS, "/health", "/v1/models"])
    return _refusal(f"there is nothing here; known are {known}", "", status)


def _refusal(message: str, field: str, status: int) -> JSONResponse:
    """What went wrong, as clients of OpenAI's interface read it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": field or None, "code": status}
    return JSONResponse(
        {"error": error}, status, headers={"Retry-After": "1"} if status == 503 else None
    )

"""The reasoning that some models write before their answer, which is not judged."""

import re

_NAMES = r"(?:seed:)?(?:think(?:ing)?|thoughts?|reasoning)"
_OPEN = re.compile(rf"<{_NAMES}>|\[THINK\]|◁think▷")
_CLOSE = re.compile(rf"</{_NAMES}>|\[/THINK\]|◁/think▷")


def without_thinking(text: str) -> tuple[str, bool]:
    """A response without the reasoning that it begins with, and whether there was any.

    The opening tag may be missing, where a chat template wrote it behind the prompt. Reasoning
    that never ends leaves nothing.
    """
    answer, closed = text, _CLOSE.search(text)
    if closed and not _OPEN.search(text, 0, closed.start()):
        answer = text[closed.end() :]
    while _OPEN.match(answer.lstrip()):
        closed = _CLOSE.search(answer)
        answer = answer[closed.end() :] if closed else ""
    return (text, False) if answer == text else (answer.lstrip("\r\n"), True)

"""The reasoning that some models write before their answer, which is not judged."""

import re

_NAMES = r"(?:seed:)?(?:think(?:ing)?|thoughts?|reasoning)"
_OPEN = re.compile(
    rf"<{_NAMES}>|\[THINK\]|◁think▷|<\|START_THINKING\|>|<\|inner_prefix\|>|<\|channel>thought\b"
)
_CLOSE = re.compile(
    rf"</{_NAMES}>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>(?:\s*<\|START_RESPONSE\|>)?"
    r"|<\|inner_suffix\|>|<channel\|>"
)
# Harmony's channels (gpt-oss), of which the last is the answer; with its marks and without.
_CHANNELS = re.compile(r"\s*(?:<\|start\|>assistant)?<\|channel\|>")
_FINAL = re.compile(r"<\|channel\|>final[^<]*(?:<\|constrain\|>\w+)?<\|message\|>")
_BARE = re.compile(r"analysis(?=\S).*?assistantfinal", re.DOTALL)
_END = re.compile(r"<\|(?:return|end|END_RESPONSE)\|>\s*\Z")


def without_thinking(text: str) -> tuple[str, bool]:
    """A response without the reasoning that it begins with, and whether there was any.

    The opening tag may be missing, where a chat template wrote it behind the prompt. Reasoning
    that never ends leaves nothing.
    """
    if _CHANNELS.match(text):
        final = _FINAL.search(text)
        return (_END.sub("", text[final.end() :]) if final else "").lstrip("\r\n"), True
    if bare := _BARE.match(text):
        return text[bare.end() :], True
    answer, closed = text, _CLOSE.search(text)
    if closed and not _OPEN.search(text, 0, closed.start()):
        answer = text[closed.end() :]
    while _OPEN.match(answer.lstrip()):
        closed = _CLOSE.search(answer)
        answer = answer[closed.end() :] if closed else ""
    return (text, False) if answer == text else (_END.sub("", answer).lstrip("\r\n"), True)

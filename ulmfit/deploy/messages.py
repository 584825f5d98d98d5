"""Requests: JSON bodies → texts, or a refusal. Nothing is truncated, guessed or ignored."""

import json
from dataclasses import dataclass
from typing import Any, get_args

from ulmfit.config import ServeConfig
from ulmfit.insight.explain import Method

CHARACTERS = 20  # allowed for each of `max_words`, which bounds text without spaces too
OCCLUDED = 100  # most words for occlusion, which reads a text once per word; longer texts: gradient


class Refused(Exception):
    """A refused request: HTTP status, and one sentence for people."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True)
class Question:
    """A request for an explanation, with the arguments of `insight.explain`."""

    text: str
    label: str | None
    method: Method


def problem(status: int, message: str) -> dict[str, Any]:
    """The JSON body of an error."""
    return {"error": {"status": status, "message": message}}


def texts_of(body: bytes, limits: ServeConfig) -> tuple[list[str], bool]:
    """The texts of a request for predictions, and whether it was a single text. `Refused`: 400, 422."""
    asked = _object(body, {"text", "texts"})
    if len(asked) != 1:
        raise Refused(422, 'expected either "text", a string, or "texts", a list of strings')
    if "text" in asked:
        return [_text(asked["text"], '"text"', limits)], True
    texts = asked["texts"]
    if not isinstance(texts, list) or not 0 < len(texts) <= limits.max_queue:
        raise Refused(422, f'"texts" must be a list of 1 to {limits.max_queue} strings')
    return [_text(text, f"texts[{i}]", limits) for i, text in enumerate(texts)], False


def question_of(body: bytes, limits: ServeConfig, labels: tuple[str, ...]) -> Question:
    """A request for an explanation. Without `method`: occlusion for short texts, gradient for longer ones. `Refused`: 400, 422."""
    asked = _object(body, {"text", "label", "method"})
    text = _text(asked.get("text"), '"text"', limits)
    label, method = asked.get("label"), asked.get("method")
    if label is not None and label not in labels:
        raise Refused(422, f'"label" must be one that the classifier knows: {", ".join(labels)}')
    if method is not None and method not in get_args(Method):
        raise Refused(422, f'"method" must be {" or ".join(get_args(Method))}')
    short = len(text.split()) <= OCCLUDED
    if method == "occlusion" and not short:
        raise Refused(
            422,
            f'occlusion is for texts of up to {OCCLUDED} words; give "gradient", or leave out "method"',
        )
    return Question(text, label, method or ("occlusion" if short else "gradient"))


def _object(body: bytes, known: set[str]) -> dict[str, Any]:
    try:
        asked = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise Refused(400, "the body is not UTF-8") from None
    except (ValueError, RecursionError):  # without the parser's message, which may quote the body
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(asked, dict) or not asked.keys() <= known:
        names = " and ".join(f'"{name}"' for name in sorted(known))
        raise Refused(422, f"expected a JSON object with no keys but {names}")
    return asked


def _text(text: object, name: str, limits: ServeConfig) -> str:
    if not isinstance(text, str):
        raise Refused(422, f"{name} must be a string")
    if not text.strip():
        raise Refused(422, f"{name} is blank")
    words, characters = len(text.split()), limits.max_words * CHARACTERS
    if words > limits.max_words:
        raise Refused(422, f"{name} has {words} words; {limits.max_words} are allowed")
    if len(text) > characters:
        raise Refused(422, f"{name} has {len(text)} characters; {characters} are allowed")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refused(422, f"{name} holds half a character (a lone surrogate)") from None
    return text

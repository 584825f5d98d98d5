"""JSON objects from files that strangers may have written: read within bounds, or refused with a reason."""

import json
from pathlib import Path
from typing import Any

MOST_BYTES = 16_000_000  # a million words fit; parsing takes up to 30 times that, and two may be parsed at once


class JsonError(ValueError):
    """A file holds no usable JSON object; the message names it and says why."""


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. FileNotFoundError: there is no file. JsonError: more than `MOST_BYTES`, invalid, nested
    beyond Python's recursion limit, or not an object."""
    with open(path, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise JsonError(f"{path} has more than {MOST_BYTES:,} bytes, which no saved record has")
    try:
        parsed = json.loads(content.decode("utf-8"))
    except RecursionError:
        raise JsonError(f"{path} is damaged (nested too deeply); save or copy it again") from None
    except ValueError as error:
        raise JsonError(f"{path} is damaged ({error}); save or copy it again") from None
    if not isinstance(parsed, dict):
        raise JsonError(f"{path} holds no JSON object: it was not written by ulmfit")
    return parsed

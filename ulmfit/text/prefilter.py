"""What a regular expression can't match, read off its parse tree: a quick no before a slow search.

Conservative: whatever is not understood here may match. So it affects speed only, and where Python
does not offer the parse tree, nothing is ruled out.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

Ranges = tuple[tuple[int, int], ...]  # code points, both ends included
Items = Sequence[tuple[Any, Any]]  # (operation, its value) in the order they are matched

try:
    _parse = import_module("re._parser").parse
except (ImportError, AttributeError):  # private to Python: it may move
    _parse = None


def may_begin(pattern: str, char: str) -> bool:
    """Whether a match of `^…` can begin with `char`."""
    items = _tree(pattern)
    if not items or str(items[0][0]) != "AT" or str(items[0][1]) != "AT_BEGINNING":
        return True
    return _at_edge(items, ord(char), backwards=False)


def may_end(pattern: str, char: str) -> bool:
    """Whether a match of `…$` can end with `char`, which is no line break."""
    items = _tree(pattern)
    if not items or str(items[-1][0]) != "AT" or str(items[-1][1]) != "AT_END":
        return True
    return _at_edge(items, ord(char), backwards=True)


def may_match_within(pattern: str, ranges: Ranges) -> bool:
    """Whether a string of nothing but characters in `ranges` can hold a match."""
    items = _tree(pattern)
    return items is None or _within(items, ranges)


@cache
def _tree(pattern: str) -> Items | None:
    if _parse is None:
        return None
    tree = _parse(pattern)
    return None if tree.state.flags & (re.IGNORECASE | re.MULTILINE) else list(tree)


def _at_edge(items: Items, code: int, *, backwards: bool) -> bool:
    for operation, value in reversed(items) if backwards else items:
        match str(operation):
            case "AT" | "ASSERT" | "ASSERT_NOT":
                continue  # they consume no character
            case "LITERAL":
                return value == code
            case "IN":
                return _accepts(value, ((code, code),))
            case "BRANCH":
                return any(_at_edge(list(b), code, backwards=backwards) for b in value[1])
            case "SUBPATTERN":
                changes_flags = value[1] or value[2]
                return bool(changes_flags) or _at_edge(list(value[3]), code, backwards=backwards)
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, _, repeated = value
                if _at_edge(list(repeated), code, backwards=backwards):
                    return True
                if least:
                    return False
            case _:
                return True
    return True  # it may be empty


def _within(items: Items, ranges: Ranges) -> bool:
    return all(_possible(str(operation), value, ranges) for operation, value in items)


def _possible(operation: str, value: Any, ranges: Ranges) -> bool:
    match operation:
        case "LITERAL":
            return any(low <= value <= high for low, high in ranges)
        case "IN":
            return _accepts(value, ranges)
        case "BRANCH":
            return any(_within(list(branch), ranges) for branch in value[1])
        case "SUBPATTERN":
            changes_flags = value[1] or value[2]
            return bool(changes_flags) or _within(list(value[3]), ranges)
        case "MAX_REPEAT" | "MIN_REPEAT":
            return value[0] == 0 or _within(list(value[2]), ranges)
        case "ASSERT":  # what it looks at, before or behind, must be of these characters too
            return _within(list(value[1]), ranges)
        case _:
            return True


def _accepts(members: Iterable[tuple[Any, Any]], ranges: Ranges) -> bool:
    """Whether a `[…]` may contain a character of `ranges`."""
    for operation, value in members:
        match str(operation):
            case "LITERAL":
                least = most = value
            case "RANGE":
                least, most = value
            case _:  # [^…], \w and the like
                return True
        if any(low <= most and least <= high for low, high in ranges):
            return True
    return False

"""Pickles as data: their opcodes are read, and nothing that they ask for is called.

An unpickler makes objects by calling what a file names, and PyTorch's restricted one had holes of its own
(CVE-2025-32434, CVE-2026-24747). Here a call is only recorded, so there is nothing to break out of.
"""

import pickletools
from collections.abc import Collection
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, NamedTuple

MOST_OPCODES = 5_000_000  # up to 100 bytes of memory each; a vocabulary has two per word


class PickleError(ValueError):
    """Not a pickle of plain data; the message continues a sentence that begins with the file's name."""


class DamagedError(PickleError):
    """Bytes that are no pickle, or not a whole one."""


class Name(NamedTuple):
    """An import that a file asks for; it is not made."""

    module: str
    name: str


@dataclass(eq=False)
class Call:
    """A call that a file asks for; it is not made. `items`: what the file then puts into the result, a dict or list."""

    what: Name
    arguments: tuple[Any, ...]
    items: dict[Any, Any] | list[Any] = field(default_factory=dict)


@dataclass(eq=False)
class Reference:
    """Something stored beside the pickle, such as the numbers of a tensor."""

    to: Any


_MARK = object()
_PLAIN = """
    INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
    UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8
"""
_VALUES = frozenset(_PLAIN.split())
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_BYTES = ("STRING", "BINSTRING", "SHORT_BINSTRING")  # text of Python 2
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def read_pickle(file: BytesIO, names: Collection[Name], purpose: str) -> Any:
    """The next object in `file`, made of lists, tuples, dicts, strings, numbers, `Call`s and `Reference`s.

    PickleError: it asks for a name that is not in `names`, holds anything else than plain data, or is damaged.
    `purpose` is the subject of "not need" in messages, such as "a list of strings does".
    """
    reader = _Reader(names, purpose)
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if number >= MOST_OPCODES:
                raise PickleError(f"has more than {MOST_OPCODES:,} parts")
            reader.step(opcode.name, argument)
        return reader.pop()
    except PickleError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError) as error:
        raise DamagedError(f"is not a pickle, or is damaged ({type(error).__name__})") from None


class _Reader:
    def __init__(self, names: Collection[Name], purpose: str) -> None:
        self.names, self.purpose = names, purpose
        self.stack, self.memo = list[Any](), dict[int, Any]()

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a mark is no value")
        return value

    def popped_to_mark(self) -> list[Any]:
        values = list[Any]()
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def step(self, name: str, argument: Any) -> None:
        """Carries out one opcode."""
        push = self.stack.append
        if name in _VALUES:
            push(argument)
        elif name in _CONSTANTS:
            push(_CONSTANTS[name])
        elif name in _BYTES:
            push(argument.encode("latin-1").decode("utf-8"))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            push(self.memo[argument])
        elif name == "MARK":
            push(_MARK)
        elif name in _TUPLES:
            values = [self.pop() for _ in range(_TUPLES[name])]
            push(tuple(values[::-1]))
        elif name in ("TUPLE", "LIST", "DICT"):
            values = self.popped_to_mark()
            push({"TUPLE": tuple, "LIST": list, "DICT": _pairs}[name](values))
        elif name in ("EMPTY_LIST", "EMPTY_DICT"):
            push([] if name == "EMPTY_LIST" else {})
        elif name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS"):
            self._fill(name)
        elif name not in ("PROTO", "FRAME", "STOP"):
            self._ask(name, argument)

    def _fill(self, name: str) -> None:
        """Moves the top of the stack into the list or dict below it."""
        if name in ("APPENDS", "SETITEMS"):
            values = self.popped_to_mark()
        else:
            values = [self.pop() for _ in range(1 + (name == "SETITEM"))][::-1]
        container = self.stack[-1]
        if "APPEND" in name:
            if isinstance(container, Call):
                if not isinstance(container.items, list):
                    container.items = [*container.items]
                container = container.items
            list.extend(container, values)
        else:
            items: Any = container.items if isinstance(container, Call) else container
            dict.update(items, _pairs(values))  # TypeError: it is a list

    def _ask(self, name: str, argument: Any) -> None:
        """Records what an unpickler would import or call."""
        if name in ("GLOBAL", "INST"):
            self._named(*str(argument).split(" ", 1))
        elif name == "STACK_GLOBAL":
            last, first = self.pop(), self.pop()
            self._named(str(first), str(last))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, what = self.pop(), self.pop()
            if type(what) is not Name or type(arguments) is not tuple:
                raise PickleError("calls something that has no name; it was not run")
            self.stack.append(Call(what, arguments))
        elif name == "BUILD":  # attributes of an object, which is none here
            self.pop()
            if not isinstance(self.stack[-1], Call):
                raise PickleError("sets attributes of plain data")
        elif name == "BINPERSID":
            self.stack.append(Reference(self.pop()))
        else:
            raise PickleError(f"holds {name}, which {self.purpose} not need; it was not run")

    def _named(self, module: str, name: str) -> None:
        if (wanted := Name(module, name)) not in self.names:
            shown = f"{module}.{name}"[:80]
            raise PickleError(f"asks for {shown}, which {self.purpose} not need; it was not run")
        self.stack.append(wanted)


def _pairs(values: list[Any]) -> dict[Any, Any]:
    keys = values[::2]
    if not all(type(key) in (str, int) for key in keys):  # others may take long to compare
        raise ValueError("keys are strings or numbers")
    return dict(zip(keys, values[1::2], strict=True))

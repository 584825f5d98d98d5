"""What SECURITY.md promises of the code itself: nothing that is read is run, and nothing is reached that was not asked for."""

import ast
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny import TINY_FIT

import ulmfit
from ulmfit.text.document import Document

ROOT = Path(__file__).parents[1]
CODE = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8"))
    for folder in ("ulmfit", "examples", "recipes", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
}
OURS = {name: tree for name, tree in CODE.items() if name.startswith("ulmfit/")}
RUNS = {"eval", "exec", "compile", "__import__", "execfile"}  # as plain names; `net.eval()` is none
RUNS |= {"os.system", "os.popen", "torch.load", "torch.jit.load", "torch.hub.load"}
RUNS |= {"pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "runpy.run_path"}
PICKLES = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
NETWORK = {"socket", "urllib", "http", "ftplib", "smtplib", "ssl", "requests", "httpx", "aiohttp"}
NETWORK |= {"huggingface_hub", "uvicorn"}
MAY_REACH = {  # what was asked for by its name, or listens because a user said so
    "ulmfit/files/download.py",
    "ulmfit/deploy/hub.py",
    "ulmfit/deploy/connection.py",
    "ulmfit/deploy/server.py",
}


def imported(tree: ast.AST) -> set[str]:
    """The packages that a tree imports."""
    names = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def dotted(node: ast.expr) -> str:
    """`a.b` of the attribute b of a name a; nothing of a call's result."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_nothing_that_is_read_is_run() -> None:
    found = [
        (name, dotted(call.func))
        for name, tree in CODE.items()
        for call in calls(tree)
        if dotted(call.func) in RUNS
    ]
    assert found == [] and len(CODE) > 100


def test_no_shell_and_no_unsafe_arrays() -> None:
    for name, tree in CODE.items():
        for call in calls(tree):
            for keyword in call.keywords:
                if keyword.arg in ("shell", "allow_pickle", "weights_only"):
                    safe = keyword.arg == "weights_only"
                    assert isinstance(keyword.value, ast.Constant), name
                    assert keyword.value.value is safe, name


def test_no_pickles() -> None:
    """`pickletools` only lists opcodes; processes of one user pickle what they tell each other."""
    found = {name for name, tree in OURS.items() if PICKLES & imported(tree)}
    assert found == set()


def test_one_module_knows_the_net() -> None:
    found = {name for name, tree in OURS.items() if NETWORK & imported(tree)}
    assert found == MAY_REACH


def test_the_linter_watches_too() -> None:
    rules = re.search(r"extend-select = \[(.*)\]", (ROOT / "pyproject.toml").read_text())
    assert rules and {"S102", "S301", "S307", "S602", "S605"} <= set(re.findall(r"S\d+", rules[1]))


# While it runs

FORBIDDEN = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo")  # fmt: skip
FORBIDDEN += ("socket.gethostbyname", "urllib.Request", "os.system", "os.exec", "os.posix_spawn")
FORBIDDEN += ("subprocess.Popen", "os.spawn", "pickle.find_class")
_watched = list[list[str]]()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:  # can't be taken away again
    if _watched and event in FORBIDDEN:
        _watched[-1].append(event)
        raise RuntimeError(f"{event} {arguments!r:.200}")


@contextmanager
def watched() -> Iterator[list[str]]:
    """What happens within of the `FORBIDDEN`; it does not succeed."""
    if not hasattr(sys, "_ulmfit_hook"):
        sys.addaudithook(_hook)
        sys._ulmfit_hook = True  # type: ignore[attr-defined]
    seen = list[str]()
    _watched.append(seen)
    try:
        yield seen
    finally:
        _watched.remove(seen)


def test_the_watch_sees(tmp_path: Path) -> None:
    with watched() as seen:
        for attempt in (
            lambda: socket.create_connection(("127.0.0.1", 9)),
            lambda: __import__("os").system("true"),
            lambda: __import__("subprocess").run(["true"]),
            lambda: __import__("pickle").loads(b"cposix\nsystem\n."),
        ):
            with pytest.raises(RuntimeError):
                attempt()
    assert len(seen) == 4


def test_fit_and_predict_reach_nothing(
    reviews: list[Document], lm_directory: Path, tmp_path: Path
) -> None:
    """Neither the net nor another program: training, saving, loading, predicting. So there is no telemetry."""
    from dataclasses import replace

    config = replace(TINY_FIT, pretrained=str(lm_directory))
    with watched() as seen:
        ulmfit.fit(reviews[:40], test=reviews[40:], out=tmp_path / "run", config=config)
        found = ulmfit.load(tmp_path / "run").predict([d.text for d in reviews[40:]])  # type: ignore[union-attr]
    assert len(found) == 20 and seen == []


@pytest.mark.parametrize("host", ["8.8.8.8", "example.org"])
def test_tests_reach_nothing_but_this_machine(host: str) -> None:
    with pytest.raises(RuntimeError, match="tests use no network"):
        socket.create_connection((host, 80), timeout=1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        with pytest.raises(RuntimeError, match="tests use no network"):
            one.sendto(b"x", (host, 53))
        with pytest.raises(RuntimeError, match="tests use no network"):
            one.connect_ex((host, 53))

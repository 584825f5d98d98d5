"""The layers as a test: who may import whom, and what may be said where."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ulmfit"

# Bottom to top; a file imports only from rows above its own, a column only from itself and BELOW.
BELOW = [
    "config shapes world hardware files.json_file files.pickled progress",
    "runtime files.lock files.torch_file",
    "files.checkpoint files.download interruption",
    "files.volumes",
    "card files.archive",
]
COLUMNS = {
    "text": [
        "document rules prefilter parallel joined compression",
        "labels splitter sentencepiece chunk_table",
        "chunks",
        "words",
        "tokenizer shards",
        "stored counts alignment token_stream",
        "corpus",
        "encoding",
        "files",
        "bad_rows separated label_column series",
        "tables",
        "columns plain",
        "pieces",
        "readers writers batches splits",
        "layouts",
    ],
    "nn": [
        "dropout batch_norm kernels.linear_cross_entropy kernels.sampled_cross_entropy",
        "awd_lstm",
        "heads",
        "features losses one_by_one",
    ],
    "training": [
        "schedule metrics log calibration",
        "phases watch",
        "resume",
        "loop",
        "stage",
        "lr_finder",
    ],
}
ABOVE = [
    "language_model catalogue prediction deploy.batching deploy.metrics",
    "outputs identity",
    "classifier_stream",
    "classifier datasets fastai_files deploy.onnx deploy.graph",
    "ensemble",
    "pretrained deploy.exported deploy.export",
    "saved run_directory vectors",
    "checks baseline confidence deploy.hub",
    "prepare_lm prepare_classifier pseudo_labels predict_table evaluation",
    "stages bench",
    "insight.pictures insight.duplicates insight.doctor_report insight.characters insight.scores insight.curves insight.page insight.explain",
    "insight.doctor insight.advice insight.charts insight.power_law insight.next_labels",
    "insight.report insight.label_curve deploy.messages deploy.page",
    "insight.curve_report deploy.service deploy.openapi deploy.connection",
    "deploy.application",
    "deploy.server insight.compare",
    "demo estimator",
    "__init__",
    "commands.flags",
    "commands.train commands.find_lr commands.use commands.models commands.data commands.doctor commands.tokenize commands.report commands.serve",
    "commands.compare commands.hub",
    "commands.explain commands.calibrate commands.bench commands.export commands.label_curve commands.next_labels",
    "cli",
    "__main__",
]

HARDWARE = {"cuda", "mps", "autocast", "distributed"}
AT_HOME = {("world", "distributed")}  # the other file that knows one of them
COMMAND_LINE = {
    "cli",
    "commands.flags",
    "commands.train",
    "commands.doctor",
    "commands.report",
    "commands.find_lr",
    "commands.use",
    "commands.models",
    "commands.data",
    "commands.tokenize",
    "commands.explain",
    "commands.calibrate",
    "commands.bench",
    "commands.export",
    "commands.label_curve",
    "commands.next_labels",
    "commands.serve",
    "commands.compare",
    "commands.hub",
}
PRINTERS = {*COMMAND_LINE, "demo", "pretrained", "progress", "training.log"}
EVERYWHERE = {"torch", "numpy", "safetensors"}  # other packages are imported where they are used
MOST_LINES = 300


def place() -> dict[str, tuple[int, int, str]]:
    """Module → (storey, row, column)."""
    parts = [("", 0, BELOW), *((name, 1, rows) for name, rows in COLUMNS.items()), ("", 2, ABOVE)]
    return {
        f"{column}.{name}" if column else name: (storey, number, column)
        for column, storey, rows in parts
        for number, row in enumerate(rows)
        for name in row.split()
    }


def module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


FILES = {
    module(p): p
    for p in PACKAGE.rglob("*.py")
    if p.name != "__init__.py" or p.parent == PACKAGE  # those below hold no code
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names of what a tree imports, `from a import b` as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(name: str) -> str | None:
    """The module of this package that a full name lies in."""
    parts = name.split(".")
    if parts[0] != "ulmfit":
        return None
    inner = parts[1:]
    while inner and ".".join(inner) not in FILES:
        inner.pop()
    return ".".join(inner) or "__init__"


def words(tree: ast.AST) -> Iterator[str]:
    """Words of identifiers and strings; neither comments nor docstrings, nor what a Runtime offers."""
    docstrings = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        found = ""
        if isinstance(node, ast.Attribute):
            of_runtime = isinstance(node.value, ast.Name) and node.value.id == "runtime"
            found = "" if of_runtime else node.attr
        elif isinstance(node, ast.Name):
            found = node.id
        elif isinstance(node, ast.Constant) and id(node) not in docstrings:
            found = str(node.value)
        yield from re.findall("[a-z]+", found.lower())


def test_every_file_has_its_place() -> None:
    assert set(FILES) == set(place())


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_go_down_or_left(name: str) -> None:  # and so there are no cycles
    storey, row, column = place()[name]
    for target in filter(None, map(ours, imports(TREES[name]))):
        its_storey, its_row, its_column = place()[target]
        assert (its_storey, its_row) < (storey, row), f"{name} imports {target}"
        assert storey != its_storey or column == its_column, f"{name} imports {target}"


def test_hardware_has_one_home() -> None:
    found = {
        (name, word)
        for name, tree in TREES.items()
        if name not in ("runtime", "hardware") and not name.startswith("nn.kernels")
        for word in HARDWARE.intersection(words(tree))
    }
    assert found == AT_HOME


def test_only_the_command_line_parses_and_only_some_files_print() -> None:
    for name, tree in TREES.items():
        packages = {full.split(".")[0] for full in imports(tree)}
        assert name in COMMAND_LINE or "tyro" not in packages, name
        called = {
            n.func.id
            for n in ast.walk(tree)
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        }
        assert name in PRINTERS or "print" not in called, name


def test_heavy_packages_are_imported_where_they_are_used() -> None:
    for name, tree in TREES.items():
        top = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
        packages = {full.split(".")[0] for n in top for full in imports(n)}
        foreign = packages - EVERYWHERE - {"ulmfit"} - set(sys.stdlib_module_names)
        allowed = {"tyro"} if name in COMMAND_LINE else set()
        allowed |= {"sklearn"} if name == "estimator" else set()  # its base classes
        assert foreign <= allowed, name


def test_every_file_has_its_test_and_fits_one_sitting() -> None:
    for name, path in FILES.items():
        lines = path.read_text(encoding="utf-8").count("\n")
        assert lines <= MOST_LINES, f"{name} has {lines} lines"
        if not path.name.startswith("__"):
            below = path.relative_to(PACKAGE)
            mirror = Path(__file__).parent / below.with_name(f"test_{below.name}")
            assert mirror.exists(), f"{name} has no {mirror.name}"


def test_importing_the_command_line_imports_no_torch() -> None:
    code = "import sys, ulmfit, ulmfit.config, ulmfit.cli; print(*{'torch', 'spacy', 'polars'} & set(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []

"""The documentation is true as far as a machine can tell: examples, links, names, numbers of the recipes."""

import ast
import functools
import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import polars
import pytest
from tiny import TINY_FIT

import ulmfit
from ulmfit import stages
from ulmfit.cli import COMMANDS, parse
from ulmfit.config import ClassifierConfig, FinetuneConfig, FitConfig, RuntimeConfig
from ulmfit.files.checkpoint import save_json
from ulmfit.text.columns import LABEL_NAMES, TEXT_NAMES
from ulmfit.text.document import Document
from ulmfit.training.phases import classifier_phases

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")))
}
RESULTS = ROOT / "benchmarks" / "results"  # comes with the first recorded run
WITHOUT_A_VERB = {"--help", "--version"}  # of `ulmfit` itself
OTHER_PROGRAMS = {"--logdir", "--index-url", "--fuzz"}
OTHER_PROGRAMS |= {"--headless", "--hide-scrollbars", "--no-sandbox", "--screenshot"}
OTHER_PROGRAMS |= {"--window-size"}  # these are Chromium's
OTHER_PROGRAMS |= {"--node-rank", "--max-restarts"}  # torchrun's
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)  # language, content
PYTHON = {
    (page, number): code
    for page, text in PAGES.items()
    for number, code in enumerate(code for kind, code in BLOCK.findall(text) if kind == "python")
}


def quoted(text: str) -> list[str]:
    """What stands in `single backticks`, outside of blocks; a line break in it counts as a space."""
    text = BLOCK.sub("", text)
    return [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", text)]


def commands() -> Iterator[tuple[str, str]]:
    """(page, command) of every `ulmfit …` in an indented block, typed after $ or not; lines that end in \\ go on."""
    for page, text in PAGES.items():
        for line in text.replace("\\\n", " ").splitlines():
            if found := re.match(r"(?: {4}\s*)?(?:\$ | {4,})(ulmfit .*)", line):
                yield page, found[1]
            elif re.match(r"\s*\$ ulmfit", line):
                raise AssertionError(f"{page}: not understood: {line}")


COMMAND_LINES = list(commands())


def arguments(command: str) -> list[str]:
    """What the program would be given: without its name, comment, redirections, and pipe."""
    words = shlex.split(command, comments=True)[1:]
    for sign in ("<", ">", "|"):
        words = words[: words.index(sign)] if sign in words else words
    return words


@pytest.fixture
def earlier_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with the record that `--config` reads in the examples."""
    monkeypatch.chdir(tmp_path)
    settings = {"config": asdict(FitConfig()), "runtime": asdict(RuntimeConfig())}
    save_json(tmp_path / "runs" / "reviews" / "config.json", {"config": settings})


# Command line


@pytest.mark.usefixtures("earlier_run")
def test_commands_parse() -> None:
    parsed, skipped = [], []
    for page, command in COMMAND_LINES:
        verb, *rest = arguments(command)
        if "…" in command:
            skipped.append(command)
        elif verb not in WITHOUT_A_VERB:
            try:
                parse(verb, rest)
            except SystemExit:
                pytest.fail(f"{page}: {command}")
            parsed.append((page, verb))
    assert len(parsed) >= 20 and not skipped
    pages = {page for page, _ in parsed}
    assert {"README.md", "docs/tutorial.md", "docs/data.md", "docs/training.md"} <= pages
    assert {"fit", "predict", "evaluate", "generate", "pretrain-lm", "finetune-lm"} <= {
        verb for _, verb in parsed
    }


def test_flags_in_the_text_exist(capsys: pytest.CaptureFixture[str]) -> None:
    known = {"--config", *WITHOUT_A_VERB, *OTHER_PROGRAMS}
    for verb in COMMANDS:
        with pytest.raises(SystemExit):
            parse(verb, ["--help"])
        known |= set(re.findall(r"--[a-z][a-z.-]+", capsys.readouterr().out))
    for folder in ("recipes", "benchmarks"):
        for script in (ROOT / folder).rglob("*.py"):
            known |= set(re.findall(r'"(--[a-z-]+)"', script.read_text(encoding="utf-8")))
    known |= {
        "--topics",
        "--grades",
        "--reviews",
    }  # benchmarks/label_kinds.py: the names of its sets
    named = {
        (page, flag)
        for page, text in PAGES.items()
        for code in quoted(text)
        for flag in re.findall(r"(?<!\S)--[a-z][a-z.-]+", code)
    }
    assert len(named) >= 40
    assert [n for n in sorted(named) if n[1] not in known] == []


# Python


def dotted(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


@pytest.mark.parametrize("where", PYTHON, ids=lambda where: f"{where[0]}-{where[1]}")
def test_python_compiles_and_its_names_exist(where: tuple[str, int]) -> None:
    tree = ast.parse(PYTHON[where])
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and dotted(node).startswith("ulmfit."):
            functools.reduce(getattr, dotted(node).split(".")[1:], ulmfit)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ulmfit"):
            for alias in node.names:
                getattr(importlib.import_module(node.module or ""), alias.name)
        elif isinstance(node, ast.Call) and dotted(node.func).startswith("ulmfit."):
            function = functools.reduce(getattr, dotted(node.func).split(".")[1:], ulmfit)
            keywords: dict[str, Any] = {k.arg: None for k in node.keywords if k.arg}
            inspect.signature(function).bind_partial(*node.args, **keywords)


def test_there_is_python_to_check() -> None:
    pages = [page for page, _ in PYTHON]
    assert pages.count("README.md") == 1
    assert pages.count("docs/tutorial.md") >= 9 and pages.count("docs/from-fastai.md") >= 4


@pytest.fixture
def tables(
    reviews: list[Document], lm_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files that the examples read; whatever they train is tiny."""
    monkeypatch.chdir(tmp_path)
    label = {"good": "pos", "bad": "neg"}
    rows = {"text": [d.text for d in reviews], "label": [label[str(d.label)] for d in reviews]}
    frame = polars.DataFrame(rows)
    frame[:40].write_csv("reviews.csv")
    frame[40:50].select("text").write_csv("more.csv")
    frame[50:].write_csv("test.csv")
    tiny = replace(TINY_FIT, pretrained=str(lm_directory))
    monkeypatch.setattr(stages, "fit", functools.partial(stages.fit, config=tiny))


@pytest.mark.usefixtures("tables")
def test_the_python_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(PYTHON["README.md", 0], "README.md", "exec"), {})
    *_, prediction, figures = capsys.readouterr().out.splitlines()
    assert prediction.startswith("Prediction(label=") and "'accuracy'" in figures
    assert Path("runs/reviews/forward/classifier/model.safetensors").exists()


@pytest.mark.usefixtures("tables")
def test_the_python_of_the_scikit_learn_page_runs(
    capsys: pytest.CaptureFixture[str], lm_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = replace(TINY_FIT.classifier, epochs=(1,), lr_divisors=(1.0,), min_steps=1)
    config = replace(TINY_FIT, pretrained=str(lm_directory), finetune=False, classifier=classifier)
    monkeypatch.setattr(ulmfit, "FitConfig", lambda: config)
    exec(compile(PYTHON["docs/scikit-learn.md", 0], "sklearn", "exec"), {})
    *_, best, prediction = capsys.readouterr().out.splitlines()
    assert "config__classifier__lr" in best and prediction.startswith("Prediction(label=")


def rows_by_hand() -> list[list[str]]:
    """fastai | command | Python: the table below "Driving by hand", without header."""
    _, section = PAGES["docs/from-fastai.md"].split("\n### Driving by hand\n")
    lines = section.split("\n## ")[0].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    assert rows[0] == ["fastai", "command", "Python"]
    return rows[1:]


def test_driving_by_hand_runs_row_by_row(
    reviews: list[Document],
    lm: ulmfit.LanguageModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With tiny nets and few texts, in a folder laid out as aclImdb is."""
    for number, document in enumerate(reviews):
        part = ("train/pos", "train/neg", "train/unsup", "test/pos", "test/neg")[number % 5]
        file = tmp_path / "aclImdb" / part / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(document.text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ulmfit.training.lr_finder.STEPS", 30)
    real = ulmfit.load
    monkeypatch.setattr(ulmfit, "load", lambda p: lm if p.startswith("wikipedia") else real(p))
    (first,) = [c for (page, _), c in PYTHON.items() if "def fit_one_cycle" in c]
    assert PAGES["docs/from-fastai.md"].split("### Driving by hand")[1].count("```python") == 1
    namespace: dict[str, Any] = {}
    exec(compile(first, "by hand", "exec"), namespace)
    rows = rows_by_hand()
    assert len(rows) >= 19 and all(len(row) == 3 for row in rows)
    for fastai, _, ours in rows:
        code = re.fullmatch(r"`([^`]+)`", ours)
        assert code, fastai
        exec(compile(code[1], fastai, "exec"), namespace)
    out = capsys.readouterr().out
    assert "'valley'" in out and "liked this movie because" in out and "Prediction(" in out
    assert namespace["classifier"].labels == ("neg", "pos")


# Links


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_somewhere(page: str) -> None:
    found = re.findall(r"\]\(([^)]+)\)", BLOCK.sub("", PAGES[page]))
    links = [" ".join(link.split()) for link in found]
    assert links or page in (
        *("CONTRIBUTING.md", "docs/log.md", "docs/design.md", "docs/export.md"),
        "docs/licences.md",
    )
    for link in links:
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        if target.resolve() == RESULTS:
            continue
        assert target.exists(), link
        if anchor:
            there = target.read_text(encoding="utf-8")
            assert anchor in map(slug, re.findall(r"^#+ (.*)$", there, re.MULTILINE)), link


# Names of the code

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "ulmfit").rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
}
NOT_OF_A_MODULE = {"lstm.0", "lstm.n", "net.training"}  # layer groups; torch's


def resolve(name: str) -> bool:
    """Whether `a.b` is there: below a module called a (or x.a), as a field of `FitConfig`, or in a class of any module."""
    first, *rest = name.split(".")
    homes: list[Any] = [importlib.import_module(m) for m in MODULES if m.split(".")[-1] == first]
    if first in ("lm", "classifier", "tokenizer"):
        homes.append(getattr(FitConfig(), first))
    homes += [getattr(m, first) for m in map(importlib.import_module, MODULES) if hasattr(m, first)]
    return any(_below(home, rest) for home in homes)


def _below(home: Any, names: list[str]) -> bool:
    for name in names:
        if not hasattr(home, name) and name not in inspect.get_annotations(home):
            return False
        home = getattr(home, name, None)
    return True


def test_names_in_the_method_resolve() -> None:
    in_files, alone = [], []
    for code in quoted(PAGES["docs/method.md"]):
        if found := re.fullmatch(r"(?:ulmfit/)?([\w/]+)\.py(?:: ([\w.]+))?", code):
            module = importlib.import_module("ulmfit." + found[1].replace("/", "."))
            assert not found[2] or _below(module, found[2].split(".")), code
            in_files.append(code)
        elif found := re.fullmatch(r"([A-Za-z]\w*(?:\.\w+)+)(?:\(.*\))?", code):
            assert found[1] in NOT_OF_A_MODULE or resolve(found[1]), code
            alone.append(code)
    assert len(in_files) >= 15 and len(alone) >= 30


def test_tests_named_beside_the_differences_exist() -> None:
    defined = {
        str(path.relative_to(ROOT / "tests")): {
            node.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef)
        }
        for path in (ROOT / "tests").rglob("*.py")
    }
    file, found = "", []
    _, differences = PAGES["docs/from-fastai.md"].split("\n## Deliberate differences\n")
    for code in quoted(differences):
        if match := re.fullmatch(r"(?:tests/)?([\w/]+\.py)(?:: (test_\w+))?", code):
            file, test = match.groups()
            assert file in defined, code
        elif match := re.fullmatch(r"test_\w+", code):  # another one of the file named last
            test = match[0]
        else:
            continue
        if test:
            assert test in defined[file], code
            found.append(test)
    assert len(found) >= 25


def test_the_short_tree_shows_what_is_there() -> None:
    tree = next(b for _, b in BLOCK.findall(PAGES["README.md"]) if "├── stages.py" in b)
    shown = set(re.findall(r"[├└]── ([\w.]+)", tree))
    assert all((ROOT / "ulmfit" / name).exists() for name in shown)
    folders = {path.name for path in (ROOT / "ulmfit").iterdir() if (path / "__init__.py").exists()}
    assert folders <= shown


def test_the_tree_shows_what_is_there() -> None:
    page = PAGES["docs/design.md"]
    tree = next(block for _, block in BLOCK.findall(page) if "├── stages.py" in block)
    files = [path.relative_to(ROOT / "ulmfit") for path in (ROOT / "ulmfit").rglob("*.py")]
    shown = {Path(name).name for name in re.findall(r"[\w/]+\.py", tree)}
    assert shown <= {file.name for file in files}
    hidden = {file.name for file in files if "kernels" not in file.parts} - shown
    assert hidden <= {"__init__.py", "__main__.py"}


def test_the_readme_is_short() -> None:
    assert PAGES["README.md"].count("\n") <= 120


def test_the_usual_names_of_columns_are_those_of_the_code() -> None:
    found = re.findall(r"Of the (?:text|label): \*([^*]+)\*", PAGES["docs/data.md"])
    assert [" ".join(names.replace(",", " ").split()) for names in found] == [
        " ".join(names.split()) for names in (TEXT_NAMES, LABEL_NAMES)
    ]


# Numbers of the two recipes


def number(cell: str) -> Any:
    """A cell of the table as Python: "1, 2, 4" is a tuple, "1,200,000" is not."""
    return ast.literal_eval(re.sub(r"(?<=\d),(?=\d{3})", "", cell.removesuffix(", unused")))


def flat(value: Any, name: str = "") -> dict[str, Any]:
    if not is_dataclass(value):
        return {name: value}
    parts = (flat(getattr(value, f.name), f"{name}.{f.name}".strip(".")) for f in fields(value))
    return {k: v for part in parts for k, v in part.items()}


def test_the_two_recipes_are_as_in_the_table() -> None:
    table = re.findall(
        r"^\| `((?:lm|classifier)\.\w+)` \| (.+?) \| (.+?) \|$",
        PAGES["docs/method.md"],
        re.MULTILINE,
    )
    ours = flat(FitConfig())
    fastais = flat(FitConfig(lm=FinetuneConfig(), classifier=ClassifierConfig()))
    differ = {name for name in ours if ours[name] != fastais[name]}
    assert differ == {name for name, *_ in table} and len(table) == len(differ) > 10
    for name, theirs, default in table:
        assert (number(theirs), number(default)) == (fastais[name], ours[name]), name


def test_commands_that_spell_out_fastais_recipe_are_fastais() -> None:
    whole, quick, finetune, classifier = (
        parse(verb, rest)
        for page, command in COMMAND_LINES
        if page == "docs/from-fastai.md"
        for verb, *rest in [arguments(command)]
        if verb in ("fit", "finetune-lm", "train-classifier")
    )
    unused = {"negatives": FinetuneConfig.negatives}  # by the full softmax
    assert replace(whole.config.lm, **unused) == FinetuneConfig()
    assert whole.config.classifier == ClassifierConfig()
    by_hand = FinetuneConfig(frozen_lr=1e-2, lr=1e-3, max_grad_norm=None)
    assert replace(finetune.config, **unused) == by_hand
    assert classifier.config == ClassifierConfig(lr=2e-2, weight_decay=0.01, max_grad_norm=None)
    told = ClassifierConfig(
        unfreezing="quick", epochs=(1, 4), lr=0.01, weight_decay=0.01, max_grad_norm=None
    )
    assert classifier_phases(quick.config.classifier, 4, 64, 9, 576) == classifier_phases(
        told, 4, 64, 9, 576
    )
    unused = {n: getattr(told, n) for n in ("lr_decay", "lr_divisors")}  # by quick unfreezing
    assert replace(quick.config.classifier, **unused) == told
    assert not quick.config.finetune

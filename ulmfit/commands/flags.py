"""What the verbs share: metavars, flags for reading files and for the machine, run directories, notes."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from ulmfit.config import LabelKind, RuntimeConfig
from ulmfit.progress import Say, speaks

if TYPE_CHECKING:
    from ulmfit.datasets import Use

Flat = arg(name="")  # fields of a nested config become flags without a prefix
DIR, FILE, MODEL, NAME, TEXT = (arg(metavar=m) for m in ("DIR", "FILE", "MODEL", "NAME", "TEXT"))
FILES = arg(metavar="FILE [FILE ...]")
NAMES = arg(metavar="NAME [NAME ...]")
SplitOn = Literal["title", "blank-line", "line", "file"]
OnBad = Literal["error", "skip"]


@dataclass(frozen=True)
class Sources:
    """How to read files; what is left out is guessed, and the guess is reported."""

    # column of the text; several columns become one text, each marked as a field
    text_column: Annotated[tuple[str, ...] | None, NAMES] = None
    label_column: Annotated[str | None, NAME] = None  # column of the label
    # one class per text, several labels, or a number; left out: guessed from the label column
    label_kind: LabelKind | None = None
    # what separates several labels in one cell, such as ";"
    label_separator: Annotated[str | None, TEXT] = None
    # where a new document begins in plain text; not for tables, where each row is one
    split_on: SplitOn | None = None
    on_bad: OnBad = "error"  # rows that can't be used: stop and list them, or skip and report them
    # folder or archive of a data set given by name; left out: it is downloaded once
    data_dir: Annotated[str | None, DIR] = None

    def read(
        self,
        path: str | None,
        *,
        labelled: bool = True,
        use: "Use" = "train",
        on_bad: OnBad | None = None,
        say: Say | None = None,
        kind: LabelKind | None = None,
    ) -> list[Any]:
        """The documents of a file, folder, pattern or named data set; none where no path is given.

        `use` decides which part a bare data-set name means. A file or folder of that name wins, with a note, unless
        `data_dir` is given. `kind`: of the labels, where `label_kind` is not given.
        """
        if path is None:
            return []
        kind = self.label_kind or kind
        return list(self._open(path, labelled, use, on_bad or self.on_bad, say or note, kind))

    def _open(
        self,
        path: str,
        labelled: bool,
        use: "Use",
        on_bad: OnBad,
        say: Say,
        kind: LabelKind | None = None,
        longest: float = inf,
    ) -> Iterable[Any]:
        """As `read`, but a stream where `read_documents` gives one; data sets are lists."""
        from ulmfit.datasets import documents_for, is_name
        from ulmfit.text.readers import files_of, read_documents

        exists = Path(path).exists() or bool(files_of(path))
        if is_name(path) and (self.data_dir is not None or not exists):
            if labelled and (kind not in (None, "single") or self.label_separator):
                raise ValueError(
                    f"{path} has one class per text, like all public data sets known by name"
                )
            return documents_for(path, use, labelled=labelled, data_dir=self.data_dir, say=say)
        if not exists:
            raise ValueError(
                f"there is no file or folder {path} (looked in {Path.cwd()}) and no data set of that name;"
                " `ulmfit datasets` lists them"
            )
        if is_name(path):
            say(f"{path}: the file or folder of that name is read, not the public data set")
        label = self.label_column if labelled else None
        return read_documents(
            path,
            text_column=self.text_column,
            label_column=label,
            labelled=labelled,
            split_on=None if labelled else self.split_on,
            on_bad=on_bad,
            say=say,
            label_kind=kind,
            label_separator=self.label_separator,
            longest=longest,
        )

    def check(self, *paths: str | None) -> None:
        """ValueError if `data_dir` is given but none of the `paths` names a data set."""
        from ulmfit.datasets import is_name

        given = [path for path in paths if path is not None]
        if self.data_dir is not None and not any(map(is_name, given)):
            raise ValueError(
                f"--data-dir {self.data_dir} says where a data set is, but none was named (given: "
                f"{', '.join(given) or 'nothing'}); `ulmfit datasets` lists the names"
            )

    def recorded(self) -> dict[str, Any]:
        """What a run records of these flags for --config: all but `data_dir`."""
        return {name: value for name, value in asdict(self).items() if name != "data_dir"}

    def read_all(self, paths: Sequence[str]) -> list[Any]:
        """The texts of several files, folders or data sets, for a language model."""
        if not paths:
            raise ValueError("give at least one file or folder of texts")
        return [d for path in paths for d in self.read(path, labelled=False, use="texts")]

    def stream(self, paths: Sequence[str], say: Say) -> Iterator[str]:
        """As `read_all`, one text after the other. `TooLong`: a document has more than `LONGEST` characters."""
        from ulmfit.text.shards import LONGEST, limited

        for path in paths:
            documents = self._open(path, False, "texts", self.on_bad, say, longest=LONGEST)
            yield from limited((d.text for d in documents), path)

    def encoded(self, paths: Sequence[str], *others: str | None) -> Any:
        """The corpus if `paths` is one directory that `ulmfit tokenize` wrote, else None. `others`: files read beside it,
        which these flags may be for."""
        from ulmfit.text.corpus import Corpus
        from ulmfit.text.stored import is_corpus

        corpora = [path for path in paths if is_corpus(Path(path))]
        if corpora and len(paths) > 1:
            raise ValueError(
                f"{corpora[0]} is a tokenized corpus; give it alone, without other texts"
            )
        if not corpora:
            return None
        if (flags := given(self)) and not any(others):
            raise ValueError(
                f"{corpora[0]} is a tokenized corpus: there are no files to read; leave out {', '.join(flags)}, or reset"
                " what --config set"
            )
        return Corpus.load(corpora[0])


@dataclass(frozen=True)
class Machine:
    """Where and how precisely to compute, for verbs without a run directory."""

    device: str = RuntimeConfig.device  # auto, cpu, cuda, cuda:1, mps
    # of activations; weights stay fp32
    precision: Literal["auto", "fp32", "fp16", "bf16"] = RuntimeConfig.precision
    threads: int | None = RuntimeConfig.threads  # CPU threads; left out: PyTorch's choice

    def start(self, seed: int = RuntimeConfig.seed, *, training: bool = False) -> Any:
        """The `Runtime` with these settings; `training`: with the precision that training would have."""
        from ulmfit.runtime import Runtime

        config = RuntimeConfig(self.device, self.precision, self.threads, seed)
        return Runtime.start(config, training=training)


@contextmanager
def open_run(command: Any, *documents: Any) -> Iterator[tuple[Any, Any]]:
    """The run directory and `Runtime` for a verb that calls one stage function; at the end of the block the run is finished."""
    from ulmfit.identity import fingerprint
    from ulmfit.run_directory import Run
    from ulmfit.runtime import Runtime

    settings = {name: asdict(getattr(command, name)) for name in ("config", "runtime", "tokenizer")}
    settings |= {
        f.name: getattr(command, f.name)
        for f in fields(command)
        if f.name in ("size", "direction", "vocab_of", "pretrained")
    }
    data = fingerprint(*documents)
    how = {"overwrite": command.overwrite, "tensorboard": command.tensorboard}
    runtime = Runtime.start(command.runtime)  # may refuse, before anything is overwritten
    with Run.open(command.out, settings, data, **how, say=note, world=runtime.world) as run:
        note(runtime.describe())
        run.keep(columns=command.columns.recorded())
        yield run, runtime
        run.finish({})
    note(f"saved in {run.path}")


def given(flags: Any, *names: str) -> list[str]:
    """The flags, of `names` or of all, whose values are not the defaults."""
    return [
        "--" + field.name.replace("_", "-")
        for field in fields(flags)
        if field.name in (names or (field.name,)) and getattr(flags, field.name) != field.default
    ]


def check_name(out: str, suffix: str) -> None:
    """ValueError unless `out` names a file of this suffix: a slip must not replace a table by a picture."""
    if Path(out).is_dir() or Path(out).suffix.lower() != suffix:
        raise ValueError(f"--out {out}: expected a file's name that ends in {suffix}")


def note(line: str) -> None:
    """For people: standard error, so that standard output stays data."""
    if speaks():
        print(line, file=sys.stderr, flush=True)

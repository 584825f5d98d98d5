"""What the verbs have in common: kinds of argument, columns of a table, the machine, run directories, notes."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

from tyro.conf import arg

from ulmfit.config import RuntimeConfig

Flat = arg(name="")  # fields of a nested config become flags without a prefix
DIR, FILE, MODEL, NAME, TEXT = (arg(metavar=m) for m in ("DIR", "FILE", "MODEL", "NAME", "TEXT"))
FILES = arg(metavar="FILE [FILE ...]")
SplitOn = Literal["title", "blank-line", "line", "file"]


@dataclass(frozen=True)
class Sources:
    """How to read files; what is left out is guessed, and said."""

    text_column: Annotated[str | None, NAME] = None  # column of the text
    label_column: Annotated[str | None, NAME] = None  # column of the label
    # what ends a document in plain text; tables need none
    split_on: SplitOn | None = None

    def read(self, path: str | None, *, labelled: bool = True) -> list[Any]:
        """The documents of a file or folder; none where no path is given."""
        from ulmfit.text.readers import read_documents

        if path is None:
            return []
        label = self.label_column if labelled else None
        return list(
            read_documents(
                path,
                text_column=self.text_column,
                label_column=label,
                labelled=labelled,
                split_on=None if labelled else self.split_on,
                say=note,
            )
        )

    def read_all(self, paths: Sequence[str]) -> list[Any]:
        """The texts of several files or folders, for a language model."""
        if not paths:
            raise ValueError("give at least one file or folder of texts")
        return [d for path in paths for d in self.read(path, labelled=False)]


@dataclass(frozen=True)
class Machine:
    """Where and how precisely to compute, for verbs that draw no random numbers."""

    device: str = RuntimeConfig.device  # auto, cpu, cuda, cuda:1, mps
    # of activations; weights stay fp32
    precision: Literal["auto", "fp32", "fp16", "bf16"] = RuntimeConfig.precision
    threads: int | None = RuntimeConfig.threads  # CPU threads; PyTorch's choice where left out

    def start(self) -> Any:
        """The `Runtime` with these settings."""
        from ulmfit.runtime import Runtime

        return Runtime.start(RuntimeConfig(self.device, self.precision, self.threads))


@contextmanager
def open_run(command: Any, *documents: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Run directory and `Runtime` of a verb whose stage function takes them as given; the run is finished behind it."""
    from ulmfit.run import Run, fingerprint
    from ulmfit.runtime import Runtime

    settings = {name: asdict(getattr(command, name)) for name in ("config", "runtime", "tokenizer")}
    settings |= {
        f.name: getattr(command, f.name)
        for f in fields(command)
        if f.name in ("size", "direction", "vocab_of", "pretrained")
    }
    data = fingerprint(*documents)
    with Run.open(command.out, settings, data, overwrite=command.overwrite, say=note) as run:
        runtime = Runtime.start(command.runtime)
        note(runtime.describe())
        yield run, runtime
        run.finish({})
    note(f"saved in {run.path}")


def note(line: str) -> None:
    """For people: standard error, so that standard output stays data."""
    print(line, file=sys.stderr, flush=True)

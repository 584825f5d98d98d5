"""`ulmfit next-labels`: its fields are the flags, its docstring is the help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from ulmfit.commands.flags import FILE, MODEL, NAMES, Flat, Machine, OnBad, note
from ulmfit.commands.use import check_json
from ulmfit.config import RuntimeConfig

ADDED = ("rank", "prediction", "probability", "reason")


@dataclass(frozen=True)
class NextLabels:
    """List the texts most worth labelling next: those the classifier is unsure of and that differ from each other."""

    # run or classifier directory, or an installed model's name
    model: Positional[Annotated[str, MODEL]]
    data: Positional[Annotated[str, FILE]]  # unlabelled texts: CSV, TSV, JSONL or Parquet
    n: int = 100  # how many texts to choose
    # table to write (CSV, TSV, JSONL, Parquet); left out: CSV on standard output
    out: Annotated[str | None, FILE] = None
    json: bool = False  # print JSON lines
    # column of the text, or columns as in training; left out: guessed, and the guess is reported
    text_column: Annotated[tuple[str, ...] | None, NAMES] = None
    on_bad: OnBad = "error"  # rows that can't be used: stop and list them, or skip and report them
    seed: int = RuntimeConfig.seed  # another seed may choose other texts
    machine: Annotated[Machine, Flat] = Machine()

    def run(self) -> None:
        import polars

        from ulmfit.insight.next_labels import next_labels
        from ulmfit.saved import load_classifier
        from ulmfit.text.columns import usable_texts
        from ulmfit.text.tables import open_table
        from ulmfit.text.writers import (
            check_fits,
            check_free,
            check_path,
            format_of,
            print_tables,
            write_table,
        )

        if self.n < 1:
            raise ValueError(f"--n must be at least 1, not {self.n}")
        check_json(self.json, self.out)
        if self.out is not None:
            check_path(Path(self.out), self.data)
        table = open_table(self.data, note)
        frame = table.frame()
        check_free(frame, ADDED, self.data)
        check_fits(frame, format_of(self.out, self.json), self.data)
        texts = usable_texts(table, self.text_column, self.on_bad, note)
        rows = [row for row, text in enumerate(texts) if text is not None]
        classifier, runtime = load_classifier(self.model), self.machine.start(self.seed)
        chosen = next_labels(
            classifier,
            [text for text in texts if text is not None],
            self.n,
            runtime,
            seed=self.seed,
            progress="reading",
        )
        if len(chosen) < self.n:
            note(f"{self.data} holds {len(chosen):,} different texts, fewer than --n {self.n:,}")
        added = {
            "rank": list(range(1, len(chosen) + 1)),
            "prediction": [choice.prediction for choice in chosen],
            "probability": [choice.probability for choice in chosen],
            "reason": [choice.reason for choice in chosen],
        }
        ranked = frame[[rows[choice.index] for choice in chosen]]
        ranked = ranked.with_columns(polars.Series(name, v) for name, v in added.items())
        if self.out is None:
            print_tables([ranked], self.json)
        else:
            write_table(ranked, Path(self.out))
            note(f"{len(ranked):,} rows written to {self.out}, the most worthwhile first")

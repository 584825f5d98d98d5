"""`ulmfit doctor`: its fields are the flags, its docstring is the help."""

import json
import shutil
import textwrap
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional

from ulmfit.commands.flags import FILE, MODEL, Flat, Sources, note
from ulmfit.config import FitConfig

if TYPE_CHECKING:
    from ulmfit.insight.advice import Finding
    from ulmfit.insight.doctor_report import Report

WIDEST = 110  # characters of a line
MARKS = {"ok": "ok", "note": "note", "do": "DO"}


@dataclass(frozen=True)
class Doctor:
    """Examine texts before training: copies, leaks, broken characters, classes, and what to do about them. Nothing is changed."""

    # CSV, TSV, JSONL, Parquet, a folder of texts by label, or a data set's name
    labelled: Positional[Annotated[str | None, FILE]] = None
    # texts (or a data set's name) for the language model; labels are ignored
    unlabelled: Annotated[str | None, FILE] = None
    valid: Annotated[str | None, FILE] = None  # labelled texts to validate on
    test: Annotated[str | None, FILE] = None  # labelled texts to be scored once, at the end
    # language model whose vocabulary the texts are compared with; as for fit
    pretrained: Annotated[str, MODEL] = FitConfig.pretrained
    max_len: int = FitConfig.classifier.max_len  # how many of a text's last tokens are pooled
    json: bool = False  # print JSON
    columns: Annotated[Sources, Flat] = Sources()

    def run(self) -> None:
        from dataclasses import replace
        from functools import partial

        from ulmfit.checks import check_classifier
        from ulmfit.insight.advice import findings
        from ulmfit.insight.doctor import examine
        from ulmfit.text.bad_rows import Skipped
        from ulmfit.text.labels import kind_of

        files = {
            "train": self.labelled,
            "unlabelled": self.unlabelled,
            "valid": self.valid,
            "test": self.test,
        }
        if not any(files.values()):
            raise ValueError("give a file of labelled texts, or --unlabelled")
        self.columns.check(*files.values())
        classifier = replace(FitConfig.classifier, max_len=self.max_len)
        check_classifier(classifier)
        skipped = list[str]()

        def say(line: str) -> None:
            note(line)
            if isinstance(line, Skipped):
                skipped.append(line)

        def kind(documents: list[Any]) -> Any:
            return kind_of(d.label for d in documents) if documents else None

        read = partial(self.columns.read, on_bad="skip", say=say)
        labelled = read(self.labelled)
        unlabelled = read(self.unlabelled, labelled=False, use="unlabelled")
        valid = read(self.valid, use="valid", kind=kind(labelled))
        report = examine(
            labelled,
            unlabelled=unlabelled,
            valid=valid,
            test=read(self.test, use="test", kind=kind(labelled or valid)),
            pretrained=self.pretrained,
            classifier=classifier,
        )
        found = findings(report, skipped)
        if self.json:
            content: dict[str, Any] = {"files": files, **asdict(report)}
            content["findings"] = [asdict(finding) for finding in found]
            print(json.dumps(content, ensure_ascii=False))
            return
        print(table(report, files))
        print()
        for finding in found:
            print(entry(finding))
        print(summary(found))


def table(report: "Report", files: dict[str, str | None]) -> str:
    """The figures of each part, a line each."""
    from ulmfit.training.stage import as_table

    def row(name: str, part: Any) -> dict[str, str]:
        figures = {"texts": part.texts, "copies": part.copies, "near copies": part.near_copies}
        figures |= {f"{mark} tokens": n for mark, n in part.tokens.items()}
        shown = {head: f"{n:>{len(head)},}" for head, n in figures.items()}
        return {"part": name, "file": files[name] or "", **shown}

    return as_table([row(name, part) for name, part in report.parts.items()])


def entry(finding: "Finding") -> str:
    """What was found, examples, and after an arrow what to do; indented under mark and subject."""
    from ulmfit.insight.advice import NOTHING, where

    width = min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
    left = f"{MARKS[finding.level]:4}  {finding.about:18}  "
    rest = " " * len(left)

    def wrapped(text: str, first: str, hanging: str) -> list[str]:
        return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=hanging)

    lines = wrapped(finding.found, left, rest)
    for example in finding.examples:
        line = f"{where(example.places)}: {example.text}"
        lines += wrapped(line, rest + "· ", rest + "  ")
    if finding.level != "ok" or finding.advice != NOTHING:
        lines += wrapped(finding.advice, rest + "→ ", rest + "  ")
    return "\n".join(lines)


def summary(found: list["Finding"]) -> str:
    """The last line: how much there is to do."""
    todo = sum(finding.level == "do" for finding in found)
    if not todo:
        return "\nNothing needs doing."
    return f"\n{todo} of {len(found)} findings need fixing; they are marked DO."

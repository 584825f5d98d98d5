"""`ulmfit export`: its fields are the flags, its docstring is the help."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated

from tyro.conf import Positional

from ulmfit.commands.flags import DIR, FILE, MODEL, Flat, Sources, note


@dataclass(frozen=True)
class Export:
    """Write a classifier for use without PyTorch (onnxruntime), after comparing its predictions with PyTorch's. `ulmfit predict` reads it."""

    # run or classifier directory, or an installed model's name
    model: Positional[Annotated[str, MODEL]]
    out: Annotated[str, DIR]  # directory to write
    # texts for the comparison, best like those it will read: a file, a folder, or a data set's name (its test part)
    data: Positional[Annotated[str | None, FILE]] = None
    onnx: bool = True  # the format; there is no other
    # int8 in place of floats: a quarter of the size, several times faster, nearly the same labels
    low_precision: bool = False
    json: bool = False  # print the comparison as JSON
    columns: Annotated[Sources, Flat] = Sources()

    def run(self) -> None:
        from ulmfit.deploy.export import export
        from ulmfit.saved import load_classifier

        if not self.onnx:
            raise ValueError("--no-onnx leaves no format to write; leave it out")
        self.columns.check(self.data)
        classifier = load_classifier(self.model)
        texts = [d.text for d in self.columns.read(self.data, labelled=False, use="test")]
        check = export(classifier, self.out, texts, low_precision=self.low_precision, say=note)
        if self.json:
            print(json.dumps(asdict(check)))

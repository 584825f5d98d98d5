"""The verbs that list models and bring them in: a dataclass each; its fields are the flags, its docstring is the help."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Models:
    """The language models that come with the package."""

    json: bool = False  # print JSON

    def run(self) -> None:
        from ulmfit.pretrained import models

        found = models()
        if self.json:
            print(json.dumps(found))
        for name, card in () if self.json else found.items():
            print(name)
            for key, value in card.items():
                print(f"  {key.replace('_', ' ')}: {value}")

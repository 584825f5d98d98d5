"""`ulmfit datasets`: its fields are the flags, its docstring is the help."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Datasets:
    """List the public data sets known by name: parts, classes, size, licence, and whether they are in the cache."""

    json: bool = False  # print JSON

    def run(self) -> None:
        from ulmfit.datasets import cards

        datasets = cards()
        if self.json:
            print(json.dumps(datasets))
        for name, card in () if self.json else datasets.items():
            size = card["bytes"]
            print(name + ("  (in the cache)" if card["cached"] else ""))
            print("  parts:    " + ", ".join(map(_part, *zip(*card["parts"].items(), strict=True))))
            print(f"  classes:  {', '.join(card['classes']) or 'none, plain texts'}")
            print(f"  download: {f'{size / 1e6:,.1f} MB' if size else 'size not published'}")
            print(f"  licence:  {card['licence']}")
            print(f"  cite:     {card['cite']}")


def _part(name: str, documents: int | None) -> str:
    return name if documents is None else f"{name} {documents:,}"

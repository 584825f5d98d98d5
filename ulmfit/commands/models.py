"""`ulmfit models` and `import-fastai`: a dataclass each; its fields are the flags, its docstring is the help."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from ulmfit.commands.flags import DIR, FILE, note
from ulmfit.config import Direction, TokenizerConfig


@dataclass(frozen=True)
class Models:
    """List the models known by name: installed by pip, or published by fastai and downloaded when first used."""

    json: bool = False  # print JSON

    def run(self) -> None:
        from ulmfit.pretrained import downloads, models

        cards = models() | downloads()
        if self.json:
            print(json.dumps(cards))
        for name, card in () if self.json else cards.items():
            print(name)
            for key, value in card.items():
                print(f"  {key.replace('_', ' ')}: {value}")


@dataclass(frozen=True)
class ImportFastai:
    """Convert a language model that fastai saved, weights and vocabulary, into a directory for this library."""

    # weights, saved by fastai's learn.save or save_encoder
    pth: Positional[Annotated[str, FILE]]
    # vocabulary: the pickled list of its words
    pkl: Positional[Annotated[str, FILE]]
    out: Annotated[str, DIR]  # directory to write, for instance models/my-lm
    direction: Direction  # order in which it was trained to read; not recorded in the files
    lang: str = TokenizerConfig.lang  # spaCy language code of the texts it was trained on

    def run(self) -> None:
        from ulmfit.fastai_files import import_fastai

        out = Path(self.out)
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ValueError(f"{out} already exists; give another --out, or delete it")
        out.mkdir(parents=True, exist_ok=True)  # an error, if any, before the work
        out.rmdir()
        lm = import_fastai(Path(self.pth), Path(self.pkl), self.direction, lang=self.lang, say=note)
        lm.save(out, card={"made_by": f"fastai; {Path(self.pth).name}, {Path(self.pkl).name}"})
        note(f"saved in {out}")

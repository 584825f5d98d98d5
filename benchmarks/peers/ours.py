"""This library: `ulmfit.fit` with the default settings, within some minutes."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import ulmfit
from ulmfit.config import FitConfig, RuntimeConfig
from ulmfit.text.document import Document

TOKENS_A_MINUTE = 110_000  # read by the language model; the demo then took 9.4 minutes on two cores


class Peer:
    """`minutes` limits the tokens that the language model reads; the time actually taken is measured and reported."""

    def __init__(
        self,
        seed: int = 0,
        threads: int = 2,
        minutes: float = 10.0,
        pretrained: str = FitConfig.pretrained,
    ) -> None:
        lm = replace(FitConfig.lm, max_tokens=int(minutes * TOKENS_A_MINUTE))
        self.config = FitConfig(pretrained=pretrained, lm=lm)
        self.runtime = RuntimeConfig(device="cpu", threads=threads, seed=seed)

    def fit(self, texts: list[str], labels: list[str], unlabelled: list[str]) -> "Peer":
        labelled = [Document(text, label) for text, label in zip(texts, labels, strict=True)]
        more = [Document(text) for text in unlabelled]
        how = {"config": self.config, "runtime": self.runtime}
        with TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            self.model = ulmfit.fit(labelled, unlabelled=more, valid=(), out=out, **how)
        return self

    def predict(self, texts: list[str]) -> list[str]:
        return [p.label for p in self.model.predict(texts)]

"""fastai 2.8 by its own ULMFiT recipe, but with our pretrained weights and their sizes.

fastai would download its weights, so it is given ours: `pretrained` is a folder with weights.npz (our names) and vocab.json, as
`benchmarks.inputs.small_for_fastai` writes it. Without a folder the weights are random.
"""

import random
from pathlib import Path
from tempfile import mkdtemp

import pandas as pd
import torch
from fastai.callback.schedule import *  # noqa: F403  (adds fit_one_cycle to Learner)
from fastai.text.data import TextDataLoaders
from fastai.text.learner import language_model_learner, match_embeds, text_classifier_learner
from fastai.text.models.awdlstm import AWD_LSTM, awd_lstm_clas_config, awd_lstm_lm_config

from benchmarks.fastai_worker import quiet
from benchmarks.inputs import our_name, weights_and_vocab

TOKENS_A_WORD = 1.25  # tokens per white-space-separated word, in reviews


class Peer:
    """`tokens`: most that the language model reads, half of them with the LSTMs frozen, half afterwards."""

    def __init__(
        self,
        seed: int = 0,
        threads: int = 2,
        tokens: int = 550_000,
        pretrained: str = "",
        sizes: dict[str, int] | None = None,
    ) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        self.seed, self.tokens, self.pretrained, self.sizes = seed, tokens, pretrained, sizes or {}
        self.folder = Path(mkdtemp())

    def fit(self, texts: list[str], labels: list[str], unlabelled: list[str]) -> "Peer":
        vocab = self._language_model([*texts, *unlabelled])
        frame = pd.DataFrame({"text": texts, "label": labels})
        options = {"text_col": "text", "label_col": "label", "text_vocab": vocab, "seed": self.seed}
        size = max(8, min(64, len(texts) // 20))
        dls = TextDataLoaders.from_df(frame, path=self.folder, valid_pct=0.1, bs=size, **options)
        config = awd_lstm_clas_config | self.sizes
        learn = text_classifier_learner(dls, AWD_LSTM, config=config, pretrained=False)
        learn.load_encoder("encoder")
        with quiet(learn):  # nbs/examples/ulmfit.ipynb
            lr = 1e-1 * size / 128
            learn.fit_one_cycle(1, lr, moms=(0.8, 0.7, 0.8), wd=0.1)
            for number, divisor in ((-2, 2), (-3, 4)):
                learn.freeze_to(number)
                rates = slice(lr / divisor / 2.6**4, lr / divisor)
                learn.fit_one_cycle(1, rates, moms=(0.8, 0.7, 0.8), wd=0.1)
            learn.unfreeze()
            rates = slice(lr / 20 / 2.6**4, lr / 20)
            learn.fit_one_cycle(2, rates, moms=(0.8, 0.7, 0.8), wd=0.1)
        self.learn = learn
        return self

    def predict(self, texts: list[str]) -> list[str]:
        with quiet(self.learn):
            rows = self.learn.get_preds(dl=self.learn.dls.test_dl(texts))[0]
        return [self.learn.dls.vocab[1][int(best)] for best in rows.argmax(1)]

    def _language_model(self, texts: list[str]) -> list[str]:
        """Fine-tunes on as many of the texts as the bound allows, saves the encoder, and returns the vocabulary."""
        random.Random(self.seed).shuffle(texts)
        words, chosen = self.tokens / 2 / TOKENS_A_WORD, []
        while texts and words > 0:
            chosen.append(texts.pop())
            words -= len(chosen[-1].split())
        frame = pd.DataFrame({"text": chosen})
        options = {"text_col": "text", "is_lm": True, "valid_pct": 0.1, "seed": self.seed, "bs": 16}
        dls = TextDataLoaders.from_df(frame, path=self.folder, **options)
        config = awd_lstm_lm_config | self.sizes
        learn = language_model_learner(
            dls, AWD_LSTM, config=config, drop_mult=0.3, pretrained=False
        )
        if self.pretrained:
            weights, vocab = weights_and_vocab(Path(self.pretrained))
            names = learn.model.state_dict()
            theirs = {n: torch.from_numpy(weights[our_name(n)]) for n in names}
            learn.model.load_state_dict(match_embeds(theirs, vocab, dls.vocab))
        with quiet(learn):
            learn.freeze()
            learn.fit_one_cycle(1, 2e-2, moms=(0.8, 0.7, 0.8), wd=0.1)
            learn.unfreeze()
            learn.fit_one_cycle(1, 2e-3, moms=(0.8, 0.7, 0.8), wd=0.1)
        learn.save_encoder("encoder")
        return dls.vocab

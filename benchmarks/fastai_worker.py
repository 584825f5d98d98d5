"""The tasks of `our_worker.py` in fastai 2.8, through its public API; runs in its own environment."""

import time
from contextlib import ExitStack
from typing import Any

import pandas as pd
import torch
from fastai.callback.core import Callback, CancelValidException
from fastai.callback.progress import ProgressCallback
from fastai.callback.schedule import *  # noqa: F403  (adds fit_one_cycle to Learner)
from fastai.data.core import DataLoaders
from fastai.losses import CrossEntropyLossFlat
from fastai.text.data import LMDataLoader, Pad_Chunk, SortedDL, TensorText, TextDataLoaders
from fastai.text.learner import language_model_learner, text_classifier_learner
from fastai.text.models.awdlstm import AWD_LSTM, awd_lstm_clas_config, awd_lstm_lm_config
from fastai.torch_core import TensorCategory
from fastcore.foundation import L

from benchmarks.inputs import LABELS, Inputs, our_name
from benchmarks.worker import Window, serve, timed

LR, DECAY = 1e-2, 0.01
LM_DROP, CLASSIFIER_DROP = 0.3, 0.5
# For proofs, in place of 0: at 0, fastai's weight dropout passes the parameter itself to the LSTM, which fails at the next step.
NO_DROP = 1e-12


class Clock(Callback):
    """Times the training of an epoch, skips validation, and keeps the loss of every step."""

    order = 100  # after all other callbacks

    def before_train(self) -> None:
        self.values: list[float] = []
        self.began = time.perf_counter()

    def after_loss(self) -> None:
        self.values.append(float(self.learn.loss))

    def after_train(self) -> None:
        self.seconds = time.perf_counter() - self.began

    def before_validate(self) -> None:
        raise CancelValidException


def lm_step(size: str, threads: int, proof: bool, frozen: bool = False, **_ours: Any) -> Window:
    """Our further settings (sampled softmax, half precision) are ignored: fastai uses the full softmax, and fp32 on a CPU."""
    inputs = start(size, threads)
    ids = TensorText(torch.from_numpy(inputs.stream))
    options = {"lens": [len(ids)], "bs": inputs.size.batch, "seq_len": inputs.size.bptt}
    dls = DataLoaders(*(LMDataLoader([(ids,)], **options) for _ in range(2)))
    learn = language_model(inputs, dls, NO_DROP if proof else LM_DROP)
    return training(learn, frozen, len(ids) - 1)


def classifier_step(
    size: str, threads: int, proof: bool, frozen: bool = False, cached: bool = False
) -> Window:
    """`cached` is ignored: fastai reads the documents in every epoch."""
    inputs = start(size, threads)
    documents = inputs.texts["same" if proof else "train"]
    items = [(TensorText(d), TensorCategory(i % 2)) for i, d in enumerate(documents)]
    lengths = [len(d) for d in documents]
    padding = Pad_Chunk(seq_len=inputs.size.bptt)
    options = {"bs": inputs.size.batch, "res": lengths, "before_batch": padding}
    dls = DataLoaders(*(SortedDL(items, **options) for _ in range(2)))
    drop = {"drop_mult": NO_DROP, "ps": [0.0]} if proof else {"drop_mult": CLASSIFIER_DROP}
    return training(classifier(inputs, dls, **drop), frozen, sum(lengths))


def training(learn: Any, frozen: bool, tokens: int) -> Window:
    """A window is `fit_one_cycle` over one epoch."""
    if frozen:
        learn.freeze()
    clock = Clock()
    learn.add_cb(clock)

    def window() -> dict[str, Any]:
        with quiet(learn):
            learn.fit_one_cycle(1, LR)
        return {"seconds": clock.seconds, "work": tokens, "unit": "tokens", "values": clock.values}

    return window


def one_document(size: str, threads: int, proof: bool, tokens: int, exported: str = "") -> Window:
    inputs = start(size, threads)
    learn, texts = classifier_of_texts(inputs), inputs.texts["single"][str(tokens)]
    calls = [texts[i % len(texts)] for i in range(inputs.size.calls)]

    def window() -> dict[str, Any]:
        with quiet(learn):
            seconds, found = timed(lambda: [learn.predict(text) for text in calls])
        values = [float(probabilities[1]) for _, _, probabilities in found]
        return {"seconds": seconds, "work": len(calls), "unit": "documents", "values": values}

    return window


def documents(size: str, threads: int, proof: bool, exported: str = "") -> Window:
    inputs = start(size, threads)
    learn = classifier_of_texts(inputs)
    texts = inputs.texts["single"]["230"] if proof else inputs.texts["batch"]

    def predict() -> torch.Tensor:
        return learn.get_preds(dl=learn.dls.test_dl(texts))[0]

    def window() -> dict[str, Any]:
        with quiet(learn):
            seconds, rows = timed(predict)
        values = rows[:, 1].tolist()
        return {"seconds": seconds, "work": len(texts), "unit": "documents", "values": values}

    return window


def generate(size: str, threads: int, proof: bool) -> Window:
    inputs = start(size, threads)
    texts, _ = inputs.some
    options = {"is_lm": True, "text_vocab": inputs.vocab, "bs": 2}
    dls = TextDataLoaders.from_df(pd.DataFrame({"text": texts}), text_col="text", **options)
    learn, prompt = language_model(inputs, dls, LM_DROP), inputs.texts["single"]["20"][0]
    words = inputs.size.words

    def window() -> dict[str, Any]:
        with quiet(learn):
            seconds, _ = timed(lambda: learn.predict(prompt, words, no_bar=True))
        return {"seconds": seconds, "work": words, "unit": "words", "values": []}

    def next_word() -> dict[str, Any]:
        learn.model.reset()
        ids = learn.dls.test_dl([prompt]).items[0]
        with quiet(learn):
            rows = learn.get_preds(dl=[(ids[None],)])[0][0][-1]
        return {"seconds": 0.0, "work": 1, "unit": "words", "values": rows[:100].tolist()}

    return next_word if proof else window


def saved(size: str, threads: int, proof: bool, storage: str = "fp32") -> Window:
    """The file of `learn.export`, after a prediction; `storage` is ignored, since there is only one."""
    inputs = start(size, threads)
    learn, file = classifier_of_texts(inputs), inputs.folder / "fastai" / "export.pkl"
    file.parent.mkdir(exist_ok=True)
    with quiet(learn):
        learn.predict(inputs.texts["single"]["230"][0])

    def window() -> dict[str, Any]:
        seconds, _ = timed(lambda: learn.export(file.resolve()))
        size = file.stat().st_size
        return {"seconds": seconds, "work": 1, "unit": "files", "bytes": size, "values": []}

    return window


def start(size: str, threads: int) -> Inputs:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    return Inputs.open(size)


def language_model(inputs: Inputs, dls: DataLoaders, drop_mult: float) -> Any:
    dls.vocab = inputs.vocab
    config = awd_lstm_lm_config | sizes(inputs)
    options = {"config": config, "drop_mult": drop_mult, "pretrained": False, "wd": DECAY}
    learn = language_model_learner(dls, AWD_LSTM, **options)
    fill(learn.model, inputs)
    return learn


def classifier(inputs: Inputs, dls: DataLoaders, **options: Any) -> Any:
    dls.vocab = L(inputs.vocab, LABELS)  # of texts and of labels
    options |= {"config": awd_lstm_clas_config | sizes(inputs), "pretrained": False, "wd": DECAY}
    options |= {"n_out": len(LABELS), "loss_func": CrossEntropyLossFlat()}
    learn = text_classifier_learner(dls, AWD_LSTM, seq_len=inputs.size.bptt, **options)
    fill(learn.model, inputs)
    return learn


def classifier_of_texts(inputs: Inputs) -> Any:
    """A learner whose data loaders tokenize texts, as a user's would."""
    texts, labels = inputs.some
    frame = pd.DataFrame({"text": texts, "label": labels})
    options = {"text_col": "text", "label_col": "label", "text_vocab": inputs.vocab, "bs": 64}
    dls = TextDataLoaders.from_df(frame, path=inputs.folder / "fastai", seed=0, **options)
    return classifier(inputs, dls)


def sizes(inputs: Inputs) -> dict[str, int]:
    size = inputs.size
    return {"emb_sz": size.embedding, "n_hid": size.hidden, "n_layers": size.layers}


def fill(model: torch.nn.Module, inputs: Inputs) -> None:
    """Fills every tensor of fastai's net from ours, including those that are saved twice."""
    weights = {n: torch.from_numpy(inputs.weights[our_name(n)]) for n in model.state_dict()}
    model.load_state_dict(weights)


def quiet(learn: Any) -> Any:
    """A context without progress bars and tables, whose time would be measured too."""
    stack = ExitStack()
    stack.enter_context(learn.no_logging())
    if any(isinstance(cb, ProgressCallback) for cb in learn.cbs):
        stack.enter_context(learn.no_bar())
    return stack


TASKS = {
    "lm_step": lm_step,
    "classifier_step": classifier_step,
    "one_document": one_document,
    "documents": documents,
    "generate": generate,
    "saved": saved,
}

if __name__ == "__main__":
    serve(TASKS)

"""`LanguageModel`: net + tokenizer + config. Vocabulary and direction are never separated from the weights."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from ulmfit.card import write_card
from ulmfit.config import (
    BOS_ID,
    NO_DROPOUT,
    PAD_ID,
    UNKNOWN_ID,
    Direction,
    ModelConfig,
    SamplingConfig,
)
from ulmfit.files.checkpoint import (
    CheckpointError,
    Storage,
    load_json,
    load_net,
    save_json,
    save_tensors,
)
from ulmfit.nn.awd_lstm import State
from ulmfit.nn.heads import LMNet
from ulmfit.nn.losses import lm_loss
from ulmfit.nn.one_by_one import NextWord
from ulmfit.runtime import Runtime
from ulmfit.text.batches import LMBatches
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.rules import SPACE_IN_TOKEN
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.loop import evaluate_loss

KIND = "language_model"
LARGEST = 700.0  # loss; exp of more than about 709 overflows
FORMAT = 1  # version of the saved directory; raised when old files can no longer be read
MOST_LAYERS, MOST_UNITS = 100, 1_000_000  # of a net that `load` accepts


@dataclass
class LanguageModel:
    """An AWD-LSTM language model of one direction."""

    net: LMNet
    tokenizer: Tokenizer
    config: ModelConfig

    @classmethod
    def create(cls, tokenizer: Tokenizer, config: ModelConfig) -> "LanguageModel":
        """A model with random weights (from PyTorch's global generator)."""
        return cls(LMNet(len(tokenizer), config, NO_DROPOUT).eval(), tokenizer, config)

    def save(
        self, path: str | Path, *, storage: Storage = "fp32", card: dict[str, Any] | None = None
    ) -> None:
        """Writes a directory: config.json (with `card`), tokenizer.json, model.safetensors, and the model card README.md."""
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        save_tensors(path / "model.safetensors", self.net.state_dict(), storage=storage)
        self.tokenizer.save(path / "tokenizer.json")
        save_json(
            path / "config.json",
            {"kind": KIND, "format": FORMAT, "model": asdict(self.config), "card": card or {}},
        )
        write_card(path)

    @classmethod
    def load(cls, path: str | Path) -> "LanguageModel":
        """The inverse of `save`. Raises `CheckpointError` naming what is missing, damaged or does not fit."""
        path = Path(path)
        saved = load_json(path / "config.json")
        config = model_config(saved, KIND, path)
        tokenizer = Tokenizer.load(path / "tokenizer.json")
        weights = path / "model.safetensors"
        net = load_net(weights, lambda: LMNet(len(tokenizer), config, NO_DROPOUT))
        return cls(net.eval(), tokenizer, config)

    def with_vocab(self, tokenizer: Tokenizer) -> "LanguageModel":
        """A copy over another vocabulary: known words keep their rows, new words get the mean row (and the mean decoder
        bias), as in fastai's `match_embeds`."""
        known = {token: row for row, token in enumerate(self.tokenizer.vocab)}
        rows = torch.tensor([known.get(token, -1) for token in tokenizer.vocab])
        model = LanguageModel.create(tokenizer, self.config)
        state = self.net.state_dict()
        for name in ("encoder.embedding.weight", "decoder_bias"):
            state[name] = _matched(state[name], rows)
        model.net.load_state_dict(state)
        return model

    def perplexity(
        self, texts: Iterable[str], runtime: Runtime | None = None, *, batch_size: int = 1
    ) -> float:
        """exp of the mean loss per token. The texts are joined to one stream and cut into `batch_size` parallel ones, each of
        which starts without context."""
        corpus = Corpus.build((Document(text) for text in texts), self.tokenizer)
        return self.perplexity_of(corpus, runtime or Runtime.choose(), batch_size=batch_size)

    def perplexity_of(
        self, corpus: Corpus, runtime: Runtime, *, batch_size: int = 1, bptt: int = 72
    ) -> float:
        """`perplexity` of an encoded corpus."""
        backward = self.config.direction == "backward"
        batches = LMBatches(corpus, batch_size, bptt, shuffle=False, backward=backward)
        self.net.to(runtime.device)
        loss = evaluate_loss(self.net, partial(lm_loss, ar=0.0, tar=0.0), batches, runtime)
        return math.exp(loss) if loss < LARGEST else math.inf

    def generate(
        self,
        prompt: str = "",
        sampling: SamplingConfig = SamplingConfig(),
        runtime: Runtime | None = None,
    ) -> str:
        """The prompt, continued; markers such as xxmaj are applied to the word after them. The state is carried from token to
        token, so the cost is linear.

        A backward model takes the prompt as the end of the text and writes, from right to left, what comes before it; the text
        is returned in reading order. Stops after `sampling.tokens` tokens, at the stop token, or where the model ends the
        document.
        """
        _check(sampling, self.tokenizer)
        runtime = runtime or Runtime.choose()
        # Outside of inference mode: parameters that are moved inside it can't be trained afterwards.
        runtime.ready(self.net)
        with torch.inference_mode():
            return self._generate(prompt, sampling, runtime)

    def _generate(self, prompt: str, sampling: SamplingConfig, runtime: Runtime) -> str:
        device = runtime.device
        generator = torch.Generator().manual_seed(sampling.seed)
        backward = self.config.direction == "backward"
        ids = self.tokenizer.encode(prompt).tolist()
        # xxbos comes first in both directions: a backward model meets it at the end of the document that follows.
        read = [BOS_ID, *ids[:0:-1]] if backward else ids
        stop, drawn = stop_ids(sampling.stop, self.tokenizer), list[int]()
        tokens, state = torch.tensor([read], device=device), None
        several = sampling.tokens > 1  # `NextWord` reorders the weights: as costly as a dozen words
        next_word = NextWord(self.net) if several and runtime.one_by_one else self._next
        for _ in range(sampling.tokens):
            with runtime.autocast():
                logits, state = next_word(tokens, state)
            token = draw(logits.float().cpu(), sampling, generator)
            if token == BOS_ID:
                break
            drawn.append(token)
            if token in stop:
                break
            tokens = torch.tensor([[token]], device=device)
        # The prompt's tokens, not its ids: words outside the vocabulary come back as they were.
        given = self.tokenizer.tokenize(prompt)
        new = self.tokenizer.tokens(drawn)
        return self.tokenizer.join([*new[::-1], *given] if backward else [*given, *new])

    def _next(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        out = self.net(tokens, state)
        return self.net.logits(out.raw[0, -1]), out.state


def draw(logits: Tensor, sampling: SamplingConfig, generator: torch.Generator) -> int:
    """An id drawn from `logits` (V,); never xxunk or xxpad."""
    logits = logits.clone()
    logits[[UNKNOWN_ID, PAD_ID]] = -math.inf
    if sampling.temperature == 0:
        return int(logits.argmax())
    logits = logits / sampling.temperature
    if sampling.top_k is not None:
        logits[logits < logits.topk(min(sampling.top_k, len(logits))).values[-1]] = -math.inf
    probabilities = logits.softmax(0)
    if sampling.top_p is not None:
        ordered, order = probabilities.sort(descending=True)
        # the word that crosses top_p stays
        beyond = ordered.cumsum(0) - ordered >= sampling.top_p
        probabilities[order[beyond]] = 0.0
    # By the inverse of the distribution: torch.multinomial draws a number per word and takes twenty times as long.
    cumulative = probabilities.cumsum(0, dtype=torch.float64)
    place = torch.rand((), dtype=torch.float64, generator=generator) * cumulative[-1]
    return int(torch.searchsorted(cumulative, place, right=True))


def _check(sampling: SamplingConfig, tokenizer: Tokenizer) -> None:
    """ValueError for settings out of bounds, or a stop token that is not in the vocabulary."""
    for name, fits, expected in (
        ("tokens", sampling.tokens >= 0, "0 or more"),
        ("temperature", 0 <= sampling.temperature < math.inf, "0 or more"),
        ("top_k", sampling.top_k is None or sampling.top_k >= 1, "1 or more"),
        ("top_p", sampling.top_p is None or 0 < sampling.top_p <= 1, "more than 0, up to 1"),
    ):
        if not fits:
            raise ValueError(f"{name} is {getattr(sampling, name)}; expected {expected}")
    if sampling.stop is not None and not stop_ids(sampling.stop, tokenizer):
        raise ValueError(
            f"stop is {sampling.stop!r}, which is not a token of this model; give one in lower case, such as '.'"
        )


def stop_ids(stop: str | None, tokenizer: Tokenizer) -> set[int]:
    """The ids of the stop token; a SentencePiece piece counts with and without a space before it."""
    return {i for i, t in enumerate(tokenizer.vocab) if stop in (t, t.removeprefix(SPACE_IN_TOKEN))}


def model_config(saved: dict[str, Any], kind: str, path: Path) -> ModelConfig:
    """The encoder's config from a saved config.json. CheckpointError: another kind or format, or a damaged record."""
    if saved.get("kind") != kind:
        raise CheckpointError(f"{path} holds a {saved.get('kind')!r}, not a {kind!r}")
    if saved.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {saved.get('format')!r}, this version reads {FORMAT}; install the version that wrote it"
        )
    try:
        return _checked(ModelConfig(**saved["model"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path / 'config.json'} does not describe a model ({error})"
        ) from None


def _checked(config: ModelConfig) -> ModelConfig:
    """The config. ValueError: sizes or a direction that no net has; a huge one would exhaust memory before any weight is read."""
    for name in ("embedding_size", "hidden_size", "layers"):
        size, most = getattr(config, name), MOST_LAYERS if name == "layers" else MOST_UNITS
        if type(size) is not int or not 1 <= size <= most:
            raise ValueError(f"{name} is {size!r:.40}, expected 1 to {most:,}")
    if config.direction not in get_args(Direction):
        raise ValueError(f"direction is {config.direction!r:.40}")
    return config


def _matched(old: Tensor, rows: Tensor) -> Tensor:
    """`old[rows]`, with the mean of all rows where the index is −1."""
    new = old.mean(dim=0, keepdim=True).expand(len(rows), *old.shape[1:]).clone()
    new[rows >= 0] = old[rows[rows >= 0]]
    return new

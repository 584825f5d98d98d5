"""Text ↔ tokens ↔ ids. A splitter, `Words` or `Pieces`, knows text and tokens; `Tokenizer` adds a vocabulary.

For words the function `tokenize` is the definition; `Words` is faster.
"""

import base64
import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from ulmfit.config import UNKNOWN_ID, TokenizerConfig
from ulmfit.progress import track
from ulmfit.text.chunks import chunks_for
from ulmfit.text.rules import BOS, SPECIAL_TOKENS, Rules, apply_rules, replace_space, undo
from ulmfit.text.sentencepiece import Pieces, train

Ids = NDArray[np.unsignedinteger]  # uint16 up to 65,536 words, else uint32


@cache
def word_splitter(lang: str) -> Any:
    """spaCy's rule-based tokenizer for `lang`, told to leave the special tokens whole.

    ValueError: spaCy has no such language, or needs one more package for it.
    """
    import spacy
    from spacy.symbols import ORTH
    from spacy.tokenizer import Tokenizer as SpacyTokenizer

    try:
        tokenizer: Any = spacy.blank(lang).tokenizer
    except ImportError as error:  # an unknown code, or a language that needs one more package
        raise ValueError(
            f"spaCy can't split texts in lang={lang!r}: {error}. Expected a code such as en, de, fr"
            ' (https://spacy.io/usage/models#languages); "xx" fits any language that writes spaces.'
        ) from error
    if isinstance(tokenizer, SpacyTokenizer):  # Chinese, Japanese … have one without special cases
        for token in SPECIAL_TOKENS:
            tokenizer.add_special_case(token, [{ORTH: token}])
    return tokenizer


def tokenize(text: str, lang: str = "en", rules: Rules = "fastai") -> list[str]:
    """The tokens of a text, `xxbos` first; rules="fastai": exactly those of fastai's bulk path."""
    return [replace_space(token.text) for token in word_splitter(lang)(apply_rules(text, rules))]


@dataclass(frozen=True)
class Words:
    """Text → words and back, by spaCy's rules."""

    lang: str
    rules: Rules

    def split(self, text: str) -> list[str]:
        """As the function `tokenize`, with a memory of what it has split before."""
        chunks = chunks_for(word_splitter(self.lang), self.rules)
        tokens = chunks.tokens(text) if chunks else None
        return tokenize(text, self.lang, self.rules) if tokens is None else [BOS, *tokens]

    def join(self, tokens: Iterable[str]) -> str:
        """Words as text; spaces as English has them."""
        return undo(tokens)


@dataclass(frozen=True)
class Tokenizer:
    """Text → ids and back. A token's id is its place in `vocab`; the special tokens come first."""

    config: TokenizerConfig
    vocab: tuple[str, ...]
    model: bytes | None = field(default=None, repr=False)  # of SentencePiece; words need none

    def __post_init__(self) -> None:
        if self.config.kind != ("words" if self.model is None else "sentencepiece"):
            there = "no" if self.model is None else "a"
            raise ValueError(
                f"A tokenizer is of kind words, or of kind sentencepiece with a model; this one is of"
                f" kind {self.config.kind} with {there} SentencePiece model. Build it from texts."
            )
        if self.vocab[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS:
            raise ValueError(
                f"A vocabulary begins with {' '.join(SPECIAL_TOKENS)}; this one begins with"
                f" {' '.join(self.vocab[: len(SPECIAL_TOKENS)]) or 'nothing'}."
            )
        if len(set(self.vocab)) != len(self.vocab):
            twice = [word for word, n in Counter(self.vocab).items() if n > 1]
            raise ValueError(
                f"Each word stands once in a vocabulary; {len(twice)} are there again: {twice[:5]}."
            )
        if isinstance(self._splitter, Pieces) and self._splitter.vocab != self.vocab:
            raise ValueError(
                f"The vocabulary's {len(self.vocab)} tokens are not the {len(self._splitter.vocab)} of"
                " its SentencePiece model; these do not belong together."
            )

    @classmethod
    def build(
        cls,
        texts: Iterable[str],
        config: TokenizerConfig,
        keep: Sequence[str] = (),
        *,
        say: Callable[[str], object] = lambda line: None,
    ) -> "Tokenizer":
        """Learns the vocabulary of `texts`: special tokens, then pieces, or words by frequency (ties: seen first) and
        behind them those of `keep`, a pretrained model's; `config.max_vocab` in all. `say` hears how many pieces."""
        if config.kind == "sentencepiece":
            if keep:
                raise ValueError(
                    "Pieces can't be added to: use a model's own tokenizer, or learn new ones (keep=())."
                )
            return cls(config, *train(track(texts, "reading", unit="documents"), config, say))
        count, words = Counter[str](), Words(config.lang, config.rules)
        for text in track(texts, "counting words", unit="documents"):
            count.update(words.split(text))
        return cls(config, make_vocab(count, config.max_vocab, config.min_freq, keep))

    def adapted(
        self, texts: Iterable[str], config: TokenizerConfig, *, keep_words: bool
    ) -> "Tokenizer":
        """The tokenizer to fine-tune this one's model with. Words: those of `texts`, then, with `keep_words`, those
        of this vocabulary. Pieces, with `keep_words`, stay as they are: they spell any text of the language."""
        if self.model is not None and keep_words:
            return self
        return Tokenizer.build(texts, config, self.vocab if keep_words else ())

    @cached_property
    def _splitter(self) -> Words | Pieces:
        if self.model is not None:
            return Pieces(self.model, self.config.rules)
        return Words(self.config.lang, self.config.rules)

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text, xxbos first, in the vocabulary or not."""
        return self._splitter.split(text)

    def encode(self, text: str) -> Ids:
        """Ids of a text, xxbos first; tokens outside the vocabulary become xxunk."""
        ids = self._ids
        return np.array([ids.get(t, UNKNOWN_ID) for t in self.tokenize(text)], dtype=self.dtype)

    def tokens(self, ids: Iterable[SupportsIndex]) -> list[str]:
        """The tokens behind ids."""
        return [self.vocab[i] for i in ids]

    def decode(self, ids: Iterable[SupportsIndex]) -> str:
        """Ids as text for people to read; case and spaces are restored from markers, not exact."""
        return self.join(self.tokens(ids))

    def join(self, tokens: Iterable[str]) -> str:
        """As `decode`, of tokens; they may lie outside the vocabulary."""
        return self._splitter.join(tokens)

    @property
    def dtype(self) -> type[np.uint16] | type[np.uint32]:
        """The smallest integer that holds every id."""
        return np.uint16 if len(self.vocab) <= 2**16 else np.uint32

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.vocab)}

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits; equal exactly when the same text gives the same ids."""
        content = json.dumps([asdict(self.config), self.vocab]).encode()
        return hashlib.sha256(content + (self.model or b"")).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.vocab)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def save(self, path: str | Path) -> None:
        """Written as JSON, whole or not at all; with what decides the tokens as well: the SentencePiece model, in
        base64, or the version of spaCy."""
        from ulmfit.checkpoint import atomic  # brings torch, which splitting texts does not need

        content: dict[str, Any] = {"config": asdict(self.config)}
        if self.model is not None:
            content["sentencepiece"] = base64.b64encode(self.model).decode()
        else:
            content["spacy"] = metadata.version("spacy")
        content["vocab"] = self.vocab
        with atomic(Path(path)) as temporary:
            temporary.write_text(
                json.dumps(content, ensure_ascii=False, indent=0) + "\n", encoding="utf-8"
            )

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """What `save` wrote. ValueError: not such a file, or not by this version. ImportError: the extra is missing."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            config, vocab = dict(content["config"]), tuple(content["vocab"])
            stored = content.get("sentencepiece")
            model = None if stored is None else base64.b64decode(stored, validate=True)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'{path} is no tokenizer: expected JSON with "config" and "vocab", got {error!r}.'
            ) from error
        known = {f.name for f in fields(TokenizerConfig)}
        if config.keys() - known:
            raise ValueError(
                f"{path}: unknown config {sorted(config.keys() - known)}, known are"
                f" {sorted(known)}; a newer version of ulmfit may have written it."
            )
        _warn_if_spacy_differs(content.get("spacy"), path)
        try:
            return cls(TokenizerConfig(**config), vocab, model)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def make_vocab(
    count: Counter[str], max_vocab: int, min_freq: int, keep: Sequence[str] = ()
) -> tuple[str, ...]:
    """Special tokens, words seen at least `min_freq` times by frequency, `keep`; cut to size."""
    words = (word for word, n in count.most_common(max_vocab) if n >= min_freq)
    return tuple(dict.fromkeys((*SPECIAL_TOKENS, *words, *keep)))[:max_vocab]


def _warn_if_spacy_differs(then: str | None, path: str | Path) -> None:
    now = metadata.version("spacy")
    if then and then.split(".")[:2] != now.split(".")[:2]:
        warnings.warn(
            f"{path} was made with spaCy {then}, this is {now}: some texts may split differently.",
            stacklevel=3,
        )

"""Text ↔ tokens ↔ ids. A splitter, `Words` or `Pieces`, turns text into tokens; `Tokenizer` adds a vocabulary. Its file
holds all that determines the tokens: spaCy's patterns, or the SentencePiece model."""

import base64
import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, SupportsIndex, get_args

import numpy as np

from ulmfit.config import TokenizerConfig
from ulmfit.files.json_file import read_object
from ulmfit.progress import Say, silent, track
from ulmfit.text.rules import SPECIAL_TOKENS, Rules
from ulmfit.text.sentencepiece import LONE, Pieces, train
from ulmfit.text.splitter import Patterns, strings
from ulmfit.text.words import Ids, TokenIds, Words, spacy_patterns


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Text → ids and back. A token's id is its place in `vocab`; the special tokens come first.

    Equal tokenizers give the same ids for the same text.
    """

    config: TokenizerConfig
    vocab: tuple[str, ...]
    model: bytes | None = field(default=None, repr=False)  # of SentencePiece; None: words
    # for words; None: those of the installed spaCy, taken when first needed
    patterns: Patterns | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.config.kind != ("words" if self.model is None else "sentencepiece"):
            there = "no" if self.model is None else "a"
            raise ValueError(
                "A tokenizer of kind sentencepiece has a SentencePiece model, one of kind words has none; this one is"
                f" of kind {self.config.kind} with {there} model. Build it from texts."
            )
        if self.vocab[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS:
            raise ValueError(
                f"A vocabulary begins with {' '.join(SPECIAL_TOKENS)}; this one begins with"
                f" {' '.join(self.vocab[: len(SPECIAL_TOKENS)]) or 'nothing'}."
            )
        if len(set(self.vocab)) != len(self.vocab):
            twice = [word for word, n in Counter(self.vocab).items() if n > 1]
            raise ValueError(
                f"A vocabulary holds each word once; {len(twice)} are repeated: {twice[:5]}."
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
        patterns: Patterns | None = None,
        say: Say = silent,
    ) -> "Tokenizer":
        """Learns the vocabulary of `texts`: special tokens, then pieces, or words by falling frequency (ties: first seen
        first) and after them `keep`, a pretrained model's vocabulary; at most `config.max_vocab` in all. `patterns` None:
        the installed spaCy's. `say` is told how many pieces there are, and of a language whose splitting can't be saved."""
        if config.kind == "sentencepiece":
            if keep:
                raise ValueError(
                    "SentencePiece's pieces can't be added to: use a model's own tokenizer, or learn new pieces (keep=())."
                )
            return cls(config, *train(track(texts, "reading", unit="documents"), config, say))
        patterns = patterns or spacy_patterns(config.lang)
        if patterns is None:
            say(
                f"lang={config.lang}: spaCy splits this language by more than patterns, so its rules are not"
                " saved with the model; another version of spaCy may split differently, and slowly"
            )
        words = Words(config.lang, config.rules, patterns)
        count = words.count(track(texts, "counting words", unit="documents"))
        vocab = make_vocab(count, config.max_vocab, config.min_freq, keep)
        return cls(config, vocab, patterns=patterns)

    def adapted(
        self, texts: Iterable[str], config: TokenizerConfig, *, keep_words: bool
    ) -> "Tokenizer":
        """The tokenizer for fine-tuning this one's model. Words: those of `texts`, then, with `keep_words`, those of this
        vocabulary. Pieces, with `keep_words`, stay as they are: they spell any text of the language."""
        if self.model is not None and keep_words:
            return self
        patterns = self.patterns if config.lang == self.config.lang else None
        return Tokenizer.build(texts, config, self.vocab if keep_words else (), patterns=patterns)

    @cached_property
    def _splitter(self) -> Words | Pieces:
        if self.model is not None:
            return Pieces(self.model, self.config.rules)
        return Words(self.config.lang, self.config.rules, self.patterns)

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text, xxbos first, in the vocabulary or not."""
        return self._splitter.split(text)

    def may_join(self, left: str, right: str) -> bool:
        """Whether the tokens of `left` may change when `right`, white space and a word, follows it. ValueError: a language
        for which that is unknown."""
        return self._splitter.may_join(left, right)

    def encode(self, text: str) -> Ids:
        """Ids of a text, xxbos first; tokens outside the vocabulary become xxunk."""
        return next(self.encode_all([text]))

    def encode_all(self, texts: Iterable[str]) -> Iterator[Ids]:
        """`encode` of each text, in order; much faster, and reads `texts` some way ahead."""
        if isinstance(self._splitter, Words):
            return self._splitter.encode(texts, self._ids)
        return (self._ids.of(self.tokenize(text)) for text in texts)

    def tokens(self, ids: Iterable[SupportsIndex]) -> list[str]:
        """The tokens behind ids."""
        return [self.vocab[i] for i in ids]

    def decode(self, ids: Iterable[SupportsIndex]) -> str:
        """Ids as readable text; case and spaces are restored, but not always exactly."""
        return self.join(self.tokens(ids))

    def join(self, tokens: Iterable[str]) -> str:
        """As `decode`, for tokens, which may be outside the vocabulary."""
        return self._splitter.join(tokens)

    @property
    def dtype(self) -> type[np.uint16] | type[np.uint32]:
        """The smaller of the two that holds every id."""
        return np.uint16 if len(self.vocab) <= 2**16 else np.uint32

    @cached_property
    def _ids(self) -> TokenIds:
        return TokenIds(self.vocab, self.dtype)

    @cached_property
    def _saved_patterns(self) -> Patterns | None:
        """Of words: the patterns that are saved; the installed spaCy's where none were given."""
        if self.model is not None:
            return None
        return self.patterns or spacy_patterns(self.config.lang)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of config, vocabulary and patterns or model: where equal, the same text gives the same ids."""
        content = json.dumps([asdict(self.config), self.vocab]).encode()
        patterns = self._saved_patterns
        splitter = self.model or (patterns.digest.encode() if patterns else b"")
        return hashlib.sha256(content + splitter).hexdigest()[:16]

    def splits_as(self, other: "Tokenizer") -> bool:
        """Whether both make the same tokens of every text; the vocabularies may differ."""

        def splitting(tokenizer: Tokenizer) -> tuple[object, ...]:
            config = tokenizer.config
            return (
                config.kind,
                config.lang,
                config.rules,
                tokenizer.model,
                tokenizer._saved_patterns,
            )

        return splitting(self) == splitting(other)

    def __len__(self) -> int:
        return len(self.vocab)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def save(self, path: str | Path) -> None:
        """Writes JSON, atomically, with what determines the tokens: the SentencePiece model in base64, or spaCy's patterns
        and version."""
        # imported here, since it brings torch, which splitting texts does not need
        from ulmfit.files.checkpoint import atomic

        content: dict[str, Any] = {"config": asdict(self.config)}
        if self.model is not None:
            content["sentencepiece"] = base64.b64encode(self.model).decode()
        elif patterns := self._saved_patterns:
            content |= {"spacy": patterns.spacy, "spacy_patterns": patterns.to_json()}
        else:
            content["spacy"] = metadata.version("spacy")
        content["vocab"] = self.vocab
        with atomic(Path(path)) as temporary:
            temporary.write_text(_as_json(content), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """What `save` wrote. ValueError: another kind of file, or a newer version's. ImportError: no SentencePiece."""
        try:
            content = read_object(Path(path))
            config, vocab = dict(content["config"]), strings(content["vocab"])
            stored = content.get("sentencepiece")
            model = None if stored is None else base64.b64decode(stored, validate=True)
            saved = content.get("spacy_patterns")
            patterns = None if saved is None else Patterns.from_json(saved)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(
                f'{path} is not a tokenizer: expected JSON with "config" and "vocab", got {error!r}.'
            ) from error
        known = {f.name for f in fields(TokenizerConfig)}
        if config.keys() - known:
            raise ValueError(
                f"{path}: unknown config {sorted(config.keys() - known)}, known are"
                f" {sorted(known)}; a newer version of ulmfit may have written it."
            )
        if patterns is None:
            version = content.get("spacy")
            _warn_if_spacy_differs(version if isinstance(version, str) else None, path)
        try:
            return cls(_checked(TokenizerConfig(**config)), vocab, model, patterns)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error


def _checked(config: TokenizerConfig) -> TokenizerConfig:
    """`config` itself. TypeError or ValueError: it has values that no tokenizer can have."""
    if config.rules not in get_args(Rules) or not isinstance(config.lang, str):
        raise ValueError(f"config: rules {config.rules!r:.40}, lang {config.lang!r:.40}")
    if not type(config.max_vocab) is type(config.min_freq) is int:
        raise TypeError("config: max_vocab and min_freq must be whole numbers")
    return config


def make_vocab(
    count: Counter[str], max_vocab: int, min_freq: int, keep: Sequence[str] = ()
) -> tuple[str, ...]:
    """Special tokens, words seen at least `min_freq` times by falling frequency, `keep`; the first `max_vocab` of them."""
    words = (word for word, n in count.most_common(max_vocab) if n >= min_freq)
    return tuple(dict.fromkeys((*SPECIAL_TOKENS, *words, *keep)))[:max_vocab]


def _as_json(content: dict[str, Any]) -> str:
    """JSON with a line for each word of the vocabulary, each field of the config and each of spaCy's tables."""

    def entries(values: dict[str, Any]) -> str:
        lines = (f"{json.dumps(name)}: {dumped(value)}" for name, value in values.items())
        return "{\n" + ",\n".join(lines) + "\n}"

    def dumped(value: Any) -> str:
        if isinstance(value, dict) and value is not exceptions:
            return entries(value)
        indent = 0 if value is content["vocab"] else None
        # a lone surrogate, as cut JSON gives, can't be encoded
        return LONE.sub(
            lambda half: f"\\u{ord(half[0]):04x}",
            json.dumps(value, ensure_ascii=False, indent=indent),
        )

    exceptions = content.get("spacy_patterns", {}).get("exceptions")
    return entries(content) + "\n"


def _warn_if_spacy_differs(saved: str | None, path: str | Path) -> None:
    if saved and saved.split(".")[:2] != (now := metadata.version("spacy")).split(".")[:2]:
        warnings.warn(
            f"{path} was made with spaCy {saved}, and this is {now}: some texts may split differently.",
            stacklevel=3,
        )

"""SentencePiece: tokens that are pieces of words, learnt from the texts; for languages rich in word forms, or without spaces.

The settings are fastai's (2.8.12, `SentencePieceTokenizer`). Needs the extra `sentencepiece`.
"""

import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ulmfit.config import TokenizerConfig
from ulmfit.progress import Say
from ulmfit.text.rules import BOS, PAD, SPECIAL_TOKENS, Rules, apply_rules, expand

LONE = re.compile("[\ud800-\udfff]")  # surrogates, which have no UTF-8; read as U+FFFD
SPACE = "▁"  # U+2581 begins a piece that follows a space
MOST_PIECES, FEWEST_PIECES = 30_000, 29  # special tokens included (fastai)
WORDS_PER_PIECE = 4  # distinct words for each piece (fastai)
# European languages are covered nearly whole, those with thousands of characters less so (fastai's list and numbers).
EUROPEAN = "bg cs da de el en es et fi fr ga hr hu it lt lv mt nl pl pt ro sk sl sv"
COVERAGE_EUROPEAN, COVERAGE_OTHERS = 0.99999, 0.9998
# bytes; SentencePiece's own limit is 4,192, and it skips longer texts silently
LONGEST_TEXT = 2**30


def library() -> Any:
    """The package, or an `ImportError` that names it."""
    try:
        import sentencepiece
    except ImportError:
        raise ImportError(
            'a tokenizer of kind "sentencepiece" needs one more package: pip install sentencepiece'
        ) from None
    return sentencepiece


class Pieces:
    """Text → pieces and back, by a trained model. `vocab`: special tokens, then the pieces in the model's order."""

    def __init__(self, model: bytes, rules: Rules) -> None:
        """ValueError: `model` is not the bytes of a SentencePiece model."""
        package = library()
        if not model:  # the package would accept it, and fail later
            raise ValueError("This SentencePiece model is empty.")
        try:
            self._processor = package.SentencePieceProcessor(model_proto=model)
            known = [self._processor.id_to_piece(i) for i in range(len(self._processor))]
        except RuntimeError as error:
            raise ValueError(f"This is not a SentencePiece model: {error}.") from error
        self.rules: Rules = rules
        pieces = (_plain(p) for i, p in enumerate(known) if i != self._processor.unk_id())
        self.vocab = tuple(dict.fromkeys((*SPECIAL_TOKENS, *pieces)))

    def split(self, text: str) -> list[str]:
        """The pieces of a text, xxbos first. Characters that the model does not know are kept as they are."""
        marked = LONE.sub("\ufffd", apply_rules(text, self.rules))
        return [_plain(p) for p in self._processor.encode(marked, out_type=str)]

    def may_join(self, left: str, right: str) -> bool:
        """Never: no piece reaches across a space."""
        return False

    def places(self, marked: str) -> list[int]:
        """For each piece of a text that has gone through the rules, where its chunk (what stands between spaces) begins;
        no piece reaches across a space."""
        chunks = re.finditer(r"\S+", LONE.sub("\ufffd", marked))
        return [c.start() for c in chunks for _ in self._processor.encode(c[0], out_type=str)]

    def join(self, tokens: Iterable[str]) -> str:
        """Pieces as text: markers undone on whole words, spaces where the pieces have them, no xxbos or xxpad."""
        kept = (t for t in tokens if t not in (BOS, PAD))
        text = "".join(f" {t} " if t in SPECIAL_TOKENS else t for t in kept)
        return " ".join(expand(text.replace(SPACE, " ").split()))


def train(texts: Iterable[str], config: TokenizerConfig, say: Say) -> tuple[tuple[str, ...], bytes]:
    """Learns (vocabulary, model) from the texts, after the rules. `say` is told how many pieces there are, and why.

    As many pieces as fastai would ask for; where the texts have more distinct characters than that, and fastai fails,
    the number is doubled until they fit. ValueError: there is nothing to learn from.
    """
    marked = [apply_rules(text, config.rules) for text in texts]
    wanted = size = n_pieces(marked, config.max_vocab)
    while (model := _trained(marked, size, config.lang)) is None:
        size *= 2
    vocab = Pieces(model, config.rules).vocab
    line = f"SentencePiece: {len(vocab):,} pieces, special tokens included; {wanted:,} were wanted"
    if size > wanted:
        line += f", too few for the characters of these texts, so {size:,} were allowed"
    say(line)
    return vocab, model


def n_pieces(marked: Sequence[str], max_vocab: int) -> int:
    """How many pieces to ask for: a quarter of the distinct words, in steps of 8, within fastai's limits and `max_vocab`."""
    distinct = {word for text in marked for word in text.split()}
    quarter = -(-(len(distinct) // WORDS_PER_PIECE) // 8) * 8
    return min(max(quarter, FEWEST_PIECES), MOST_PIECES, max_vocab)


def _trained(marked: Sequence[str], size: int, lang: str) -> bytes | None:
    """The model's bytes; None where `size` is too small for the characters."""
    written = io.BytesIO()
    try:
        library().SentencePieceTrainer.train(
            sentence_iterator=iter(marked), model_writer=written, **settings(size, lang)
        )
    except RuntimeError as error:
        if "smaller than required_chars" in str(error):
            return None
        raise ValueError(
            f"SentencePiece can't learn from these {len(marked)} texts ({error}); give more text, or "
            "--tokenizer.kind words."
        ) from error
    return written.getvalue()


def settings(size: int, lang: str) -> dict[str, Any]:
    """The options of SentencePiece's trainer."""
    return {
        "model_type": "unigram",
        "vocab_size": size,
        "hard_vocab_limit": False,  # fewer pieces, where the texts have no more
        "character_coverage": COVERAGE_EUROPEAN if lang in EUROPEAN.split() else COVERAGE_OTHERS,
        "user_defined_symbols": [SPACE + token for token in SPECIAL_TOKENS],
        "unk_id": len(SPECIAL_TOKENS),
        "pad_id": -1,
        "bos_id": -1,
        "eos_id": -1,
        "max_sentence_length": LONGEST_TEXT,
        "minloglevel": 2,  # errors come as exceptions
    }


def _plain(piece: str) -> str:
    """A piece as the vocabulary has it: special tokens without the space that the model has in front of them."""
    name = piece.removeprefix(SPACE)
    return name if name in SPECIAL_TOKENS else piece

"""`ulmfit tokenize`: its fields are the flags, its docstring is the help."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from ulmfit.commands.flags import DIR, FILES, MODEL, Flat, Sources, given, note
from ulmfit.config import TokenizerConfig

if TYPE_CHECKING:
    from ulmfit.text.parallel import Workers
    from ulmfit.text.shards import Shard
    from ulmfit.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Tokenize:
    """Turn texts into a corpus of token ids once, for many trainings: pretrain-lm and finetune-lm read its directory in place of files.

    On several machines: run the command with --shard 1/N … N/N, which counts words; then with --merge DIR, which builds the
    vocabulary from all counts; then the first commands again, which write the ids. DIR then holds the same corpus as from one machine.
    """

    # files or folders of plain text (also .gz .bz2 .xz), tables, or data sets' names
    texts: Positional[Annotated[tuple[str, ...], FILES]] = ()
    out: Annotated[str | None, DIR] = None  # directory to write
    # take tokenizer and vocabulary from this language model, or from a corpus
    vocab_of: Annotated[str | None, MODEL] = None
    # the part of the texts for this machine, such as 2/8
    shard: Annotated[str | None, arg(metavar="NUMBER/OF")] = None
    # build the vocabulary from the counts in this directory; no texts are read
    merge: Annotated[str | None, DIR] = None
    workers: int = 1  # processes; the result does not depend on their number
    overwrite: bool = False  # replace what is there
    columns: Annotated[Sources, Flat] = Sources()
    tokenizer: TokenizerConfig = TokenizerConfig()  # how text becomes tokens

    def run(self) -> None:
        from ulmfit.checks import check_tokenizer
        from ulmfit.text.parallel import Workers
        from ulmfit.text.shards import Shard

        if self.merge is not None:
            self._merge(Path(self.merge))
            return
        if not self.texts or self.out is None:
            raise ValueError("give texts and --out DIR, or --merge DIR")
        if self.vocab_of and self.tokenizer != TokenizerConfig():
            raise ValueError(
                "--vocab-of takes the tokenizer of a model as it is; leave out --tokenizer.*, or --vocab-of"
            )
        check_tokenizer(self.tokenizer)
        self.columns.check(*self.texts)
        with Workers(self.workers) as workers:
            if self.shard is None:
                self._whole(Path(self.out), workers)
            else:
                self._part(Path(self.out), Shard.parse(self.shard), workers)

    def _stream(self) -> Iterator[str]:
        return self.columns.stream(self.texts, note)

    def _whole(self, out: Path, workers: "Workers") -> None:
        """Everything on this machine."""
        from ulmfit.text.encoding import build, encode
        from ulmfit.text.tokenizer import Tokenizer

        if out.exists() and not self.overwrite:
            raise ValueError(f"{out} already exists; give another --out, or --overwrite")
        tokenizer, texts = self._named_tokenizer(), self._stream()
        if tokenizer is None and self.tokenizer.kind == "sentencepiece":
            note("SentencePiece learns from all texts at once: they are held in memory")
            texts = list(texts)
            tokenizer = Tokenizer.build(texts, self.tokenizer, say=note)
        if tokenizer is None:
            counts = build(texts, self.tokenizer, out, workers)
            note(f"{counts.seen}, {len(counts.numbers):,} different words")
        else:
            encode(texts, tokenizer, out, workers)
        self._describe(out)

    def _part(self, out: Path, shard: "Shard", workers: "Workers") -> None:
        """Writes a shard's counts while there is no vocabulary, its ids once there is."""
        from ulmfit.text.counts import Counts, count, path_of
        from ulmfit.text.encoding import encode
        from ulmfit.text.tokenizer import Tokenizer

        if (out / "corpus.json").exists():
            raise ValueError(f"{out} holds a corpus made on one machine; give another --out")
        file, named, seen = out / "tokenizer.json", self._named_tokenizer(), None
        if named is None and not file.exists():
            count(self._stream(), self.tokenizer, workers, shard).save(out)
            note(f"counted shard {shard}; when all are counted: ulmfit tokenize --merge {out}")
            return
        if named is None:
            counts = Counts.load(path_of(out, shard))
            tokenizer, seen = Tokenizer.load(file), counts.seen
            self._check(tokenizer, file)
        elif file.exists() and Tokenizer.load(file) != named:
            raise ValueError(f"{file} is not the tokenizer of {self.vocab_of}; give another --out")
        else:
            named.save(file)
            tokenizer = named
        path = out / f"shard-{shard.number}"
        if path.exists() and not self.overwrite:
            raise ValueError(f"{path} already exists; --overwrite writes it again")
        encode(self._stream(), tokenizer, path, workers, shard, expected=seen)
        note(f"saved shard {shard} in {path}; when all are there, {out} is a corpus")

    def _merge(self, folder: Path) -> None:
        from ulmfit.text.counts import merge

        flags = given(self, "out", "vocab_of", "shard") + given(self.columns)
        flags += [flag.replace("--", "--tokenizer.") for flag in given(self.tokenizer)]
        if self.texts or flags:
            raise ValueError(
                "--merge DIR stands alone: it takes files and flags from the counts; leave out "
                + ", ".join(["the files"] * bool(self.texts) + flags)
            )
        if (folder / "tokenizer.json").exists() and not self.overwrite:
            raise ValueError(
                f"{folder / 'tokenizer.json'} already exists: go on with the shards, or merge again"
                " with --overwrite, and write all shards again"
            )
        tokenizer = merge(folder)
        tokenizer.save(folder / "tokenizer.json")
        note(
            f"{len(tokenizer):,} words in {folder / 'tokenizer.json'}; now repeat the same commands"
            " to write the shards"
        )

    def _named_tokenizer(self) -> "Tokenizer | None":
        """The tokenizer of the model or corpus that --vocab-of names; None without the flag."""
        from ulmfit.pretrained import find
        from ulmfit.text.tokenizer import Tokenizer

        if self.vocab_of is None:
            return None
        corpus = Path(self.vocab_of)
        folder = corpus if (corpus / "corpus.json").exists() else find(self.vocab_of)
        return Tokenizer.load(folder / "tokenizer.json")

    def _check(self, tokenizer: "Tokenizer", file: Path) -> None:
        if tokenizer.config != self.tokenizer:
            raise ValueError(
                f"{file} was made with {tokenizer.config}, this command asks for {self.tokenizer}; repeat"
                " the command that counted"
            )

    def _describe(self, out: Path) -> None:
        from ulmfit.text.corpus import Corpus

        corpus = Corpus.load(out)
        assert corpus.tokenizer is not None
        note(
            f"saved in {out}: {len(corpus):,} documents, {corpus.n_tokens:,} tokens,"
            f" {len(corpus.tokenizer):,} words; ulmfit pretrain-lm {out} reads it"
        )

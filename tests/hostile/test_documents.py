"""Long documents, many of them, many classes, and texts with nothing in them."""

import gc
import io
import sys
import weakref
from pathlib import Path

import polars
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ulmfit import predict_table as predicting
from ulmfit.classifier import TextClassifier
from ulmfit.config import ClassifierConfig
from ulmfit.language_model import LanguageModel
from ulmfit.predict_table import predict_table
from ulmfit.runtime import Runtime
from ulmfit.text import pieces
from ulmfit.text.batches import MOST_TOKENS, DocumentBatches
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.files import DataError
from ulmfit.text.tables import Table

STRANGE = ["", " ", "🙂", "\x00", "\x00" * 1000, "\ud800", "\n" * 500, "xxunk xxpad xxbos", "a" * 10**5]  # fmt: skip


@pytest.fixture
def classifier(lm: LanguageModel) -> TextClassifier:
    return TextClassifier.create(lm, ("bad", "good"), ClassifierConfig())


def test_texts_with_nothing_in_them(classifier: TextClassifier, runtime: Runtime) -> None:
    found = classifier.predict(STRANGE, runtime)
    for text, together in zip(STRANGE, found, strict=True):
        alone = classifier.predict(text, runtime)
        assert alone.label == together.label
        assert alone.probability == pytest.approx(together.probability, abs=1e-5)


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=30), st.integers(1, 8))
def test_prediction_batches_are_bounded(lengths: list[int], batch_size: int) -> None:
    import numpy as np

    from ulmfit.text import batches

    offsets = np.concatenate([[0], np.cumsum(lengths)])
    corpus = Corpus(np.zeros(offsets[-1], np.uint16), offsets, None, (), "")
    before, batches.MOST_TOKENS = batches.MOST_TOKENS, 5000
    try:
        made = DocumentBatches(corpus, batch_size, shuffle=False)
        found = list(made.epoch(0))
    finally:
        batches.MOST_TOKENS = before
    assert len(found) == made.steps_per_epoch
    seen = torch.cat([batch.index for batch in found]).tolist()
    assert sorted(seen) == list(range(len(lengths)))
    for batch in found:
        assert batch.tokens.numel() <= 5000 or len(batch.index) == 1
        assert len(batch.index) <= batch_size
    assert MOST_TOKENS >= 64 * 16_000  # ordinary batches stay as they are


def test_a_longer_document_needs_no_more_memory_in_the_net(
    classifier: TextClassifier, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The net reads piece by piece: what it holds at once does not grow with the document."""
    largest = list[int]()
    encoder = classifier.net.encoder

    def watch(module: object, arguments: object, out: object) -> None:
        largest.append(max(t.numel() for t in gc.get_objects() if type(t) is torch.Tensor and t.is_floating_point()))  # fmt: skip

    handle = encoder.register_forward_hook(watch)
    most = list[int]()
    for words in (4_000, 8_000):
        largest.clear()
        corpus = Corpus.build([Document("good " * words)], classifier.tokenizer, description="")
        classifier.probabilities_of(corpus, runtime)
        most.append(max(largest))
    handle.remove()
    assert most[0] == most[1]


def many(rows: int) -> str:
    return "id,text\n" + "".join(f"{n},text number {n} is good\n" for n in range(rows))


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables count as large at once, and go in pieces of some rows."""
    monkeypatch.setattr(pieces, "LARGE", 1)
    monkeypatch.setattr(predicting, "LARGE", 1)
    monkeypatch.setattr(pieces, "ROWS", 7)
    real = pieces.separated.pieces
    monkeypatch.setattr(pieces.separated, "pieces", lambda lines, separator: real(lines, separator, 100))  # fmt: skip


@pytest.mark.parametrize("out", [".csv", ".tsv", ".jsonl", ".parquet", None])
@pytest.mark.parametrize("source", [".csv", ".jsonl", ".parquet", "-"])
@pytest.mark.usefixtures("small_pieces")
def test_pieces_are_the_whole_and_in_order(
    classifier: TextClassifier, runtime: Runtime, tmp_path: Path, source: str, out: str | None,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    frame = polars.read_csv(io.StringIO(many(50)), infer_schema=False)
    path = tmp_path / f"in{source}"
    if source == "-":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(many(50).encode())))
    else:
        {".csv": frame.write_csv, ".jsonl": frame.write_ndjson, ".parquet": frame.write_parquet}[source](path)  # fmt: skip
    target, said = out and str(tmp_path / f"out{out}"), list[str]()
    name = "-" if source == "-" else str(path)
    predict_table(classifier, name, target, None, runtime, say=said.append)
    if target is None:
        found = polars.read_csv(io.StringIO(capsys.readouterr().out), infer_schema=False)
    elif out == ".parquet":
        found = polars.read_parquet(target)
    elif out == ".jsonl":
        found = polars.read_ndjson(target)
    else:
        found = polars.read_csv(target, separator="\t" if out == ".tsv" else ",")
    assert [int(n) for n in found["id"]] == list(range(50))
    wanted = classifier.predict(frame["text"].to_list(), runtime)
    assert found["prediction"].to_list() == [p.label for p in wanted]
    assert [float(p) for p in found["probability"]] == pytest.approx(
        [p.probability for p in wanted], abs=1e-5
    )
    assert sum("is column" in line for line in said) == 1
    assert {p.name for p in tmp_path.iterdir()} <= {path.name, f"out{out}"}


@pytest.mark.usefixtures("small_pieces")
def test_bad_rows_of_all_pieces_are_told_together(
    classifier: TextClassifier, runtime: Runtime, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text(many(30) + "30,\nonly one\n" + "31,good\n" * 20 + "x,y,z\n")
    source, out, said = str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), list[str]()
    with pytest.raises(DataError, match="no text in 1 row"):
        predict_table(classifier, source, out, None, runtime, say=said.append)
    assert not Path(out).exists()
    said.clear()
    predict_table(classifier, source, out, None, runtime, on_bad="skip", say=said.append)
    assert polars.read_csv(out).height == 51
    assert sum("3 of 53 rows skipped" in line for line in said) == 1


@pytest.mark.usefixtures("small_pieces")
def test_columns_that_come_later(
    classifier: TextClassifier, runtime: Runtime, tmp_path: Path
) -> None:
    rows = ['{"text": "good"}\n'] * 9 + ['{"text": "bad", "more": 1}\n']
    (tmp_path / "in.jsonl").write_text("".join(rows))
    source = str(tmp_path / "in.jsonl")
    with pytest.raises(DataError, match=r"'more' are not in all parts.*\.jsonl"):
        predict_table(classifier, source, str(tmp_path / "o.csv"), None, runtime, say=str)
    predict_table(classifier, source, str(tmp_path / "o.parquet"), None, runtime, say=str)
    assert polars.read_parquet(tmp_path / "o.parquet")["more"].to_list() == [None] * 9 + [1]


@pytest.mark.usefixtures("small_pieces")
def test_many_rows_are_not_held(
    classifier: TextClassifier, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a table in many pieces two are there at once, whatever its length: the one in work, and the one being read."""
    made, most = list[weakref.ref[Table]](), list[int]()
    real = pieces.rows_table

    def watched(*arguments: object) -> Table:
        table = real(*arguments)  # type: ignore[arg-type]
        made.append(weakref.ref(table))
        most.append(sum(one() is not None for one in made))
        return table

    monkeypatch.setattr(pieces, "rows_table", watched)
    (tmp_path / "in.csv").write_text(many(300))
    predict_table(classifier, str(tmp_path / "in.csv"), str(tmp_path / "o.csv"), None, runtime, say=str)  # fmt: skip
    assert len(most) > 50 and max(most) <= 3  # itertools.tee held 57

"""`ulmfit tokenize` as people type it, and trainings that read what it wrote."""

import filecmp
import re
from pathlib import Path

import numpy as np
import polars
import pytest

from ulmfit.cli import main
from ulmfit.language_model import LanguageModel
from ulmfit.text import shards
from ulmfit.text.corpus import Corpus
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.training.log import read_records

Captured = pytest.CaptureFixture[str]
FLAGS = "--split-on line --tokenizer.min-freq 2"
BOTH = "texts b.csv --tokenizer.min-freq 2"  # a folder with a file a text, and a table


@pytest.fixture(autouse=True)
def here(
    reviews: list[Document], lm_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with 40 texts, as a.txt and as a folder, 20 more in b.csv, and language models in `pretrained`; blocks are small."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shards, "BATCH_CHARACTERS", 300)
    texts = [d.text for d in reviews]
    Path("a.txt").write_text("\n".join(texts[:40]) + "\n")
    Path("few.txt").write_text("\n".join(texts[:9]) + "\n")
    for number, text in enumerate(texts[:40]):
        Path("texts").mkdir(exist_ok=True)
        Path(f"texts/{number:02}.txt").write_text(text)
    polars.DataFrame({"text": texts[40:]}).write_csv("b.csv")


def run(line: str) -> None:
    main(line.split())


def error(line: str) -> str:
    with pytest.raises(SystemExit) as ended:
        run(line)
    return str(ended.value.code)


def same(*paths: str) -> bool:
    return all(filecmp.cmp(paths[0], other, shallow=False) for other in paths[1:])


def test_files_become_a_corpus(reviews: list[Document], capsys: Captured) -> None:
    run(f"tokenize {BOTH} --out c")
    corpus, said = Corpus.load("c"), capsys.readouterr().err
    assert [corpus.tokenizer.encode(d.text).tolist() for d in reviews] == [
        i.tolist() for i in corpus
    ]
    assert said.count("text is column 'text'") == 1  # though files are read twice
    assert "60 documents of" in said and "different words" in said
    assert "ulmfit pretrain-lm c reads it" in said
    assert "c already exists" in error(f"tokenize a.txt --out c {FLAGS}")
    run(f"tokenize a.txt --out c --overwrite {FLAGS}")
    assert len(Corpus.load("c")) == 40


def test_shards_make_the_corpus_of_one_machine(capsys: Captured) -> None:
    run(f"tokenize {BOTH} --out whole")
    for number in (2, 3, 1):
        run(f"tokenize {BOTH} --out c --shard {number}/3")
    assert "when all are counted: ulmfit tokenize --merge c" in capsys.readouterr().err
    assert "not an encoded corpus" in error("pretrain-lm c --out run")
    run("tokenize --merge c")
    for number in (3, 1, 2):
        run(f"tokenize {BOTH} --out c --shard {number}/3")
    assert same("whole/tokenizer.json", "c/tokenizer.json", "c/shard-2/tokenizer.json")
    whole, corpus = Corpus.load("whole"), Corpus.load("c")
    np.testing.assert_array_equal(np.asarray(corpus.ids), whole.ids)
    np.testing.assert_array_equal(corpus.offsets, whole.offsets)


def test_a_single_shard_is_a_corpus() -> None:
    run(f"tokenize a.txt --out whole {FLAGS}")
    run(f"tokenize a.txt --out c --shard 1/1 {FLAGS}")
    run("tokenize --merge c")
    run(f"tokenize a.txt --out c --shard 1/1 {FLAGS}")
    assert Corpus.load("c").fingerprint == Corpus.load("whole").fingerprint


def test_shards_that_went_wrong_are_refused() -> None:
    again = f"tokenize a.txt --out c --shard 1/2 {FLAGS}"
    run(again)
    assert "lacks the counts of 1 of 2 shards" in error("tokenize --merge c")
    run(again.replace("1/2", "2/2"))
    run("tokenize --merge c")
    assert "already exists: go on" in error("tokenize --merge c")
    assert "repeat the command that counted" in error(again.replace("min-freq 2", "min-freq 3"))
    assert "not the texts that were counted" in error(again.replace("a.txt", "few.txt"))
    run(again)
    assert "--overwrite writes it again" in error(again)
    assert "lacks 1 of 2 shards" in error("pretrain-lm c --out run")
    run(f"tokenize a.txt --out d {FLAGS}")
    assert "corpus made on one machine" in error(again.replace("--out c", "--out d"))


def test_shards_with_a_given_vocabulary_need_no_counts() -> None:
    for number in (1, 2):
        run(f"tokenize a.txt --split-on line --out c --shard {number}/2 --vocab-of pretrained")
    corpus = Corpus.load("c")
    assert len(corpus) == 40
    lm = LanguageModel.load("pretrained/forward/language_model")
    assert corpus.tokenizer == lm.tokenizer == Tokenizer.load("c/tokenizer.json")


def test_the_vocabulary_may_be_that_of_a_corpus() -> None:
    run(f"tokenize a.txt --out c {FLAGS}")
    run("tokenize few.txt --split-on line --out d --vocab-of c")
    assert same("c/tokenizer.json", "d/tokenizer.json")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("tokenize", "give texts and --out DIR, or --merge DIR"),
        ("tokenize a.txt", "give texts and --out DIR, or --merge DIR"),
        ("tokenize a.txt --out c --shard 3/2", "expected number/of"),
        ("tokenize a.txt --merge c", "stands alone"),
        (
            "tokenize --merge c --tokenizer.min-freq 9",
            "stands alone: it takes files and flags from the counts; leave out --tokenizer.min-freq",
        ),
        ("tokenize --merge c --split-on line --out d", "; leave out --out, --split-on"),
        ("tokenize --merge c", "holds no counts"),
        ("tokenize a.txt --out c --workers 0", "expected 1 or more"),
        ("tokenize a.txt --out c --tokenizer.max-vocab 3", "no room for a word"),
        ("tokenize a.txt --out c --vocab-of pretrained --tokenizer.lang de", "leave out"),
        ("tokenize nosuch.txt --out c", "there is no file or folder nosuch.txt"),
        ("tokenize a.txt --out c --shard 1/2 --tokenizer.kind sentencepiece", "give that model"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(line: str, reason: str) -> None:
    if "sentencepiece" in line:
        pytest.importorskip("sentencepiece")
    assert reason in error(line)
    assert not Path("c").exists()


def test_a_document_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "LONGEST", 1000)
    Path("long.txt").write_text("short\n" + "many words " * 100 + "\n")
    assert "long.txt, document 2 has" in error("tokenize a.txt long.txt --split-on line --out c")
    assert not Path("c").exists()


# ---- trainings ----

TINY = "--epochs 1 --batch-size 2 --bptt 5 --device cpu --max-tokens 200"


def test_pretraining_on_a_corpus_is_pretraining_on_its_files() -> None:
    """Also on shards: the same documents are held out, and the weights are the same."""
    given = "--split-on line --vocab-of pretrained"
    run(f"tokenize a.txt --out c {given}")
    for number in (1, 2):
        run(f"tokenize a.txt --out d {given} --shard {number}/2")
    run(f"pretrain-lm a.txt --out r1 {given} {TINY}")
    run(f"pretrain-lm c --out r2 {TINY}")
    run(f"pretrain-lm d --out r3 {TINY}")
    weights = [f"r{i}/forward/language_model/model.safetensors" for i in (1, 2, 3)]
    assert same(*weights)
    assert same("c/tokenizer.json", "r2/forward/language_model/tokenizer.json")


def test_a_file_beside_a_corpus_is_read_as_told() -> None:
    given = "--split-on line --vocab-of pretrained"
    run(f"tokenize a.txt --out c {given}")
    run(f"pretrain-lm c --valid few.txt --split-on line --out r1 {TINY}")
    run(f"pretrain-lm a.txt --valid few.txt {given} --out r2 {TINY}")
    epochs = [r for i in (1, 2) for r in read_records(Path(f"r{i}/metrics.jsonl")) if r["kind"] == "epoch"]  # fmt: skip
    assert epochs[0]["valid_loss"] == epochs[1]["valid_loss"]


def test_finetuning_on_a_corpus_takes_its_vocabulary() -> None:
    run(f"tokenize a.txt --out c {FLAGS}")
    more = "--frozen-epochs 1 --min-steps 2"
    run(f"finetune-lm c --out r1 --pretrained pretrained {TINY} {more}")
    assert same("c/tokenizer.json", "r1/forward/language_model/tokenizer.json")
    run(f"finetune-lm c --out r2 --pretrained none {TINY} {more}")
    assert same("c/tokenizer.json", "r2/forward/language_model/tokenizer.json")


def test_a_corpus_that_does_not_fit_is_refused_before_a_run_is_begun() -> None:
    run(f"tokenize a.txt --out c {FLAGS} --tokenizer.rules clean")
    for line, reason in (
        ("finetune-lm c --pretrained pretrained", "tokenized in another way .*--vocab-of"),
        ("finetune-lm c --tokenizer.lang de", "tokenized already"),
        ("pretrain-lm c --tokenizer.min-freq 5", "tokenized already"),
        ("pretrain-lm c --vocab-of pretrained", "tokenized already"),
        ("pretrain-lm c a.txt", "give it alone"),
        (
            "pretrain-lm c --split-on line --on-bad skip --label-separator ;",
            r"no files to read; leave out --label-separator, --split-on, --on-bad",
        ),
        ("finetune-lm c --text-column t", "no files to read; leave out --text-column"),
    ):
        assert re.search(reason, error(f"{line} --out run")), line
        assert not Path("run").exists()

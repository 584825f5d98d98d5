"""Disks that are full or can't be written, files that vanish or change, signals: refused clearly, and nothing is lost."""

import hashlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars
import pytest
from tiny import TINY, TINY_FIT

from benchmarks.soak_resume import differences
from ulmfit import prepare_lm, stages
from ulmfit.cli import BY_HAND, GO_ON, main
from ulmfit.config import PretrainConfig, RuntimeConfig, TokenizerConfig
from ulmfit.language_model import LanguageModel
from ulmfit.run_directory import Run
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document

TINY_FLAGS = (
    "--lm.epochs 1 --lm.batch-size 8 --lm.bptt 10 --lm.min-steps 4 --classifier.min-steps 4"
)


@pytest.fixture
def here(
    tmp_path: Path, lm_directory: Path, reviews: list[Document], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with train.csv, and language models in `pretrained`."""
    monkeypatch.chdir(tmp_path)
    table = {"text": [d.text for d in reviews], "label": [d.label for d in reviews]}
    polars.DataFrame(table).write_csv("train.csv")
    monkeypatch.setattr("ulmfit.training.resume.SAVE_EVERY_S", 0.0)
    return tmp_path


def fit(*more: str, out: str = "run") -> Any:
    """The exit code of `ulmfit fit`, or the line it ends with; 0: all went well."""
    told = (
        f"fit train.csv --out {out} --pretrained pretrained {TINY_FLAGS} --no-report --device cpu"
    )
    try:
        main([*told.split(), *more])
    except SystemExit as end:
        return end.code
    return 0


def contents(folder: Path) -> dict[str, str]:
    """What is in all files of a folder."""
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def unfinished() -> dict[str, str]:
    """A run that was stopped in its first stage."""
    assert fit("--max-minutes", "0") == GO_ON
    return contents(Path("run"))


# ---- what was asked is not what is there any more ----


@pytest.mark.usefixtures("here")
def test_a_vanished_data_file_is_refused() -> None:
    before, train = unfinished(), Path("train.csv")
    train.rename("elsewhere.csv")
    assert "no file or folder train.csv" in fit()
    assert contents(Path("run")) == before
    Path("elsewhere.csv").rename(train)
    assert fit() == 0


@pytest.mark.usefixtures("here")
def test_a_changed_data_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["ulmfit", "fit"])
    before, train = unfinished(), Path("train.csv")
    whole = train.read_text()
    train.write_text(whole.replace("Review 7:", "Review seven:"))
    assert "the texts or their labels have changed" in (said := fit())
    assert "repeat its command to go on (ulmfit " in said
    assert contents(Path("run")) == before
    train.write_text(whole)
    assert fit() == 0


@pytest.mark.usefixtures("here")
def test_a_changed_setting_is_refused() -> None:
    before = unfinished()
    assert "(config.lm.lr was 0.006, now 0.5)" in fit("--lm.lr", "0.5")
    assert contents(Path("run")) == before
    assert fit("--on-bad-loss", "skip") == 0  # asks for nothing else


# ---- disks ----


@pytest.fixture
def disk(here: Path) -> Iterator[Callable[[str], None]]:
    """`disk(options)` mounts or remounts a file system in `disk`."""
    folder = here / "disk"
    folder.mkdir()

    def mount(options: str) -> None:
        told = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(told, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"needs the right to mount a small disk: {done.stderr.strip()}")

    yield mount
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)


def test_a_full_disk_costs_nothing_but_the_time(here: Path, disk: Callable[[str], None]) -> None:
    """Wherever it gets full: one line, what was saved is whole, and with more room it ends as if nothing had been."""
    assert fit(out="whole/run") == 0
    disk("size=16k")
    for times in range(50):
        disk(f"remount,size={16 + 48 * times}k")
        if (said := fit(out="disk/run")) == 0:
            break
        assert "disk/run" in said and "no space left" in said.lower(), said
        assert "What was saved before is intact; make room" in said
    assert times >= 5
    assert (
        list(differences(here / "whole" / "run" / "forward", here / "disk" / "run" / "forward"))
        == []
    )


def test_a_disk_that_cannot_be_written(disk: Callable[[str], None]) -> None:
    disk("size=20m,ro")
    assert "disk/run can't be written: read-only file system." in fit(out="disk/run")
    disk("remount,rw,size=20m")
    assert fit("--max-minutes", "0", out="disk/run") == GO_ON
    before = contents(Path("disk"))
    disk("remount,ro,size=20m")
    assert "disk/run can't be written: read-only file system." in fit(out="disk/run")
    assert contents(Path("disk")) == before
    disk("remount,rw,size=20m")
    assert fit(out="disk/run") == 0


# ---- signals ----


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, GO_ON), (signal.SIGINT, BY_HAND)], ids=str
)
def test_a_signal_stops_at_the_next_step(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ulmfit.training.resume.SAVE_EVERY_S", 1e9)
    steps = 0

    def loss(*given: Any, **more: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 2:
            os.kill(os.getpid(), number)
        return real(*given, **more)

    real = prepare_lm.lm_loss
    monkeypatch.setattr(prepare_lm, "lm_loss", loss)
    assert fit() == code and steps == 2
    assert (
        capsys.readouterr().err.count("repeat the command to go on from the last saved state") == 1
    )
    states = list(Path("run/resume").glob("*.safetensors"))
    assert [p.name for p in states] == ["language model, forward.safetensors"]
    assert fit() == 0


# ---- same seed, same bits ----


@pytest.mark.parametrize("stage", ["pretrain_lm", "finetune_lm", "train_classifier"])
def test_the_same_seed_gives_the_same_bits(
    stage: str, lm: LanguageModel, reviews: list[Document], tmp_path: Path
) -> None:
    def train(seed: int, out: Path) -> Path:
        runtime = Runtime.start(RuntimeConfig(device="cpu", seed=seed))
        with Run.open(out) as run:
            told: dict[str, Any] = {"runtime": runtime, "run": run}
            if stage == "pretrain_lm":
                made = TokenizerConfig(min_freq=2)
                config = PretrainConfig(batch_size=4, bptt=10, negatives=8, valid_fraction=0.2)
                stages.pretrain_lm(reviews, model=TINY, tokenizer=made, config=config, **told)
            elif stage == "finetune_lm":
                stages.finetune_lm(lm, reviews, config=TINY_FIT.lm, **told)
            else:
                stages.train_classifier(lm, reviews, config=TINY_FIT.classifier, **told)
        return out / "forward"

    one, same, other = (
        train(seed, tmp_path / name / "run") for seed, name in ((0, "a"), (0, "b"), (1, "c"))
    )
    assert list(differences(one, same)) == []
    assert any("model.safetensors differs" in d for d in differences(one, other))

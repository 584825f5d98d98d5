"""The `ulmfit` command: finds the verb, parses its flags, and turns errors into one line."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, make_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tyro

from ulmfit.commands.bench import Bench
from ulmfit.commands.calibrate import Calibrate
from ulmfit.commands.compare import Compare
from ulmfit.commands.data import Datasets
from ulmfit.commands.doctor import Doctor
from ulmfit.commands.explain import Explain
from ulmfit.commands.export import Export
from ulmfit.commands.find_lr import FindLR
from ulmfit.commands.hub import Pull, Push
from ulmfit.commands.label_curve import LabelCurve
from ulmfit.commands.models import ImportFastai, Models
from ulmfit.commands.next_labels import NextLabels
from ulmfit.commands.report import Report
from ulmfit.commands.serve import Serve
from ulmfit.commands.tokenize import Tokenize
from ulmfit.commands.train import Demo, FinetuneLM, Fit, PretrainLM, TrainClassifier
from ulmfit.commands.use import Evaluate, Generate, Predict
from ulmfit.config import OutOfTime
from ulmfit.interruption import raised_on_terminate

COMMANDS: dict[str, Any] = {
    "fit": Fit,
    "demo": Demo,
    "predict": Predict,
    "evaluate": Evaluate,
    "report": Report,
    "explain": Explain,
    "calibrate": Calibrate,
    "export": Export,
    "serve": Serve,
    "compare": Compare,
    "push": Push,
    "pull": Pull,
    "tokenize": Tokenize,
    "pretrain-lm": PretrainLM,
    "finetune-lm": FinetuneLM,
    "train-classifier": TrainClassifier,
    "doctor": Doctor,
    "find-lr": FindLR,
    "label-curve": LabelCurve,
    "next-labels": NextLabels,
    "generate": Generate,
    "models": Models,
    "import-fastai": ImportFastai,
    "datasets": Datasets,
    "bench": Bench,
}

SEVERAL = ("fit", "pretrain-lm", "finetune-lm", "train-classifier")  # verbs for torchrun
RESUMED = (*SEVERAL, "demo", "label-curve")  # verbs that resume an unfinished command
GO_ON = 75  # exit code for "repeat this later": EX_TEMPFAIL of sysexits.h
BY_HAND = 130  # exit code after Ctrl-C, as in shells
REPLAY = (
    "--config FILE takes all settings of an earlier run from its config.json, including how its files were read; flags "
    "override them."
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a verb. An error that the user can mend ends with one line and exit code 1, not with a traceback; a training that
    ran out of time, or was stopped by SIGTERM, with 75; Ctrl-C with 130."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = arguments.pop(0) if arguments else "--help"
    if verb in ("-h", "--help"):
        print(overview())
        return
    if verb == "--version":
        print(version("ulmfit"))
        return
    if verb not in COMMANDS:
        sys.exit(f"ulmfit: no command {verb!r}; there are {', '.join(COMMANDS)}")
    rank = os.environ.get("RANK", "0")
    if verb not in SEVERAL and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.exit(f"ulmfit: {verb} runs in one process; torchrun is for {', '.join(SEVERAL)}")
    kept = "; repeat the command to go on from the last saved state"
    goes_on = kept if verb in RESUMED else ""
    try:
        with raised_on_terminate():
            parse(verb, arguments).run()
    except KeyboardInterrupt:
        print(f"\nulmfit: stopped{goes_on}", file=sys.stderr)
        sys.exit(BY_HAND)
    except OutOfTime as why:
        print(f"ulmfit: {str(why) or 'time is up'}{goes_on}", file=sys.stderr)
        sys.exit(GO_ON)
    except BrokenPipeError:  # the reader of our output is gone, as with `| head`: no error
        sys.stderr.close()
    except (ValueError, OSError, ImportError) as error:
        who = "" if rank == "0" else f"process {rank}: "
        sys.exit(f"ulmfit: {who}" + str(error).strip().replace("\n", " "))


def parse(verb: str, arguments: Sequence[str]) -> Any:
    """Flags → the verb's dataclass. `--config FILE` takes its defaults from an earlier run; flags override them."""
    command = COMMANDS[verb]
    description, rest = command.__doc__, list(arguments)
    if any(
        field.name == "config" for field in fields(command)
    ):  # a verb whose runs record settings
        description += f"\n{REPLAY}"
        path, rest = config_flag(rest)
        command = replayed(command, path) if path else command
    prog = f"ulmfit {verb}"
    return tyro.cli(command, args=rest, prog=prog, description=description, use_underscores=False)


def config_flag(arguments: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The file of `--config FILE`, and the other arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config", type=Path)
    try:
        found, rest = parser.parse_known_args(arguments)
    except argparse.ArgumentError:
        raise ValueError("--config needs the config.json of a run") from None
    return found.config, rest


def replayed(command: Any, path: Path) -> Any:
    """`command` with the defaults that a run's config.json records: its settings, and how its files were read. The files
    themselves still come from flags."""
    from ulmfit.files.checkpoint import load_json

    record = load_json(path)
    saved = record.get("config")
    if not isinstance(saved, dict):
        raise ValueError(
            f"{path} records no settings; give the config.json at the top of a run directory"
        )
    if command is TrainClassifier:
        saved = of_classifier(saved)
    if isinstance(columns := record.get("columns"), dict):  # a run started from Python has none
        saved = saved | {"columns": columns}
    parts = {f.name: f for f in fields(command) if f.name in saved}
    if unknown := saved.keys() - parts.keys():
        raise ValueError(f"{path} was written by another command: it sets {sorted(unknown)}")
    changed = [
        (
            name,
            f.type,
            build(type(f.default), saved[name]) if is_dataclass(f.default) else saved[name],
        )
        for name, f in parts.items()
    ]
    return make_dataclass(command.__name__, changed, bases=(command,), frozen=True, kw_only=True)


def of_classifier(saved: dict[str, Any]) -> dict[str, Any]:
    """The settings of `train-classifier` from the record of its run, which is that of a `fit` without fine-tuning."""
    whole = saved.get("config", {})
    if not isinstance(whole, dict) or whole.get("finetune") is not False:
        return saved
    start = {"lm": whole["pretrained"], "directions": whole["directions"]}
    return saved | start | {"config": whole["classifier"]}


def build(kind: Any, values: Any) -> Any:
    """A config dataclass from JSON; names that this version does not know are an error."""
    if not isinstance(values, dict):
        raise ValueError(f"the settings of {kind.__name__} must be a JSON object, not {values!r}")
    known = {f.name: f for f in fields(kind)}
    if unknown := values.keys() - known.keys():
        raise ValueError(f"unknown settings {sorted(unknown)} in {kind.__name__}")
    plain = {}
    for name, value in values.items():
        default = known[name].default
        plain[name] = build(type(default), value) if is_dataclass(default) else value
        if isinstance(value, list):
            plain[name] = tuple(value)
    return kind(**plain)


def overview() -> str:
    """The verbs, a line each."""
    lines = [f"  {name:17} {command.__doc__.splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: ulmfit COMMAND …",
            "",
            "ULMFiT: a text classifier from few labels.",
            "",
            *lines,
            "",
            "ulmfit COMMAND --help shows its flags.",
        ]
    )

"""The command line, saving at every step; one process kills itself once, in the middle of an epoch.

python tests/killed.py RANK STEP fit …: process RANK dies after so many steps, unless torchrun has started it again.
"""

import os
import signal
import sys
from typing import Any

import torch

from ulmfit.cli import main
from ulmfit.training import resume
from ulmfit.training.log import Log


def run() -> None:
    rank, last, *arguments = sys.argv[1:]
    torch.set_num_threads(1)
    resume.SAVE_EVERY_S = 0.0
    first_time = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0"
    steps, real = 0, Log.step

    def step(self: Log, update: int, **values: Any) -> None:
        nonlocal steps
        steps += 1
        if first_time and os.environ["RANK"] == rank and steps == int(last):
            os.kill(os.getpid(), signal.SIGKILL)
        real(self, update, **values)

    Log.step = step
    main(arguments)


if __name__ == "__main__":
    run()

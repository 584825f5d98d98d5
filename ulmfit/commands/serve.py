"""`ulmfit serve`: its fields are the flags, its docstring is the help."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from ulmfit.commands.flags import MODEL, TEXT, Flat, Machine, note
from ulmfit.config import ServeConfig

TOKEN = "ULMFIT_TOKEN"


@dataclass(frozen=True)
class Serve:
    """Serve a classifier over HTTP: predictions and explanations as JSON, and a page to try it."""

    # run, classifier directory, its export, or an installed model's name
    model: Positional[Annotated[str, MODEL]]
    # secret that requests must send as `Authorization: Bearer TOKEN`; better set ULMFIT_TOKEN in the environment, since other
    # users of this machine can see flags
    token: Annotated[str | None, TEXT] = None
    limits: Annotated[ServeConfig, Flat] = ServeConfig()
    machine: Annotated[Machine, Flat] = Machine()

    def run(self) -> None:
        from ulmfit.deploy.server import serve
        from ulmfit.saved import load_classifier

        token = os.environ.get(TOKEN) if self.token is None else self.token
        runtime, classifier = self.machine.start(), load_classifier(self.model)
        name = Path(self.model).resolve().name
        serve(classifier, runtime, self.limits, token=token, name=name, say=note)

"""`ulmfit push` and `pull`: a dataclass each; its fields are the flags, its docstring is the help."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from ulmfit.commands.flags import DIR, MODEL, note

REPO = arg(metavar="OWNER/NAME")


@dataclass(frozen=True)
class Push:
    """Send a model to the Hugging Face Hub: safetensors, JSON and its card. Needs the package huggingface_hub."""

    model: Positional[Annotated[str, MODEL]]  # classifier, language model, or a run that holds one
    repo: Positional[Annotated[str, REPO]]  # repository on the Hub; created if missing
    private: bool = False  # create it as private; refused if the repository is public already
    # branch to commit to, created if missing; left out: main
    revision: Annotated[str | None, arg(metavar="BRANCH")] = None

    def run(self) -> None:
        from ulmfit.deploy.hub import push

        print(push(self.model, self.repo, private=self.private, revision=self.revision, say=note))


@dataclass(frozen=True)
class Pull:
    """Fetch a model from the Hugging Face Hub, as it was at one commit; prints its directory. Needs the package huggingface_hub."""

    repo: Positional[Annotated[str, REPO]]  # repository on the Hub
    # commit, branch or tag; left out: the newest commit of main, which is reported
    revision: Annotated[str | None, arg(metavar="COMMIT")] = None
    out: Annotated[str | None, DIR] = None  # directory to create; left out: one in the cache

    def run(self) -> None:
        from ulmfit.deploy.hub import pull

        print(pull(self.repo, revision=self.revision, out=self.out, say=note))

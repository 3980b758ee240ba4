"""The files of a training: the checkpoint, and what lies beside it under the same name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from stfusion.errors import UserError
from stfusion.job import Job

#: Files beside the checkpoint, by their endings.
_BESIDE = (".json", ".md", ".html")


@dataclass(frozen=True)
class Files:
    """Where a training writes."""

    checkpoint: Path

    @classmethod
    def of(cls, job: Job) -> Files:
        """The files of a job.

        Raises
        ------
        UserError
            A file that would be written beside the checkpoint is an input, or is the checkpoint.
        """
        files = cls(Path(job.outputs["checkpoint"]).absolute())
        if files.checkpoint.suffix in _BESIDE:
            raise UserError(
                f"The checkpoint '{files.checkpoint}' has the ending of a file that lies beside it; let it end in "
                "'.safetensors'."
            )
        inputs = [path for given in job.inputs.values() for path in (given.path, *(given.more or ()))]
        for beside in map(files.checkpoint.with_suffix, _BESIDE):
            for path in inputs:
                if beside.exists() and os.path.exists(path) and os.path.samefile(beside, path):
                    raise UserError(
                        f"'{beside}' would be written beside the checkpoint and is also an input; give the checkpoint "
                        "another name."
                    )
        return files

    @property
    def report(self) -> Path:
        """The report."""
        return self.checkpoint.with_suffix(".html")

    @property
    def folder(self) -> Path:
        """What is needed to go on, and the curves."""
        return self.checkpoint.with_suffix(".training")

    @property
    def state(self) -> Path:
        """Everything that is needed to go on."""
        return self.folder / "state.safetensors"

    @property
    def history(self) -> Path:
        """The epochs as a table."""
        return self.folder / "history.csv"

    @property
    def figures(self) -> Path:
        """The figures of what the network is compared with."""
        return self.folder / "baselines.json"

    def make_folder(self) -> None:
        """Make the folder, if it is not there.

        Raises
        ------
        UserError
            It cannot be made.
        """
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(
                f"The folder '{self.folder}' cannot be made ({error.strerror}); choose another place."
            ) from error

    def clear(self) -> None:
        """Remove what an earlier training left in the folder."""
        for path in (self.state, self.history, self.figures, *self.folder.glob("events.out.*")):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text, first under another name."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)

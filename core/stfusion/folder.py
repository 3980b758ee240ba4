"""Results on the disk: whether they can be written, and how they appear under their names only when they are whole."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stfusion.errors import UserError

if TYPE_CHECKING:
    from stfusion.job import Job
    from stfusion.run import Stop


def check_outputs(job: Job) -> None:
    """Refuse files to write that could not be written at the end of the work.

    Raises
    ------
    UserError
        An output is an input as well, two outputs are one file, or the folder of an output is missing.
    """
    inputs = [path for image in job.inputs.values() for path in (image.path, *(image.more or ()), image.mask) if path]
    files = [each.id for each in job.declaration.outputs if each.kind != "folder_out" and each.id in job.outputs]
    for number, name in enumerate(files):
        output = job.outputs[name]
        if output in (job.outputs[other] for other in files[:number]):
            raise UserError(f"Two outputs are the file '{output}'; give each of them a name of its own.")
        if not Path(output).absolute().parent.is_dir():
            raise missing_folder(Path(output))
        for path in inputs:
            if os.path.exists(output) and os.path.exists(path) and os.path.samefile(output, path):
                raise UserError(f"The output '{output}' is also the input '{path}'; give the output another name.")


def _remedy(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "make room on its disk, or choose another one" if full else "choose another folder or name"


def missing_folder(output: Path) -> UserError:
    """The error of an output whose folder is missing."""
    return UserError(f"The folder '{output.parent}' of the output does not exist; create it or choose another.")


def make_folder(folder: Path) -> None:
    """Make a folder that may be there already.

    Raises
    ------
    UserError
        It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder '{folder}' cannot be made ({error.strerror}); choose another one.") from error


@contextmanager
def whole_folder(path: str, stop: Stop) -> Iterator[Path]:
    """A folder to fill, ``<path>.part``; it gets its name at the end, and is gone when the run fails or is stopped.

    Raises
    ------
    UserError
        The folder exists and is not empty, or it cannot be written.
    """
    folder = Path(path).absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"'{folder}' exists and is not an empty folder; choose a new one.")
    part = folder.with_name(f"{folder.name}.part")
    stop.watch(part)
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        stop.check()
        if folder.exists():
            folder.rmdir()
        part.rename(folder)
    except OSError as error:
        raise UserError(f"The folder '{folder}' cannot be written ({error}); {_remedy(error)}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def whole_file(path: str, stop: Stop) -> Iterator[Path]:
    """A file to write, in the folder ``<path>.part``; it and what lies beside it there get their names at the end.

    Nothing stays behind when the run fails or is stopped.

    Raises
    ------
    UserError
        It cannot be written.
    """
    target = Path(path).absolute()
    part = target.with_name(f"{target.name}.part")
    stop.watch(part)
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        yield part / target.name
        for file in part.iterdir():
            os.replace(file, target.with_name(file.name))
    except OSError as error:
        raise UserError(
            f"The output '{target}' cannot be written ({error.strerror or error}); {_remedy(error)}."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)

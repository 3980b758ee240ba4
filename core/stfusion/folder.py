"""Results that appear under their names only when they are whole: a folder, or a file with what lies beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stfusion.errors import UserError
from stfusion.run import Stop


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
        raise UserError(f"The folder '{folder}' cannot be written ({error}); choose another one.") from error
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
            f"The output '{target}' cannot be written ({error.strerror or error}); choose another folder or name."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)

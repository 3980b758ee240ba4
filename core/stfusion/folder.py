"""A folder of results that appears under its name only when it is whole."""

from __future__ import annotations

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

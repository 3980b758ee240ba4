"""Folders and archives of downloads: the names in them, and what GDAL is to open for each."""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from stfusion.errors import UserError

_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
_BLOCK = 512
#: Files that stand for the folder that they lie in.
_HEADS = ("_MTL.txt", "MTD_MSIL2A.xml")


@dataclass(frozen=True)
class Downloads:
    """A folder, an archive, or files of a folder.

    ``names`` are the files in it, with / between folders; ``explicit`` says that the user gave each of them.
    """

    path: Path
    names: tuple[str, ...]
    explicit: bool = False

    def __str__(self) -> str:
        return f"'{self.title}'"

    @property
    def title(self) -> str:
        """Its name."""
        return self.path.absolute().name

    @property
    def archive(self) -> bool:
        """Whether it is an archive."""
        return is_archive(self.path)

    def gdal(self, name: str) -> str:
        """What GDAL opens for a name."""
        if not self.archive:
            return name if _virtual(name) else str(self.path / name)
        driver = "vsizip" if self.path.suffix.lower() == ".zip" else "vsitar"
        return f"/{driver}/{self.path.absolute().as_posix()}/{name.removeprefix('./')}"

    def text(self, name: str) -> str:
        """The text of a small file.

        Raises
        ------
        UserError
            It cannot be read.
        """
        try:
            return self._bytes(name).decode("utf-8", errors="replace")
        except (OSError, EOFError, KeyError, zlib.error, tarfile.TarError, zipfile.BadZipFile) as error:
            raise UserError(f"'{name}' of {self} cannot be read ({error}); download it again.") from error

    def _bytes(self, name: str) -> bytes:
        if not self.archive:
            return (self.path / name).read_bytes()
        if self.path.suffix.lower() == ".zip":
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(name)
        with tarfile.open(self.path) as archive:
            stream = archive.extractfile(name)
            return b"" if stream is None else stream.read()

    def size(self, name: str) -> int:
        """Bytes of a file; in an archive, once unpacked."""
        if not self.archive:
            return (self.path / name).stat().st_size
        if self.path.suffix.lower() == ".zip":
            with zipfile.ZipFile(self.path) as archive:
                return archive.getinfo(name).file_size
        with tarfile.open(self.path) as archive:
            return archive.getmember(name).size


def is_archive(path: Path) -> bool:
    """Whether a path is that of an archive, by its ending."""
    return path.name.lower().endswith(_ARCHIVES)


def _virtual(path: str) -> bool:
    """Whether a path is one of GDAL's own: a URL, a file in an archive, a subdataset."""
    return path.startswith("/vsi") or (":" in path and not Path(path).exists())


def gathered(paths: Sequence[str]) -> list[Downloads]:
    """The folders and archives of some paths, and their other files by the folder that they lie in.

    Raises
    ------
    UserError
        A path does not exist, or an archive is not whole.
    """
    found: list[Downloads] = []
    files: dict[Path, list[str]] = {}
    for path in dict.fromkeys(paths):
        place = Path(path)
        if place.is_dir():
            found += _of_folder(place)
        elif _virtual(path):
            files.setdefault(Path(), []).append(path)
        elif not place.is_file():
            raise UserError(f"'{path}' does not exist; choose a file, a folder or an archive of downloads.")
        elif is_archive(place):
            found.append(_of_archive(place))
        elif place.name.endswith(_HEADS):
            found += _of_folder(place.absolute().parent)
        else:
            files.setdefault(place.parent, []).append(place.name)
    return [*found, *(Downloads(folder, tuple(names), explicit=True) for folder, names in files.items())]


def _of_folder(folder: Path) -> Iterator[Downloads]:
    """A folder with all below it; archives in it are downloads of their own."""
    files = sorted(Path(place, name) for place, _, names in os.walk(folder, onerror=_refused) for name in names)
    names = [path.relative_to(folder).as_posix() for path in files if not is_archive(path)]
    if names:
        yield Downloads(folder, tuple(names))
    yield from (_of_archive(path) for path in files if is_archive(path))


def _refused(error: OSError) -> NoReturn:
    raise UserError(
        f"The folder '{error.filename}' cannot be looked through ({error.strerror}); ask for the right to read it, or "
        "leave it out."
    ) from error


def _of_archive(path: Path) -> Downloads:
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as zipped:
                return Downloads(path, tuple(info.filename for info in zipped.infolist() if not info.is_dir()))
        with tarfile.open(path) as archive:
            names = tuple(member.name for member in archive if member.isfile())
            if not names or not _ended(archive):
                raise tarfile.ReadError("its end is missing")
            return Downloads(path, names)
    except PermissionError as error:
        raise UserError(
            f"The archive '{path}' cannot be read ({error.strerror}); ask for the right to read it, or leave it out."
        ) from error
    except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile) as error:
        raise UserError(
            f"The archive '{path.name}' ({path.stat().st_size} bytes) cannot be read to its end "
            f"({str(error).splitlines()[0].rstrip(':')}), as if its download had broken off; download it again."
        ) from error


def _ended(archive: tarfile.TarFile) -> bool:
    """Whether a tar file that was read through ends with a block of zeros, and not where a download broke off."""
    stream = archive.fileobj
    if stream is None:
        return False
    stream.seek(archive.offset)
    block = stream.read(_BLOCK)
    return len(block) == _BLOCK and not any(block)


def base(name: str) -> str:
    """The last part of a name."""
    return PurePosixPath(name).name

"""The models that come with the plugin: chains of its algorithms, to be run as they are or to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qgis.core import QgsProcessingException, QgsProcessingModelAlgorithm

from ..engine import locator


class ShippedModel(QgsProcessingModelAlgorithm):
    """A ``.model3`` file of the plugin; the name of the file is its permanent id.

    Raises
    ------
    QgsProcessingException
        The file is no model.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        if not self.fromFile(str(path)):
            raise QgsProcessingException(f"The model '{path}' cannot be read; install the plugin again.")

    def createInstance(self) -> ShippedModel:
        """The model, read once more: its algorithms are looked up then, and may not have been there before."""
        return ShippedModel(self._path)

    def name(self) -> str:
        """The permanent id; the title is in the file."""
        return self._path.stem

    def groupId(self) -> str:
        """The id of the group, whose title is in the file."""
        return self.group().lower()

    def tags(self) -> list[str]:
        """Words that find the model in the toolbox: those of its algorithms."""
        children = (child.algorithm() for child in self.childAlgorithms().values())
        return sorted({tag for child in children if child is not None for tag in child.tags()})

    def canExecute(self) -> tuple[bool, str]:
        """Whether there is an engine and every algorithm; the toolbox shows the sentence when one is missing."""
        try:
            locator.find()
        except locator.EngineMissing as missing:
            return False, str(missing)
        able: tuple[bool, str] = super().canExecute()
        return able


def shipped_models() -> Iterator[ShippedModel]:
    """All models of the plugin."""
    for path in sorted((locator.plugin_folder() / "resources" / "models").glob("*.model3")):
        yield ShippedModel(path)

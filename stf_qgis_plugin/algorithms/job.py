"""The job that the engine runs, made from the values of a form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingException

from .declarations import Declaration

SCHEMA = 1


def build(method: Declaration, values: Mapping[str, Any], **settings: Any) -> dict[str, Any]:
    """The plain job for values by declared name; None means not given and is left out.

    ``settings`` are the job's own entries: seed, memory_mb, threads.
    """
    job: dict[str, Any] = {
        "schema": SCHEMA,
        "operation": method.operation,
        "method": method.id,
        "inputs": {role.id: {} for role in method.roles if values.get(role.id) is not None},
        "options": {},
        "outputs": {},
        **settings,
    }
    for declared in method.parameters:
        value = values.get(declared.name)
        for target in declared.targets if value is not None else ():
            section, *steps = target.split(".")
            if section == "inputs" and steps[0] not in job["inputs"]:
                continue
            place = job[section]
            for step in steps[:-1]:
                place = place[step]
            place[steps[-1]] = value
    return job


def write(job: Mapping[str, Any], path: Path) -> None:
    """Write a job.json.

    Raises
    ------
    QgsProcessingException
        The file cannot be written.
    """
    try:
        path.write_text(json.dumps(job, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise QgsProcessingException(
            f"The job '{path}' cannot be written ({error.strerror}); choose another place."
        ) from error

"""The plugin's side of the contract with the engine, held against the same golden files as the engine's side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from qgis.core import QgsProcessingFeedback

CONTRACT = Path(__file__).resolve().parents[1] / "contract"
FORMS = json.loads((CONTRACT / "forms.json").read_text(encoding="utf-8"))
PUBLISHED = json.loads((CONTRACT / "published.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form["what"])
def test_values_make_the_golden_job(stf, form):
    from stf_qgis_plugin.algorithms import job

    (method,) = (method for method in stf.snapshot().methods if method.id == form["method"])
    assert job.build(method, form["values"], **form["settings"]) == form["job"]


@pytest.mark.parametrize("command", PUBLISHED)
def test_published_names_are_those_of_the_toolbox(provider, command):
    """Models and scripts call these algorithms with these parameters."""
    algorithm = provider.algorithm(command.split()[-1])
    names = {definition.name() for definition in algorithm.parameterDefinitions()}
    assert {name.upper() for name in PUBLISHED[command]} | {"SEED", "EXPORT_JOB"} <= names


def test_golden_lines_are_understood(stf):
    """Every line that the engine can say reaches the feedback or the result, and none of them as foreign output."""
    from stf_qgis_plugin.engine.messages import Listener

    class Feedback(QgsProcessingFeedback):
        def __init__(self):
            super().__init__(False)
            self.heard = []

        def pushInfo(self, text):
            self.heard.append(("info", text))

        def pushWarning(self, text):
            self.heard.append(("warning", text))

        def setProgressText(self, text):
            self.heard.append(("stage", text))

        def pushConsoleInfo(self, text):
            self.heard.append(("foreign", text))

    feedback = Feedback()
    listener = Listener(feedback)
    greeting, *lines = (CONTRACT / "protocol.jsonl").read_text(encoding="utf-8").splitlines()
    listener.take(json.dumps({**json.loads(greeting), "engine": stf.snapshot().engine}))
    for line in lines:
        listener.take(line)

    assert feedback.heard == [
        ("info", f"STF engine {stf.snapshot().engine} on cpu"),
        ("stage", "Fusing (1 of 2)"),
        ("info", "Aligned the coarse image."),
        ("warning", "The ranges differ: 0..1 and 0..10000."),
        ("info", "rmse: 0.0125"),
    ]
    assert feedback.progress() == 100
    assert listener.outputs == {"output": "/data/fused.tif"}
    assert (listener.code, listener.error) == ("user", "The file '/data/fine.tif' does not exist; choose another.")

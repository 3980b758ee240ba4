#!/usr/bin/env python3
"""Stands in for the engine's interpreter, and behaves as the name it is called by says.

The plugin cleans the environment of the engine, so that a link's name is the way to choose; :func:`make` makes one.
Called as the plugin does: ``LINK -m stfusion run job.json --json --watch-stdin``. Its pid is left in ``pid`` in the
working directory.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOT = json.loads((ROOT / "resources" / "methods.json").read_text(encoding="utf-8"))
VERSION, PROTOCOL = SNAPSHOT["engine"], SNAPSHOT["protocol"]


def make(behaviour: str, folder: Path) -> str:
    """A link in ``folder`` that behaves as asked; the path to give as interpreter."""
    link = folder / behaviour
    link.symlink_to(Path(__file__).resolve())
    return str(link)


def say(kind: str, **fields: object) -> None:
    print(json.dumps({"type": kind, **fields}), flush=True)


def hello(engine: str = VERSION, protocol: int = PROTOCOL) -> None:
    say("hello", engine=engine, protocol=protocol, device="fake")


def outputs() -> dict[str, str]:
    found: dict[str, str] = json.loads(Path(sys.argv[4]).read_text(encoding="utf-8"))["outputs"]
    return found


def begin() -> None:
    """Say hello, start to write every output, and say that it works."""
    hello()
    for path in outputs().values():
        part = Path(f"{path}.part")
        part.mkdir()
        (part / "half.tif").write_bytes(b"half")
    say("log", message="working")


def good() -> None:
    hello()
    for index, name in enumerate(("read", "fuse"), start=1):
        say("stage", name=name, index=index, count=2)
    for value in range(0, 1000):
        say("progress", value=value / 10)
    say("log", message="a note")
    say("warning", message="a doubt")
    say("metric", name="RMSE", value=0.0125)
    say("result", outputs=outputs())


def wrong_version() -> None:
    hello(engine="9.9.9")
    time.sleep(60)


def wrong_protocol() -> None:
    hello(protocol=99)
    time.sleep(60)


def garbage() -> None:
    hello()
    lines = ["plain words", "{not json", "{}", "[1, 2]", "42", '{"type": 7}', '{"type": "progress"}', '{"a":' * 100_000]
    values = ['"much"', "NaN", "Infinity", "[]"]
    for line in (*lines, *(f'{{"type": "progress", "value": {value}}}' for value in values)):
        print(line)
    sys.stdout.flush()
    os.write(1, b"\xff\xfe\x00 bytes\n")
    say("novelty", message="of a later version")
    say("result", outputs=outputs())


def chunks() -> None:
    hello()
    data = b"".join(
        json.dumps({"type": "log", "message": f"Größe {number}"}, ensure_ascii=False).encode() + b"\n"
        for number in range(5)
    )
    for start in range(0, len(data), 7):
        os.write(1, data[start:start + 7])
        time.sleep(0.005)
    os.write(1, json.dumps({"type": "result", "outputs": outputs()}).encode())  # a last line without an end


def no_hello() -> None:
    say("result", outputs=outputs())


def no_result() -> None:
    begin()


def crash() -> None:
    begin()
    print("the last words", file=sys.stderr, flush=True)
    os.abort()


def killed() -> None:
    begin()
    os.kill(os.getpid(), signal.SIGKILL)


def killed_in_shell() -> None:
    begin()
    sys.exit(137)


def out_of_memory() -> None:
    begin()
    sys.exit(4)


def user_error() -> None:
    begin()
    say("error", code="user", message="The fine image 'a.tif' has no CRS; assign one.")
    sys.exit(2)


def in_part() -> None:
    hello()
    say("result", outputs=outputs())
    say("error", code="incomplete", message="1 of 3 dates failed: 2020-01-02 (no pixel).")
    sys.exit(5)


def fails() -> None:
    sys.stderr.write("early words\n" + "x" * 200_000 + "\nModuleNotFoundError: numba\n")
    sys.exit(1)


def flood() -> None:
    hello()
    for number in range(20_000):
        print(f"{number:08d} " + "output of a library that does not know when to stop", flush=False)
        if number % 20 == 0:
            print("x" * 1000, file=sys.stderr)
    say("log", message="m" * 1_000_000)
    print("y" * 1_000_000)
    say("result", outputs=outputs())


def deaf() -> None:
    begin()
    time.sleep(60)


def deaf_flood() -> None:
    begin()
    while True:
        say("progress", value=50)


def polite() -> None:
    begin()
    while os.read(0, 4096):
        continue
    Path("stopped").touch()
    say("error", code="cancelled", message="The run was cancelled.")
    sys.exit(130)


def interrupted() -> None:
    begin()
    say("error", code="cancelled", message="The run was cancelled.")
    sys.exit(130)


def answers() -> None:
    """For questions: an answer after a library's chatter."""
    print("a library says hello")
    print(json.dumps({"engine": VERSION, "protocol": PROTOCOL, "asked": sys.argv[3:], "ok": False}))
    sys.exit(3)


def old_answers() -> None:
    print(json.dumps({"engine": "0.0.1", "protocol": PROTOCOL}))


if __name__ == "__main__":
    Path("pid").write_text(str(os.getpid()), encoding="utf-8")
    behaviour: Callable[[], None] = globals()[Path(sys.argv[0]).name]
    behaviour()

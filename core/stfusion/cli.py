"""The command line, made from the declarations: ``stfusion fuse starfm``, ``run``, ``info`` and ``check``."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from stfusion import PROTOCOL, __version__, job, registry
from stfusion.declaration import Method, Parameter
from stfusion.errors import StfError, UserError
from stfusion.protocol import JsonReporter, Reporter, SilentReporter, TextReporter
from stfusion.run import Stop, run

#: New objects between two collections of garbage.
_OBJECTS = 50_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    # While packages load, garbage is looked for a hundred times, a tenth of a second in all, and there is none.
    gc.set_threshold(_OBJECTS)
    # Tiles occupy the threads of the job; those of the linear algebra would only wait, and burn time as they do.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Threads of torch that wait for each other sleep: beside other programs, those that spin take ten times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    options = _parser().parse_args(arguments)
    try:
        code: int = options.action(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone, as with `stfusion info | head`; Python must not fail once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stfusion", description="Spatiotemporal fusion of satellite images.")
    parser.add_argument("--version", action="version", version=f"stfusion {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    groups: dict[str, Any] = {}
    for method in registry.methods().values():
        parent = commands
        if len(method.command) == 2:
            operation = method.command[0]
            if operation not in groups:
                groups[operation] = commands.add_parser(operation, help=f"{method.group} methods").add_subparsers(
                    required=True, metavar="METHOD"
                )
            parent = groups[operation]
        _add_method(parent.add_parser(method.command[-1], help=method.summary, description=method.description), method)

    runner = commands.add_parser("run", help="run a job.json")
    runner.add_argument("job", help="path of the job.json")
    _add_reporting(runner)
    runner.set_defaults(action=_run_job)

    info = commands.add_parser("info", help="version, packages and methods of the engine")
    info.add_argument("--json", action="store_true", help="print as JSON")
    info.set_defaults(action=_info)

    check = commands.add_parser("check", help="compute something with every package and device, and say how it went")
    check.add_argument("--json", action="store_true", help="print as JSON")
    check.set_defaults(action=_check)
    return parser


def _add_method(parser: argparse.ArgumentParser, method: Method) -> None:
    """The flags of a method, from its parameters."""
    for parameter in method.parameters():
        flags = ["--out", "--output"] if parameter.name == "output" else [f"--{parameter.name.replace('_', '-')}"]
        help_text = parameter.help.replace("%", "%%")
        if parameter.default not in (None, ""):
            help_text += f" (default: {parameter.default})"
        if parameter.positional:
            parser.add_argument(parameter.name, choices=parameter.choices or None, type=_converter(parameter),
                                metavar=parameter.name.upper(), help=_with_choices(parameter))
        elif parameter.kind == "boolean":
            parser.add_argument(*flags, action=argparse.BooleanOptionalAction, default=None, help=help_text)
        else:
            parser.add_argument(
                *flags,
                dest=parameter.name,
                required=parameter.required,
                nargs="+" if parameter.kind == "rasters" else None,
                type=_converter(parameter),
                choices=parameter.choices or None,
                metavar=None if parameter.choices else parameter.kind.partition("_")[0].upper(),
                help=help_text,
            )
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers (default: 0)")
    parser.add_argument("--memory", type=int, default=job.Job.memory_mb, metavar="MB", help="memory limit in MB "
                        f"(default: {job.Job.memory_mb})")
    parser.add_argument("--threads", type=int, default=0, help="threads (default: one for each core)")
    parser.add_argument("--export-job", metavar="FILE", help="write the job.json instead of running it")
    _add_reporting(parser)
    parser.set_defaults(action=_run_method, declaration=method)


def _with_choices(parameter: Parameter) -> str:
    choices = f" One of: {', '.join(parameter.choices)}." if parameter.choices else ""
    return f"{parameter.help}{choices}".replace("%", "%%")


def _converter(parameter: Parameter) -> Any:
    if parameter.kind == "integer":
        return int
    if parameter.kind == "number":
        return float
    if parameter.kind == "bands":
        return _band_list
    return str


def _band_list(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of band numbers such as 1,2,3") from error


def _add_reporting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    parser.add_argument("--watch-stdin", action="store_true", help="stop when standard input is closed")


def _run_method(options: argparse.Namespace) -> int:
    method: Method = options.declaration
    values = {parameter.name: getattr(options, parameter.name) for parameter in method.parameters()}
    plain = job.build(method, values, seed=options.seed, memory_mb=options.memory, threads=options.threads)
    if options.export_job:
        return _export(options, plain)
    return _execute(options, lambda: job.parse(plain, Path.cwd()))


def _run_job(options: argparse.Namespace) -> int:
    return _execute(options, lambda: job.load(options.job))


def _export(options: argparse.Namespace, plain: dict[str, Any]) -> int:
    reporter = _reporter(options)
    try:
        text = job.parse(plain, Path.cwd()).to_json()
        Path(options.export_job).write_text(text, encoding="utf-8")
    except StfError as error:
        return _report(reporter, error)
    except OSError as error:
        return _report(
            reporter, UserError(f"The job '{options.export_job}' cannot be written ({error.strerror}); choose another.")
        )
    reporter.log(f"Wrote {options.export_job}; run it with: stfusion run {options.export_job}")
    return 0


def _execute(options: argparse.Namespace, make: Callable[[], job.Job]) -> int:
    reporter = _reporter(options)
    stop = Stop()
    stop.on_signals()
    if options.watch_stdin:
        stop.on_closed_stdin()
    try:
        order = make()
    except StfError as error:
        return _report(reporter, error)
    return run(order, reporter, stop)


def _report(reporter: Reporter, error: StfError) -> int:
    reporter.error(error.code, str(error))
    return error.exit_code


def _reporter(options: argparse.Namespace) -> Reporter:
    if os.environ.get("TORCHELASTIC_RUN_ID") and os.environ.get("RANK") != "0":
        # Of the processes that torchrun has started for one training, the first one speaks.
        return SilentReporter()
    return JsonReporter(_private_stdout()) if options.json else TextReporter()


def _private_stdout() -> TextIO:
    """The real standard output, for the protocol alone; what libraries print goes to standard error instead."""
    sys.stdout.flush()
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return stream


def _info(options: argparse.Namespace) -> int:
    from stfusion import environment

    if options.json:
        plain = [method.as_dict() for method in registry.methods().values()]
        print(json.dumps({"engine": __version__, "protocol": PROTOCOL, **environment.packages(), "methods": plain}))
        return 0
    print(f"stfusion {__version__} (protocol {PROTOCOL})")
    for name, version in environment.packages()["packages"].items():
        print(f"  {name} {version}")
    for method in registry.methods().values():
        print(f"{' '.join(method.command):20s} {method.summary}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from stfusion import environment

    report = environment.check()
    if options.json:
        print(json.dumps(report))
    else:
        for line in environment.sentences(report):
            print(line)
    return 0 if report["ok"] else 3

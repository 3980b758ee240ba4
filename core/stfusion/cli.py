"""The command line, made from the declarations: ``stfusion fuse starfm``, ``run``, ``info`` and ``check``."""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from stfusion import PROTOCOL, __version__, job, registry
from stfusion.declaration import Method, Parameter
from stfusion.errors import StfError, UserError
from stfusion.protocol import JsonReporter, Reporter, SilentReporter, TextReporter
from stfusion.run import Context, Stop, run

#: What is done for a job instead of all of it.
Work = Callable[[Context], dict[str, Any]]
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
    options = _parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    try:
        code: int = options.action(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone, as with `stfusion info | head`; Python must not fail once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return code


def _joined(arguments: Sequence[str]) -> list[str]:
    """The arguments, with lists that begin with a negative number joined to their flag: such a word is no flag."""
    found: list[str] = []
    for word in arguments:
        if found and re.match(r"-[\d.]+,", word) and re.fullmatch(r"--[\w-]+", found[-1]):
            found[-1] += f"={word}"
        else:
            found.append(word)
    return found


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
    share = runner.add_mutually_exclusive_group()
    share.add_argument("--part", metavar="K/N", help="run the K-th of N shares of the parts that 'plan' has listed, "
                       "without those that are done")
    share.add_argument("--cluster", metavar="ADDRESS", help="run the parts on the workers of a Dask scheduler, such as "
                       "tcp://10.0.0.1:8786, and put the result together")
    _add_sides(runner)
    _add_roots(runner)
    _add_reporting(runner)
    runner.set_defaults(action=_run_job)

    planner = commands.add_parser("plan", help="list the parts of a job, such as its dates or tiles, and write a "
                                  "script for Slurm beside it")
    planner.add_argument("job", help="path of the job.json")
    _add_sides(planner)
    planner.add_argument("--tasks", type=int, default=16, metavar="N", help="tasks of the Slurm array at most "
                         "(default: 16)")
    _add_roots(planner)
    _add_reporting(planner)
    planner.set_defaults(action=_plan_job)

    merger = commands.add_parser("merge", help="put the result of a job together from its parts")
    merger.add_argument("job", help="path of the job.json")
    _add_roots(merger)
    _add_reporting(merger)
    merger.set_defaults(action=_merge_job)

    info = commands.add_parser("info", help="version, packages and methods of the engine")
    info.add_argument("--json", action="store_true", help="print as JSON")
    info.set_defaults(action=_info)

    check = commands.add_parser("check", help="compute something with every package and device, and say how it went")
    check.add_argument("--json", action="store_true", help="print as JSON")
    check.set_defaults(action=_check)
    return parser


def _add_sides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--side", type=int, default=2048, metavar="PIXELS", help="rows and columns of the windows in "
                        "which a single fusion is made (default: 2048)")


def _add_roots(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", action="append", default=[], type=_root, metavar="NAME=FOLDER", dest="roots",
                        help="folder that {NAME} stands for at the begin of paths in the job; may be given again")


def _root(text: str) -> tuple[str, str]:
    name, equals, folder = text.partition("=")
    if not (equals and name.isidentifier() and folder):
        raise argparse.ArgumentTypeError(f"'{text}' is no root such as data=/mnt/data")
    return name, folder


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
                nargs="+" if parameter.kind in ("rasters", "files") else None,
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
    _add_roots(parser)
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
    work: Work | None = None
    if options.part:
        work = _distribute("run_share", options.part)
    elif options.cluster:
        work = _distribute("run_on_cluster", options.cluster, options.side)
    return _execute(options, lambda: job.load(options.job, dict(options.roots)), work)


def _plan_job(options: argparse.Namespace) -> int:
    def work(context: Context) -> dict[str, Any]:
        from stfusion import distribute

        roots = [f"{name}={folder}" for name, folder in options.roots]
        return distribute.plan_job(context, Path(options.job), options.side, options.tasks, roots)

    return _execute(options, lambda: job.load(options.job, dict(options.roots)), work)


def _merge_job(options: argparse.Namespace) -> int:
    return _execute(options, lambda: job.load(options.job, dict(options.roots)), _distribute("merge"))


def _distribute(name: str, *values: Any) -> Work:
    """A function of the module for several machines, which is imported when it is needed."""

    def work(context: Context) -> dict[str, Any]:
        from stfusion import distribute

        found: dict[str, Any] = getattr(distribute, name)(context, *values)
        return found

    return work


def _export(options: argparse.Namespace, plain: dict[str, Any]) -> int:
    reporter = _reporter(options)
    try:
        order = json.loads(job.parse(plain, Path.cwd()).to_json())
        named = job.with_roots(order, lambda path: job.folded(path, dict(options.roots)))
        text = json.dumps(named, indent=2) + "\n"
        Path(options.export_job).write_text(text, encoding="utf-8")
    except StfError as error:
        return _report(reporter, error)
    except OSError as error:
        return _report(
            reporter, UserError(f"The job '{options.export_job}' cannot be written ({error.strerror}); choose another.")
        )
    reporter.log(f"Wrote {options.export_job}; run it with: stfusion run {options.export_job}")
    return 0


def _execute(options: argparse.Namespace, make: Callable[[], job.Job], work: Work | None = None) -> int:
    reporter = _reporter(options)
    stop = Stop()
    stop.on_signals()
    if options.watch_stdin:
        stop.on_closed_stdin()
    try:
        order = make()
    except StfError as error:
        return _report(reporter, error)
    return run(order, reporter, stop, work)


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

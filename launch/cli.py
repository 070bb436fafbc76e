"""The `cxrpt` command: its groups of words, and how any of them ends.

Exit codes: 0 done, 2 bad input (one line on stderr), 75 stopped after a save and to be resumed, 130 interrupted before
anything was worth a save, 1 anything else.
"""

import errno
import os
import sys
from collections.abc import Callable

import typer

from cxrpt.errors import InputError
from data_prep.ledger import place_of
from launch.demo import demo
from launch.doctor import doctor
from launch.evaluate import evaluate
from launch.export import export
from launch.init import init
from launch.inspect import inspect
from launch.logs import logs
from launch.metrics import metrics
from launch.plan import plan
from launch.prep import prep_app
from launch.pretrain import pretrain
from launch.status import status
from launch.stop import cancel, stop
from launch.submit import submit
from launch.synth import synth
from launch.tokenizer import tokenizer
from launch.verify import verify

app = typer.Typer(
    name="cxrpt",
    help="Pre-train one image-text transformer on paired and unpaired chest radiographs and reports.\n\n"
    "`cxrpt COMMAND --help` shows options and an example. `cxrpt --install-completion` lets the shell complete them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


GROUPS: dict[str, tuple[Callable[..., None], ...]] = {
    "Begin": (doctor, demo, synth, init),
    "Build shards": (verify, inspect, tokenizer),
    "Pre-train": (plan, pretrain, submit),
    "Follow a run": (status, logs, stop, cancel),
    "Evaluate and hand on": (evaluate, metrics, export),
}
"""The commands as `cxrpt --help` shows them, by job."""
for panel, commands in GROUPS.items():
    if panel == "Build shards":
        app.add_typer(prep_app, name="prep", rich_help_panel=panel)
    for command in commands:
        app.command(rich_help_panel=panel)(command)


_MENDABLE = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.EEXIST,
    errno.ENAMETOOLONG,
}  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; `CXRPT_DEBUG=1` shows the traceback of an input error."""
    try:
        app(arguments)
    except InputError as error:
        if os.environ.get("CXRPT_DEBUG"):
            raise
        typer.echo(f"cxrpt: {error}", err=True)
        sys.exit(2)
    except Exception as error:
        if os.environ.get("CXRPT_DEBUG"):
            raise
        if isinstance(error, OSError) and error.errno in _MENDABLE:
            # What a disk, a mount or a path does to us is the user's to mend; a path may identify, so it is not told.
            hint = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "mend the path or its rights"
            typer.echo(f"cxrpt: {error.strerror or 'the file system failed'}: {hint}; CXRPT_DEBUG=1 shows where", err=True)
            sys.exit(2)
        if "prep" not in (sys.argv[1:] if arguments is None else arguments)[:1]:
            raise
        # So may whatever the message of another error quotes of an export.
        told = f"{place_of(error)}: CXRPT_DEBUG=1 shows the traceback, which may quote the export"
        typer.echo(f"cxrpt: {told}: read it before you share it", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as end:
        # typer ends with 130 itself, without a word.
        if isinstance(end, SystemExit) and end.code != 130:
            raise
        typer.echo("cxrpt: interrupted; run the same command again", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()

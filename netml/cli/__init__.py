"""The ``netml`` command: every file beside this one parses one command and calls the API."""

import os
import sys
import traceback
from typing import Annotated

from netml import __version__
from netml.errors import TRACEBACK_VARIABLE, NetmlError, understood

INTERRUPTED = 130


def app():
    """The typer application with every command."""
    import typer

    from netml.cli import (
        compare,
        demo,
        describe,
        doctor,
        importing,
        record,
        reduce,
        simulate,
        train,
        tune,
        validate,
        validate_cells,
    )

    application = typer.Typer(
        name="netml",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )

    def say_version(wanted: bool) -> None:
        if wanted:
            typer.echo(f"netml {__version__}")
            raise typer.Exit

    version = typer.Option("--version", callback=say_version, is_eager=True, help="Show the version and exit.")

    @application.callback()
    def root(version: Annotated[bool, version] = False) -> None:
        """Detailed circuit -> learned reduction -> swapped network."""

    for module in (demo, doctor, reduce, simulate, record, train, tune, validate, validate_cells, compare, describe):
        application.command(module.__name__.rpartition(".")[2].replace("_", "-"))(module.command)
    application.add_typer(importing.group, name="import")
    return application


def main() -> None:
    """Entry point: a user's mistake is one line on stderr and exit status 1; an interrupt is status 130."""
    try:
        app()()
    except (NetmlError, OSError) as error:
        told = understood(error)
        if not isinstance(told, NetmlError):
            raise
        if os.environ.get(TRACEBACK_VARIABLE):
            traceback.print_exception(error)
        print(f"netml: error: {told}", file=sys.stderr, flush=True)
        _leave(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # what typer makes of a KeyboardInterrupt
            print("netml: interrupted", file=sys.stderr, flush=True)
            _leave(INTERRUPTED)
        raise


def _leave(status: int) -> None:
    """End; under mpirun, end the other ranks too: they may wait for this one for ever."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is not None and mpi.Is_initialized() and mpi.COMM_WORLD.Get_size() > 1:
        mpi.COMM_WORLD.Abort(status)
    sys.exit(status)

"""The program `sepsis-monitor`: global options, and the commands of `monitor.commands`, imported when used."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import IO, Any

import click

import monitor.commands
from monitor.errors import Failure
from monitor.invocation import Invocation
from monitor.version import VERSION

__all__ = ["main"]

_INTERRUPTED = 130  # 128 + SIGINT, as shells count
_FOR_TRAINING = frozenset({"torch", "matplotlib"})  # left out of the service's image: deploy/runtime_requirements.py


class _FailureLine(click.ClickException):
    """Shows a Failure the way of this program: one line on stderr."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.exit_code = failure.exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"sepsis-monitor: {self.message}", file=file or sys.stderr)


class _Commands(click.Group):
    """Finds commands by the modules' names, so that one command does not pay for the imports of another."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(module.name for module in pkgutil.iter_modules(monitor.commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the object `command` of the module of that name, or None where there is no such command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"monitor.commands.{cmd_name}").command
        if not isinstance(command, click.Command):
            msg = f"monitor.commands.{cmd_name}.command is not a click command"
            raise TypeError(msg)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what it names as its failure, or what is not installed, becomes one line and exit code 1."""
        try:
            return super().invoke(ctx)
        except Failure as failure:
            raise _FailureLine(failure) from failure
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in _FOR_TRAINING:
                raise
            msg = (
                f"`{ctx.invoked_subcommand}` needs {missing} for what it is asked, and this installation has none: "
                f"`pip install {missing}`, or take the image `workbench` of deploy/Dockerfile"
            )
            raise _FailureLine(Failure(msg)) from error
        except KeyboardInterrupt:
            ctx.exit(_INTERRUPTED)


def _version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"sepsis-monitor {VERSION}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="SEPSIS_MONITOR_CONFIG",
    metavar="FILE",
    show_envvar=True,
    help="TOML file with the configuration.",
)
@click.option("--log-format", type=click.Choice(["auto", "json", "console"]), help="How log lines look.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="The least level logged.")
@click.option(
    "--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Print the version."
)
@click.pass_context
def main(ctx: click.Context, config_file: Path | None, log_format: str | None, log_level: str | None) -> None:
    """Watch patients' vital signs for sepsis: streams in, a risk per patient, alerts out.

    \b
    sepsis-monitor demo                      everything at once, on this machine
    sepsis-monitor --config site.toml serve  one worker, in the foreground

    Exit code 0: success; 1: a failure, named in one line; 2: wrong usage; 130: Ctrl-C.
    """  # noqa: D301 - \b is click's mark for a paragraph that is not wrapped
    ctx.obj = Invocation(config_file, {"log.format": log_format, "log.level": log_level})

"""`crosshaul completion`: what a shell has to be told to complete verbs, options, routes and files."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from crosshaul.cli.verb import Verb

_ASKED_BY = "_CROSSHAUL_COMPLETE"
"""The variable by which click knows that a shell asks."""


@click.command(cls=Verb)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete verbs, options, files, and the configuration's routes and destinations.

    Examples:
      crosshaul completion bash > ~/.local/share/bash-completion/completions/crosshaul
      crosshaul completion zsh > ~/.zfunc/_crosshaul    # with fpath+=~/.zfunc before compinit in ~/.zshrc
      crosshaul completion fish > ~/.config/fish/completions/crosshaul.fish

    Exit codes:
      0  printed
      2  bad usage
    """
    found = get_completion_class(shell)
    if found is None:  # click has all three
        raise click.BadParameter(f"{shell} is not known.", param_hint="SHELL")
    click.echo(found(context.find_root().command, {}, "crosshaul", _ASKED_BY).source())

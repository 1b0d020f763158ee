"""`crosshaul completion`: the script with which a shell completes verbs, options, names and files."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from crosshaul.cli.verb import Verb

_COMPLETE_VARIABLE = "_CROSSHAUL_COMPLETE"
"""The environment variable by which click recognizes a completing shell."""


@click.command(cls=Verb)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that completes verbs, options, files, routes and destinations in a shell.

    Examples:
      crosshaul completion bash > ~/.local/share/bash-completion/completions/crosshaul
      crosshaul completion zsh > ~/.zfunc/_crosshaul    # with fpath+=~/.zfunc before compinit in ~/.zshrc
      crosshaul completion fish > ~/.config/fish/completions/crosshaul.fish

    Exit codes:
      0  printed
      2  bad usage
    """
    completion = get_completion_class(shell)
    if completion is None:  # click has all three
        raise click.BadParameter(f"{shell} is not supported.", param_hint="SHELL")
    click.echo(completion(context.find_root().command, {}, "crosshaul", _COMPLETE_VARIABLE).source())

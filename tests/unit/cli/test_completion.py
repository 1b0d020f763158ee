"""`crosshaul completion` in real shells: verbs, options and the configuration's names are completed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crosshaul.cli.main import VERBS

PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def asked(world, shell, script):
    """Return the shell's output after it has read the completion script."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not there")
    environment = {**os.environ, "PATH": PATH, "CROSSHAUL_CONFIG": str(world.config), "HOME": str(world.root)}
    done = subprocess.run([shell, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def bash(world, *words):
    typed = " ".join(f'"{word}"' for word in ("crosshaul", *words))
    script = f"""source <(crosshaul completion bash); COMP_WORDS=({typed}); COMP_CWORD={len(words)}
    _crosshaul_completion crosshaul; printf '%s\\n' "${{COMPREPLY[@]}}" """
    return asked(world, "bash", script)


def test_bash_completes_verbs_options_and_choices(world):
    """Bash completes verbs, a verb's options, and an option's values."""
    assert bash(world, "") == list(VERBS)
    assert bash(world, "re") == ["retry", "resend", "reload", "resume"]
    assert {"--json", "--watch", "--healthy"} <= set(bash(world, "status", "--"))
    assert bash(world, "list", "--state", "q") == ["quarantined"]
    assert bash(world, "completion", "") == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("verb", ["push", "list", "pause", "resume"])
def test_bash_completes_the_configurations_routes(world, verb):
    """Each verb with --route completes the configured routes."""
    assert bash(world, verb, "--route", "") == ["exports", "inner"]
    assert bash(world, verb, "-c", str(world.config), "--route", "in") == ["inner"]


def test_bash_completes_destinations(world):
    """`check --destination` completes the configured destinations."""
    assert bash(world, "check", "--destination", "") == ["partner"]
    assert bash(world, "policy", "--destination", "p") == ["partner"]


def test_a_broken_configuration_completes_nothing_and_says_nothing(world):
    """An invalid configuration completes nothing and prints no error."""
    world.config.write_text("nonsense: [")
    assert bash(world, "push", "--route", "") == []


def test_fish_completes_verbs_and_routes(world):
    """Fish completes verbs and routes."""
    script = "crosshaul completion fish | source; complete -C 'crosshaul val'; complete -C 'crosshaul push --route i'"
    output = asked(world, "fish", script)
    assert (output[0], output[-1]) == ("validate", "inner")


def test_zsh_takes_the_script_for_the_command(world):
    """In zsh the script registers itself for crosshaul, and completions have descriptions."""
    script = "autoload -U compinit; compinit -u; source <(crosshaul completion zsh); print $_comps[crosshaul]"
    assert asked(world, "zsh", script) == ["_crosshaul_completion"]
    output = asked(world, "zsh", "COMP_WORDS='crosshaul val' COMP_CWORD=1 _CROSSHAUL_COMPLETE=zsh_complete crosshaul")
    assert output == ["plain", "validate", *VERBS["validate"].split()]

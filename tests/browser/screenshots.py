"""Pictures of the status page for the docs: `python -m browser.screenshots DIRECTORY [SCENE]...`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from browser.browsing import page
from browser.scenes import SCENES

_SECONDS = 25.0
"""Time that a scene runs before its picture, for the charts."""
_SCHEMES = {"healthy": ("light",), "backlog": ("light", "dark"), "partner-down": ("light",)}


def take(scene: str, directory: Path) -> None:
    """Take the pictures of one scene."""
    with tempfile.TemporaryDirectory(prefix="crosshaul-scene-") as home, SCENES[scene](Path(home), _SECONDS) as stage:
        for scheme in _SCHEMES[scene]:
            name = scene if scheme == "light" else f"{scene}-{scheme}"
            with page(color_scheme=scheme, viewport={"width": 1100, "height": 800}) as window:
                window.goto(stage.url)
                picture = window.screenshot(full_page=True)
                small = subprocess.run(
                    ["pngquant", "--strip", "32", "-"], input=picture, capture_output=True, check=True
                )
                (directory / f"{name}.png").write_bytes(small.stdout)


def smaller(picture: bytes) -> bytes:
    """Return the same picture with few colours: a third of the bytes."""
    return subprocess.run(["pngquant", "--strip", "32", "-"], input=picture, capture_output=True, check=True).stdout


if __name__ == "__main__":
    for wanted in sys.argv[2:] or SCENES:
        take(wanted, Path(sys.argv[1]))

"""Configuration files for tests of config."""

from __future__ import annotations

from pathlib import Path

import pytest

from crosshaul.config import Config, load
from crosshaul.errors import ConfigError

ROLE = "role_arn: arn:aws:iam::012345678901:role/x"
SECRET = "s3cret-external-id"


def text(destination: str = "#", route: str = "#", top: str = "#", bucket: str = "partner-bucket") -> str:
    """Return a minimal file with lines inserted: destination's at line 5, route's at 9, top's at 10."""
    return "\n".join(
        [
            "state_dir: /var/lib/crosshaul",
            "destinations:",
            "  partner:",
            f"    bucket: {bucket}",
            f"    {destination}",
            "routes:",
            "  - name: exports",
            "    path: /srv/exports",
            f"    {route}",
            top,
        ]
    )


def loaded(tmp_path: Path, content: str | bytes, **environment: str) -> Config:
    path = tmp_path / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load(path, environment)


def faults(tmp_path: Path, content: str | bytes, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, content, **environment)
    assert refused.value.exit_code == 2
    assert all("\n" not in fault for fault in refused.value.faults)
    return [fault.removeprefix(f"{tmp_path}/c.yaml:") for fault in refused.value.faults]

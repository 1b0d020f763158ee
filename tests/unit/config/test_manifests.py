"""The shipped manifests for Kubernetes and compose."""

from __future__ import annotations

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from crosshaul.config import Config, load
from support.documents import block

WRITER = 30.0
"""Seconds that the writer has for its end (Kubernetes' usual grace)."""
CLOSING = 10.0
DEPLOY = Path(__file__).parents[3] / "deploy"


@pytest.mark.parametrize("name", ["sidecar", "daemonset"])
def test_kubernetes_takes_the_manifests(name):
    """Every object matches Kubernetes' schema, without unknown fields."""
    objects = list(yaml.safe_load_all((DEPLOY / f"kubernetes/{name}.yaml").read_text()))
    for each in objects:
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


def test_the_sidecars_configuration_is_one(tmp_path):
    """The configuration in the ConfigMap is valid, and a shutdown fits into the pod's grace period."""
    objects = {each["kind"]: each for each in yaml.safe_load_all((DEPLOY / "kubernetes/sidecar.yaml").read_text())}
    file = tmp_path / "config.yaml"
    file.write_text(objects["ConfigMap"]["data"]["config.yaml"])
    config = load(file)
    grace = objects["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert WRITER + config.shutdown_timeout + CLOSING <= grace
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["initContainers"]
    assert container["restartPolicy"] == "Always"
    assert container["args"] == ["run", "--finish"]
    assert "lifecycle" not in container  # a hook runs while the writer still writes, and takes of its time
    assert {each["mountPath"] for each in container["volumeMounts"]} >= {
        str(config.state_dir.parent),
        str(config.routes[0].path),
    }


def containers(name):
    """Return each container of a manifest with its configuration."""
    objects = list(yaml.safe_load_all((DEPLOY / f"kubernetes/{name}.yaml").read_text()))
    maps = {each["metadata"]["name"]: each["data"]["config.yaml"] for each in objects if each["kind"] == "ConfigMap"}
    for each in objects:
        pod = each.get("spec", {}).get("template", {}).get("spec")
        for container in [*pod.get("initContainers", []), *pod["containers"]] if pod else []:
            volumes = {volume["name"]: volume for volume in pod["volumes"]}
            yield container, volumes, maps


@pytest.mark.parametrize("name", ["sidecar", "daemonset"])
def test_no_probe_restarts_a_pod_for_the_partners_sake(name):
    """The probes test the main loops, and leave time for a start with a check of the journal."""
    [container] = [each for each, _, _ in containers(name) if each["image"] == "crosshaul"]
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"] == ["crosshaul", "status", "--live"]
        assert container[probe]["timeoutSeconds"] >= 10
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 600


@pytest.mark.parametrize("name", ["sidecar", "daemonset"])
def test_state_is_below_the_volumes_root_and_each_has_its_own_configuration(name, tmp_path):
    """state_dir is below the root of its volume, whose mode the pod cannot change."""
    [(container, volumes, maps)] = [each for each in containers(name) if each[0]["image"] == "crosshaul"]
    file = tmp_path / "config.yaml"
    file.write_text(maps[volumes["config"]["configMap"]["name"]])
    state_dir = load(file, {"NODE_NAME": "node-7"}).state_dir
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(state_dir) not in mounts
    assert str(state_dir.parent) in mounts


def test_the_group_of_a_volume_changes_on_a_mismatch_only():
    """FsGroup changes owners on a mismatch only, since after a recursive chown every file is uploaded again."""
    text = (DEPLOY / "kubernetes/sidecar.yaml").read_text()
    [pod] = [each["spec"]["template"]["spec"] for each in yaml.safe_load_all(text) if each["kind"] == "Deployment"]
    assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"


def test_what_a_build_takes_is_the_same_for_docker_and_podman():
    """Both .dockerignore and .containerignore keep secrets and virtual environments out of the image."""
    home = DEPLOY.parent
    assert (home / ".dockerignore").read_text() == (home / ".containerignore").read_text()
    assert (home / ".dockerignore").read_text().startswith("*\n")


def test_nothing_unpinned_builds_the_image_or_the_service():
    """Each `pip install` and `pip wheel` requires hashes, or uses local files only."""
    home = DEPLOY.parent
    texts = [(home / "Containerfile").read_text(), block("docs/OPERATIONS.md", "service")]
    commands = [line for text in texts for line in text.splitlines() if re.search(r"pip (install|wheel) ", line)]
    assert len(commands) >= 7
    for command in commands:
        assert "--require-hashes" in command or re.search(r"--no-deps --no-(build-isolation|index)", command), command


def test_the_daemonsets_nodes_can_be_distinguished(tmp_path):
    """The configuration of the DaemonSet prefixes the keys with the node name of each pod."""
    text = (DEPLOY / "kubernetes/daemonset.yaml").read_text()
    (pod,) = [each["spec"]["template"]["spec"] for each in yaml.safe_load_all(text) if each["kind"] == "DaemonSet"]
    (name,) = [each for each in pod["containers"][0]["env"] if each["name"] == "NODE_NAME"]
    assert name["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
    (map_,) = [each for each in yaml.safe_load_all(text) if each["kind"] == "ConfigMap"]
    file = tmp_path / "config.yaml"
    file.write_text(map_["data"]["config.yaml"])
    assert load(file, {"NODE_NAME": "node-7"}).routes[0].key == "node-7/{path}"


def test_compose_gives_the_time_that_an_end_takes():
    """The compose file's stop_grace_period covers the default shutdown_timeout and the closing."""
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["crosshaul"]
    default = Config.model_fields["shutdown_timeout"].default
    assert default + CLOSING <= float(service["stop_grace_period"].removesuffix("s"))

"""The shipped units under a real systemd."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from support.documents import block
from support.partner_fixtures import partner_process
from support.system_fixtures import until

pytestmark = pytest.mark.host
CONFIG = Path("etc/crosshaul/config.yaml")
CLONE = Path("root/crosshaul")
SITE = "etc/systemd/system/crosshaul.service.d/site.conf"
DROP_IN = block("docs/OPERATIONS.md", "drop-in")
OFFLINE = "PIP_NO_INDEX=1 PIP_FIND_LINKS=/root/crosshaul/wheels"
"""The directory in which pip finds the packages of the clone's copy."""


class Host:
    """The booted system: its root directory, and commands in it."""

    def __init__(self, output):
        machine, root = output.split(":", 1)
        self._machine = machine
        self.root = Path(root)

    def _init(self):
        """Return the system's init as seen from outside: a child of what boots it, another process after a reboot."""
        pid = self._machine
        for _ in range(2):
            output = subprocess.run(["pgrep", "-P", pid], capture_output=True, text=True, check=False).stdout.split()
            if not output:
                return None
            pid = output[0]
        return pid

    def try_(self, *command):
        enter = ["nsenter", "-t", self._init() or "0", "-m", "-u", "-i", "-n", "-p", "--"]
        return subprocess.run([*enter, *command], capture_output=True, text=True, timeout=120, check=False)

    def run(self, *command):
        done = self.try_(*command)
        assert done.returncode == 0, (command, done.stdout, done.stderr, self.log())
        return done.stdout

    def log(self, unit="crosshaul"):
        entries = self.try_("journalctl", "-u", unit, "-o", "json", "--no-pager").stdout
        return [json.loads(line) for line in entries.splitlines()]

    def reboot(self):
        """`systemctl reboot`, until the system is up again."""
        before = self._init()
        self.try_("systemctl", "reboot")
        until(lambda: self._init() not in {None, before}, 60)
        until(lambda: self.try_("systemctl", "is-active", "-q", "multi-user.target").returncode == 0, 60)

    def events(self, *names, unit="crosshaul"):
        texts = [str(each["MESSAGE"]) for each in self.log(unit)]
        output = [json.loads(text) for text in texts if text.startswith("{")]
        return [each for each in output if each["event"] in names]

    def shown(self, unit, name):
        return self.run("systemctl", "show", "-P", name, unit).strip()


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """Install and start the service as docs/OPERATIONS.md says, in a fresh system; yield it and its account."""
    host = Host(os.environ["CROSSHAUL_HOST"])
    with partner_process(spool=tmp_path_factory.mktemp("spool")) as account:
        host.run("mkdir", "-p", "/etc/crosshaul", "/srv/config")
        settle(host, account)
        config = host.root / CONFIG
        config.rename(host.root / CLONE / "config.yaml")
        script = f"cd /root/crosshaul; export {OFFLINE}\n{block('docs/OPERATIONS.md', 'service')}"
        host.run("bash", "-euc", script)
        yield host, account
        host.try_("systemctl", "disable", "--now", "crosshaul")


@pytest.fixture
def host(installed):
    host, _ = installed
    host.run("systemctl", "stop", "crosshaul")
    cleared(host)
    yield host
    for unit in ("crosshaul", "crosshaul@second"):
        host.try_("systemctl", "stop", unit)
        host.try_("systemctl", "reset-failed", unit)
    host.try_("systemctl", "disable", "crosshaul@second")
    cleared(host)


def cleared(host):
    host.run("journalctl", "--rotate", "--vacuum-time=1s", "-q")
    host.run("sh", "-c", "rm -rf /var/lib/crosshaul/* /srv/* /etc/crosshaul/*")


@pytest.fixture
def account(tmp_path):
    with partner_process(spool=tmp_path / "spool") as process:
        yield process


def settle(host, account, name="config", **more):
    """Write the configuration, the drop-in and the credentials of one service."""
    unit = "crosshaul" if name == "config" else f"crosshaul@{name}"
    state = "/var/lib/crosshaul" if name == "config" else f"/var/lib/crosshaul/{name}"
    config = {
        "state_dir": state,
        "identity": {"sts_endpoint_url": account.sts_endpoint_url},
        "destinations": {
            "partner": {
                "bucket": account.bucket,
                "endpoint_url": account.endpoint_url,
                "role_arn": account.role_arn,
                "external_id_file": f"/run/credentials/{unit}.service/external_id",
            }
        },
        "routes": [{"name": "r", "path": f"/srv/{name}", "destination": "partner", "settle": {"quiet": "200ms"}}],
        "retry": {"initial": "200ms", "max": "1s"},
        "http": None,
        **more,
    }
    etc = host.root / "etc/crosshaul"
    (etc / f"{name}.yaml").write_text(json.dumps(config))
    (etc / f"{name}.yaml").chmod(0o644)
    (etc / "external_id").write_text(account.external_id)
    (etc / "external_id").chmod(0o600)
    keys = f"AWS_ACCESS_KEY_ID={account.access_key_id}\nAWS_SECRET_ACCESS_KEY={account.secret_access_key}\n"
    (etc / "credentials.env").write_text(keys)
    drop = host.root / f"etc/systemd/system/{unit}.service.d"
    drop.mkdir(exist_ok=True)
    (drop / "site.conf").write_text(DROP_IN + "Environment=AWS_EC2_METADATA_DISABLED=true\n")
    host.run("mkdir", "-p", f"/srv/{name}")
    host.run("systemctl", "daemon-reload")


def put(host, name, content, of="config"):
    (host.root / "srv" / of / name).write_bytes(content)


def test_the_service_installed_as_documented_delivers(installed):
    """The document's commands, run as written on a fresh system, start and enable the service, and it delivers."""
    host, account = installed
    assert host.shown("crosshaul", "ActiveState") == "active"
    assert host.run("systemctl", "is-enabled", "crosshaul").strip() == "enabled"
    put(host, "a", b"as the document has it")
    until(lambda: "a" in account.objects())
    assert account.read("a") == b"as the document has it"
    assert host.run("stat", "-c", "%U %a", "/var/lib/crosshaul", "/etc/crosshaul").split() == [
        "crosshaul",
        "700",
        "root",
        "750",
    ]


def test_it_starts_is_ready_and_delivers(host, account):
    """`systemctl start` returns when the daemon is ready; a file is delivered; the journal has the log levels."""
    settle(host, account)
    host.run("systemctl", "start", "crosshaul")
    assert host.shown("crosshaul", "ActiveState") == "active"
    assert re.search("partner ready", host.shown("crosshaul", "StatusText")), host.shown("crosshaul", "StatusText")
    put(host, "a", b"over systemd")
    until(lambda: "a" in account.objects())
    assert account.read("a") == b"over systemd"
    until(lambda: host.events("file_delivered"))
    output = next(each for each in host.log() if '"file_delivered"' in str(each["MESSAGE"]))
    assert (output["PRIORITY"], output["_SYSTEMD_UNIT"]) == ("6", "crosshaul.service")
    assert host.shown("crosshaul", "User") == "crosshaul"
    assert not [each for each in host.log() if account.external_id in str(each["MESSAGE"])]
    host.run("crosshaul", "status", "-c", "/etc/crosshaul/config.yaml", "--healthy")


def test_reload_with_a_good_and_a_bad_file(host, account):
    """`systemctl reload` applies a valid file, and fails on an invalid one without a change."""
    settle(host, account)
    host.run("systemctl", "start", "crosshaul")
    settle(host, account, retry={"initial": "300ms", "max": "1s"})
    host.run("systemctl", "reload", "crosshaul")
    (host.root / CONFIG).write_text("nonsense: [")
    assert host.try_("systemctl", "reload", "crosshaul").returncode != 0
    assert host.shown("crosshaul", "ActiveState") == "active"
    put(host, "a", b"after both")
    until(lambda: "a" in account.objects())


def test_a_hung_process_is_ended_and_restarted(host, account):
    """Systemd kills and restarts a daemon that stopped feeding the watchdog, and files are delivered."""
    settle(host, account)
    (host.root / "etc/systemd/system/crosshaul.service.d/watch.conf").write_text("[Service]\nWatchdogSec=4\n")
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "start", "crosshaul")
    before = host.shown("crosshaul", "MainPID")
    host.run("systemctl", "kill", "-s", "STOP", "--kill-whom=main", "crosshaul")
    until(lambda: host.shown("crosshaul", "MainPID") not in {before, "0"}, 60)
    until(lambda: "watchdog" in " ".join(str(each["MESSAGE"]) for each in host.log()).lower())
    put(host, "a", b"by the next life")
    until(lambda: "a" in account.objects())
    (host.root / "etc/systemd/system/crosshaul.service.d/watch.conf").unlink()


def test_a_stop_in_mid_upload_drains(host, account):
    """`systemctl stop` during an upload returns when the file is delivered."""
    settle(host, account, transfer={"multipart_threshold": "5MiB", "part_size": "5MiB", "memory_limit": "5MiB"})
    account.fault("delay", "UploadPart", rule={"times": None}, seconds=0.5)
    host.run("systemctl", "start", "crosshaul")
    put(host, "large", bytes(30 << 20))
    until(lambda: account.calls("UploadPart"))
    host.run("systemctl", "stop", "crosshaul")
    assert len(account.read("large")) == 30 << 20
    assert host.shown("crosshaul", "Result") == "success"


def test_it_is_restarted_after_kill_9(host, account):
    """After SIGKILL systemd restarts the daemon, which continues the upload."""
    settle(host, account, transfer={"multipart_threshold": "5MiB", "part_size": "5MiB", "memory_limit": "5MiB"})
    account.fault("delay", "UploadPart", rule={"times": None}, seconds=0.4)
    host.run("systemctl", "start", "crosshaul")
    put(host, "large", bytes(40 << 20))
    until(lambda: len(account.calls("UploadPart")) > 2)
    host.run("systemctl", "kill", "-s", "KILL", "--kill-whom=main", "crosshaul")
    until(lambda: "large" in account.objects(), 60)
    assert len(account.calls("CreateMultipartUpload")) == 1
    assert host.shown("crosshaul", "NRestarts") == "1"


def test_a_bad_configuration_is_not_tried_again(host, account):
    """After exit code 2 the service has failed, with the reason in the journal, and is not restarted."""
    settle(host, account)
    (host.root / CONFIG).write_text("nonsense: 1\n")
    assert host.try_("systemctl", "start", "crosshaul").returncode != 0
    assert host.shown("crosshaul", "ExecMainStatus") == "2"
    assert host.shown("crosshaul", "NRestarts") == "0"
    until(lambda: any("unknown key" in str(each["MESSAGE"]) for each in host.log()))


def test_it_belongs_to_the_boot_after_the_network(host):
    """The enabled unit belongs to multi-user.target and is ordered after network-online.target."""
    assert "crosshaul.service" in host.shown("multi-user.target", "Wants")
    assert "network-online.target" in host.shown("crosshaul", "After")


def test_it_is_back_after_a_reboot_and_continues(host, account):
    """After a reboot during an upload the service starts after the network and continues the upload."""
    settle(host, account, transfer={"multipart_threshold": "5MiB", "part_size": "5MiB", "memory_limit": "5MiB"})
    host.run("systemctl", "start", "crosshaul")
    account.fault("delay", "UploadPart", rule={"times": None}, seconds=0.5)
    account.fault("stall", "UploadPart", rule={"part": 5, "times": 1}, seconds=600)
    put(host, "large", bytes(40 << 20))
    until(lambda: len(account.calls("UploadPart")) >= 4)
    host.reboot()
    until(lambda: "large" in account.objects(), 90)
    assert len(account.calls("CreateMultipartUpload")) == 1
    network = host.shown("network-online.target", "ActiveEnterTimestampMonotonic")
    assert int(network) <= int(host.shown("crosshaul", "ExecMainStartTimestampMonotonic"))


def test_the_journal_has_its_fields(host, account):
    """Each journal entry has the unit, the daemon's process and user, and the event's level."""
    settle(host, account)
    host.run("systemctl", "start", "crosshaul")
    main = host.shown("crosshaul", "MainPID")
    account.settings(role_exists=False)
    put(host, "a", b"x")
    until(lambda: host.events("file_delivered", "destination_parked"))
    host.run("systemctl", "stop", "crosshaul")
    entries = [each for each in host.log() if str(each["MESSAGE"]).startswith("{")]
    assert {each["SYSLOG_IDENTIFIER"] for each in entries} == {"crosshaul"}
    assert {each["_PID"] for each in entries} == {main}
    assert len({each["_UID"] for each in entries} - {"0"}) == 1
    levels = {json.loads(each["MESSAGE"])["level"]: each["PRIORITY"] for each in entries}
    assert levels.items() <= {"debug": "7", "info": "6", "warning": "4", "error": "3"}.items()
    assert "6" in levels.values()


def test_the_template_serves_a_second_configuration(host, account):
    """crosshaul@second runs beside crosshaul, with its own file, state and credentials."""
    settle(host, account)
    settle(host, account, "second")
    host.run("systemctl", "start", "crosshaul")
    script = block("docs/OPERATIONS.md", "template").replace("NAME", "second")
    host.run("bash", "-euc", f"cd /root/crosshaul\n{script}")
    put(host, "a", b"1")
    put(host, "b", b"2", of="second")
    until(lambda: set(account.objects()) == {"a", "b"})

"""AWS's rules for names and values, checked before AWS has to. Pure; ValueError is a sentence with what to write."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import socket
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from string import Formatter

STORAGE_CLASSES = (
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "GLACIER_IR",
    "DEEP_ARCHIVE",
    "OUTPOSTS",
    "SNOW",
    "EXPRESS_ONEZONE",
    "FSX_OPENZFS",
)
"""S3's StorageClass values (API reference, PutObject)."""
AWS_SHORTEST_SESSION = 900
"""Seconds (API reference, AssumeRole)."""
EXTERNAL_ID_LENGTHS = range(2, 1224 + 1)
SESSION_NAME_LENGTHS = range(2, 64 + 1)
"""Characters (API reference, AssumeRole)."""
MAX_TAGS = 10
MAX_SESSION_TAGS = 50
TAG_KEY_LENGTHS = range(1, 128 + 1)
TAG_VALUE_LENGTHS = range(256 + 1)
"""Characters (User Guide, "Categorizing your objects using tags")."""
OWN_METADATA = frozenset({"crosshaul-token", "crosshaul-source", "mtime"})
MAX_METADATA_BYTES = 2048 - 168
"""S3 takes 2 KB of names and values together; ours take up to 168 bytes of it."""
MAX_SOURCE = 64
"""Characters of a source's name."""
_STATE_DIGITS = 8
_PARTITION = "aws(?:-[a-z]+)*"
_ROLE = re.compile(rf"arn:({_PARTITION}):iam::[0-9]{{12}}:role/[\x21-\x7e]{{1,576}}")
_ANY_ROLE = re.compile(r"arn:[^:\s]*:[^:\s]*:[^:\s]*:[^:\s]*:[^\s]{1,576}")
_KMS_KEY = re.compile(rf"arn:{_PARTITION}:kms:([a-z0-9-]+):[0-9]{{12}}:key/[A-Za-z0-9-]+")
_REGION_PREFIXES: Mapping[str, tuple[str, str]] = {
    "aws-cn": ("cn-", "cn-north-1"),
    "aws-us-gov": ("us-gov-", "us-gov-west-1"),
}


def is_region(value: str) -> bool:
    """Whether a text can be a region's name; which regions there are is AWS's to say."""
    return re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", value) is not None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return host == "localhost" or host.endswith(".localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_bucket(value: str) -> str:
    """Hold a name against S3's rules for general purpose buckets."""
    if value.startswith("s3://") or "/" in value:
        bucket, _, rest = value.removeprefix("s3://").partition("/")
        raise ValueError(
            f"{value!r} is more than a bucket's name; write bucket: {bucket}"
            + (f" and key_prefix: {rest}" * bool(rest))
        )
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value) or ".." in value:
        rule = "3 to 63 of the characters a-z 0-9 . - beginning and ending with a letter or digit, without '..'"
        raise ValueError(f"{value!r} is not a bucket's name; write {rule}")
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", value):
        raise ValueError(f"{value!r} looks like an IP address, which no bucket may; write the bucket's name")
    return value


def check_arn(value: str, *, custom: bool) -> None:
    """Hold a role's ARN against IAM's form; ``custom`` stores have account parts of their own."""
    if (_ANY_ROLE if custom else _ROLE).fullmatch(value):
        return
    if ":assumed-role/" in value:
        raise ValueError(f"{value!r} is a session, not a role; write arn:aws:iam::ACCOUNT:role/NAME")
    raise ValueError(
        f"{value!r} is not a role's ARN; write arn:aws:iam::ACCOUNT:role/NAME with the account's 12 digits"
    )


def check_arn_region(arn: str, region: str | None) -> None:
    """Refuse a role of one partition (China, GovCloud, the rest) with a region of another."""
    wanted, example = _REGION_PREFIXES.get(arn.split(":")[1], ("", "us-east-1"))
    foreign = not wanted and region is not None and region.startswith(("cn-", "us-gov-"))
    if region is not None and (foreign or not region.startswith(wanted)):
        raise ValueError(
            f"a role of partition {arn.split(':')[1]} can't be used in {region}; write region: {example} or its like"
        )


def check_key_id(value: str, *, custom: bool, region: str | None) -> None:
    """Ask for a KMS key's full ARN, in the bucket's region; ``custom`` stores have ids of their own."""
    if custom:
        if not value:
            raise ValueError("it is empty; write the key's id, or remove it")
        return
    arn = _KMS_KEY.fullmatch(value)
    if arn is None:
        raise ValueError(f"{value!r} is not a KMS key's full ARN; write arn:aws:kms:REGION:ACCOUNT:key/ID")
    if region is not None and arn[1] != region:
        raise ValueError(f"the key is in {arn[1]} and the bucket in {region}; write a key of {region}")


def check_external_id(value: str) -> None:
    """Hold an external ID against STS's form, without ever quoting it (API reference, AssumeRole)."""
    if len(value) not in EXTERNAL_ID_LENGTHS:
        raise ValueError(
            f"an external ID has 2 to 1224 characters and this one has {len(value)}; check what it was set from"
        )
    if not re.fullmatch(r"[\w+=,.@:/-]+", value, re.ASCII):
        raise ValueError(
            "an external ID holds only the characters A-Z a-z 0-9 _ + = , . @ : / -; check what it was set from"
        )


def session_name(value: str) -> str:
    """Fill {hostname} into a session's name, as STS takes it: 2 to 64 characters, the host's cut and cleaned to fit."""
    try:
        pieces = [(literal, field) for literal, field, _, _ in Formatter().parse(value)]
    except ValueError:
        pieces = [("", "?")]
    if any(field not in {None, "hostname"} for _, field in pieces):
        raise ValueError(
            f"{value!r} may hold {{hostname}} and no other braces; write for instance crosshaul-{{hostname}}"
        )
    literal = "".join(literal for literal, _ in pieces)
    if not re.fullmatch(r"[\w+=,.@-]*", literal, re.ASCII):
        raise ValueError(f"{value!r} holds a character that STS refuses; write only A-Z a-z 0-9 _ + = , . @ -")
    hosts = sum(field is not None for _, field in pieces)
    room = max(0, SESSION_NAME_LENGTHS[-1] - len(literal)) // max(1, hosts)
    host = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:room]
    name = "".join(literal + (host if field else "") for literal, field in pieces)
    if len(name) not in SESSION_NAME_LENGTHS:
        raise ValueError(f"it comes to {len(name)} characters and STS takes 2 to 64; write another")
    return name


def source_name(value: str, state_dir: Path) -> str:
    """Fill {hostname} and {state_dir} into a source's name; the host's is cut so that the whole has 64 characters.

    A directory's name would tell the partner more than he need know: a few digits of its hash part two daemons of one
    host as well.
    """
    digits = hashlib.sha256(str(state_dir).encode()).hexdigest()[:_STATE_DIGITS]
    text = value.replace("{state_dir}", digits)
    literal = text.replace("{hostname}", "")
    if not re.fullmatch(r"[A-Za-z0-9._-]*", literal):
        allowed = "A-Z a-z 0-9 . _ - and {hostname} and {state_dir}"
        raise ValueError(f"{value!r} holds more than {allowed}; write for instance crm-exports")
    room = max(0, MAX_SOURCE - len(literal))
    name = text.replace("{hostname}", re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:room])
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or len(name) > MAX_SOURCE:
        raise ValueError(f"it comes to {name!r}; write 1 to {MAX_SOURCE} characters, the first a letter or digit")
    return name


def check_storage_class(value: str, *, custom: bool) -> None:
    """Hold a storage class against S3's list; ``custom`` stores have classes of their own."""
    if value in STORAGE_CLASSES or (custom and re.fullmatch(r"[\w.-]{1,64}", value, re.ASCII)):
        return
    close = get_close_matches(value.upper(), STORAGE_CLASSES, 1)
    raise ValueError(
        f"{value!r} is not a storage class; write {close[0] if close else 'one of ' + ', '.join(STORAGE_CLASSES)}"
    )


def check_tags(tags: dict[str, str]) -> dict[str, str]:
    """Hold object tags against S3's limits (User Guide, "Categorizing your objects using tags")."""
    if len(tags) > MAX_TAGS:
        raise ValueError(
            f"S3 takes {MAX_TAGS} tags on an object and here are {len(tags)}; remove {len(tags) - MAX_TAGS}"
        )
    for key, value in tags.items():
        if len(key) not in TAG_KEY_LENGTHS or len(value) not in TAG_VALUE_LENGTHS:
            raise ValueError(
                f"tag {key[: TAG_KEY_LENGTHS[-1]]!r}: a key has 1 to 128 characters and a value at most 256; shorten it"
            )
        if key.lower().startswith("aws:"):
            raise ValueError(f"tag {key!r}: keys that begin with aws: belong to AWS; write another")
        if any(not (c.isalnum() or c.isspace() or c in "+-=._:/@") for c in key + value):
            raise ValueError(
                f"tag {key!r}: only letters, digits, spaces and + - = . _ : / @ are taken; write it with these"
            )
    return tags


def check_session_tags(tags: dict[str, str]) -> dict[str, str]:
    """Hold session tags against STS's limits, and fill in {hostname} (IAM user guide, "Passing session tags")."""
    if len(tags) > MAX_SESSION_TAGS:
        more = len(tags) - MAX_SESSION_TAGS
        raise ValueError(f"STS takes {MAX_SESSION_TAGS} tags on a session and here are {len(tags)}; remove {more}")
    host = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())
    filled = {key: value.replace("{hostname}", host)[: TAG_VALUE_LENGTHS[-1]] for key, value in tags.items()}
    for key, value in filled.items():
        check_tags({key: value})
    return filled


def check_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Hold user metadata against what HTTP headers carry safely; names come back in lower case, as S3 keeps them."""
    for name, value in metadata.items():
        _check_metadatum(name, value)
    lower = {name.lower(): value for name, value in metadata.items()}
    if len(lower) != len(metadata):
        raise ValueError("two names differ only in case, which S3 doesn't keep; rename one")
    total = sum(len(name) + len(value) for name, value in lower.items())
    if total > MAX_METADATA_BYTES:
        raise ValueError(f"names and values come to {total} bytes and {MAX_METADATA_BYTES} fit; shorten them")
    return lower


def _check_metadatum(name: str, value: str) -> None:
    if name.lower().startswith("x-amz-meta-"):
        raise ValueError(f"{name!r}: x-amz-meta- is put before it anyway; write {name[11:]!r}")
    if name.lower() in OWN_METADATA:
        raise ValueError(f"{name!r} is what crosshaul itself writes; write another name")
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ValueError(f"{name!r} can't be a header's name; write letters, digits and -")
    if not re.fullmatch(r"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?", value):
        raise ValueError(
            f"{name!r}: its value must be printable ASCII without spaces at its ends; encode it, for instance in base64"
        )

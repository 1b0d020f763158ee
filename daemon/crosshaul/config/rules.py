"""AWS's rules for names and values. Pure; a ValueError says what is wrong and what to write."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from string import Formatter

from crosshaul.errors import suggestion

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
AWS_MIN_SESSION_SECONDS = 900
"""From the API reference of AssumeRole."""
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
"""S3 allows 2 KB of names and values together; Crosshaul's own need up to 168 bytes of it."""
MAX_SOURCE_LENGTH = 64
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
    """True if a text has the form of a region name."""
    return re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", value) is not None


def is_loopback(host: str) -> bool:
    """True if a host is a loopback address."""
    try:
        return host == "localhost" or host.endswith(".localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_bucket(value: str) -> str:
    """Check a name by S3's rules for general purpose buckets."""
    if value.startswith("s3://") or "/" in value:
        bucket, _, rest = value.removeprefix("s3://").partition("/")
        raise ValueError(
            f"{value!r} is more than a bucket name; write bucket: {bucket}" + (f" and key_prefix: {rest}" * bool(rest))
        )
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value) or ".." in value:
        rule = "3 to 63 characters a-z 0-9 . - that start and end with a letter or digit, without '..'"
        raise ValueError(f"{value!r} is not a bucket name; write {rule}")
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", value):
        raise ValueError(f"{value!r} looks like an IP address, which S3 does not allow; write the name of the bucket")
    return value


def check_arn(value: str, *, custom: bool) -> None:
    """Check the ARN of a role; ``custom`` stores have their own form of accounts."""
    if (_ANY_ROLE if custom else _ROLE).fullmatch(value):
        return
    if ":assumed-role/" in value:
        raise ValueError(f"{value!r} is a session, not a role; write arn:aws:iam::ACCOUNT:role/NAME")
    raise ValueError(
        f"{value!r} is not the ARN of a role; write arn:aws:iam::ACCOUNT:role/NAME, where ACCOUNT has 12 digits"
    )


def check_arn_region(arn: str, region: str | None) -> None:
    """Check that a role's partition (China, GovCloud, the rest) has the region."""
    wanted, example = _REGION_PREFIXES.get(arn.split(":")[1], ("", "us-east-1"))
    foreign = not wanted and region is not None and region.startswith(("cn-", "us-gov-"))
    if region is not None and (foreign or not region.startswith(wanted)):
        raise ValueError(
            f"a role in partition {arn.split(':')[1]} cannot be used in {region}; "
            f"write a region of that partition, such as {example}"
        )


def check_key_id(value: str, *, custom: bool, region: str | None) -> None:
    """Check for the full ARN of a KMS key in the bucket's region; ``custom`` stores have their own ids."""
    if custom:
        if not value:
            raise ValueError("empty; write the key id, or remove it")
        return
    arn = _KMS_KEY.fullmatch(value)
    if arn is None:
        raise ValueError(f"{value!r} is not the full ARN of a KMS key; write arn:aws:kms:REGION:ACCOUNT:key/ID")
    if region is not None and arn[1] != region:
        raise ValueError(f"the key is in {arn[1]} and the bucket in {region}; write a key in {region}")


def check_external_id(value: str) -> None:
    """Check an external ID by STS's rules, without quoting it (API reference, AssumeRole)."""
    if len(value) not in EXTERNAL_ID_LENGTHS:
        raise ValueError(f"an external ID has 2 to 1224 characters, this one has {len(value)}; check its source")
    if not re.fullmatch(r"[\w+=,.@:/-]+", value, re.ASCII):
        raise ValueError("an external ID contains only the characters A-Z a-z 0-9 _ + = , . @ : / -; check its source")


def session_name(value: str) -> str:
    """Replace {hostname} in a session name, shortened and cleaned so that the name fits STS's 2 to 64 characters."""
    try:
        pieces = [(literal, field) for literal, field, _, _ in Formatter().parse(value)]
    except ValueError:
        pieces = [("", "?")]
    if any(field not in {None, "hostname"} for _, field in pieces):
        raise ValueError(
            f"{value!r} may contain {{hostname}} but no other braces; write for example crosshaul-{{hostname}}"
        )
    literal = "".join(literal for literal, _ in pieces)
    if not re.fullmatch(r"[\w+=,.@-]*", literal, re.ASCII):
        raise ValueError(f"{value!r} contains a character that STS refuses; use only A-Z a-z 0-9 _ + = , . @ -")
    hosts = sum(field is not None for _, field in pieces)
    room = max(0, SESSION_NAME_LENGTHS[-1] - len(literal)) // max(1, hosts)
    host = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:room]
    name = "".join(literal + (host if field else "") for literal, field in pieces)
    if len(name) not in SESSION_NAME_LENGTHS:
        raise ValueError(f"the name has {len(name)} characters, STS allows 2 to 64; write another name")
    return name


def source_name(value: str, state_dir: Path) -> str:
    """Replace {hostname} and {state_dir} in a source name; the host is shortened so that the name has 64 characters.

    {state_dir} becomes a few digits of a hash, which distinguish two daemons of one host without disclosing the path.
    """
    digits = hashlib.sha256(str(state_dir).encode()).hexdigest()[:_STATE_DIGITS]
    text = value.replace("{state_dir}", digits)
    literal = text.replace("{hostname}", "")
    if not re.fullmatch(r"[A-Za-z0-9._-]*", literal):
        allowed = "A-Z a-z 0-9 . _ - and {hostname} and {state_dir}"
        raise ValueError(f"{value!r} contains more than {allowed}; write for example crm-exports")
    room = max(0, MAX_SOURCE_LENGTH - len(literal))
    name = text.replace("{hostname}", re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:room])
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or len(name) > MAX_SOURCE_LENGTH:
        raise ValueError(
            f"the name is {name!r}; write 1 to {MAX_SOURCE_LENGTH} characters that start with a letter or digit"
        )
    return name


def check_storage_class(value: str, *, custom: bool) -> None:
    """Check a storage class by S3's list; ``custom`` stores have their own classes."""
    if value in STORAGE_CLASSES or (custom and re.fullmatch(r"[\w.-]{1,64}", value, re.ASCII)):
        return
    raise ValueError(f"{value!r} is not a storage class; {suggestion(value.upper(), STORAGE_CLASSES)}")


def check_tags(tags: dict[str, str]) -> dict[str, str]:
    """Check object tags by S3's limits (User Guide, "Categorizing your objects using tags")."""
    if len(tags) > MAX_TAGS:
        raise ValueError(f"S3 allows {MAX_TAGS} tags on an object, here are {len(tags)}; remove {len(tags) - MAX_TAGS}")
    for key, value in tags.items():
        if len(key) not in TAG_KEY_LENGTHS or len(value) not in TAG_VALUE_LENGTHS:
            raise ValueError(
                f"tag {key[: TAG_KEY_LENGTHS[-1]]!r}: a key has 1 to 128 characters and a value at most 256; shorten it"
            )
        if key.lower().startswith("aws:"):
            raise ValueError(f"tag {key!r}: keys that start with aws: are reserved; write another key")
        if any(not (c.isalnum() or c.isspace() or c in "+-=._:/@") for c in key + value):
            raise ValueError(
                f"tag {key!r}: only letters, digits, spaces and + - = . _ : / @ are allowed; replace the others"
            )
    return tags


def check_session_tags(tags: dict[str, str]) -> dict[str, str]:
    """Check session tags by STS's limits, and replace {hostname} (IAM user guide, "Passing session tags")."""
    if len(tags) > MAX_SESSION_TAGS:
        more = len(tags) - MAX_SESSION_TAGS
        raise ValueError(f"STS allows {MAX_SESSION_TAGS} tags on a session, here are {len(tags)}; remove {more}")
    host = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())
    filled = {key: value.replace("{hostname}", host)[: TAG_VALUE_LENGTHS[-1]] for key, value in tags.items()}
    for key, value in filled.items():
        check_tags({key: value})
    return filled


def check_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Check that user metadata fits into HTTP headers; return it with names in lower case, as S3 stores them."""
    for name, value in metadata.items():
        _check_metadatum(name, value)
    lower = {name.lower(): value for name, value in metadata.items()}
    if len(lower) != len(metadata):
        raise ValueError("two names differ only in case, and S3 stores them in lower case; rename one")
    total = sum(len(name) + len(value) for name, value in lower.items())
    if total > MAX_METADATA_BYTES:
        raise ValueError(f"names and values have {total} bytes, the limit is {MAX_METADATA_BYTES}; shorten them")
    return lower


def _check_metadatum(name: str, value: str) -> None:
    if name.lower().startswith("x-amz-meta-"):
        raise ValueError(f"{name!r}: the prefix x-amz-meta- is added automatically; write {name[11:]!r}")
    if name.lower() in OWN_METADATA:
        raise ValueError(f"{name!r} is reserved for Crosshaul; write another name")
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ValueError(f"{name!r} is not a valid header name; use letters, digits and -")
    if not re.fullmatch(r"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?", value):
        raise ValueError(
            f"{name!r}: the value must be printable ASCII without leading or trailing spaces; "
            "encode it, for example in base64"
        )

"""The keys of a destination that say where its bucket is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from crosshaul.config.object_place import place_at
from crosshaul.config.rules import check_bucket
from crosshaul.config.types import AbsolutePath, Label, OptionalUrl, Region, Section, Text
from crosshaul.model import Place


class BucketConfig(Section):
    """The bucket of a destination: where it is, and how to reach it."""

    name: Label
    """The key under `destinations`."""
    bucket: Annotated[Text, AfterValidator(check_bucket)] = Field(examples=["partner-bucket"])
    """The name of the bucket.

    A name with dots is addressed in path style over TLS.
    """
    endpoint_url: OptionalUrl = None
    """The S3 endpoint of a compatible store, `https://HOST:PORT`. null = AWS.

    With it, KMS key ids and storage classes follow the rules of the store.
    """
    region: Region = "us-east-1"
    """The region of the bucket. The default is `identity.region`."""
    key_prefix: Text = ""
    """A prefix of all object keys. A trailing `/` is added.

    For a prefix that is not a directory, such as `2024-`, use the `key` of a route.
    """
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    """Where requests name the bucket: in the path, or in the host name (virtual)."""
    tls_ca_bundle: AbsolutePath | None = None
    """A PEM file of trusted certificate authorities. null = those of the system.

    See [Connections](#connections).
    """

    @property
    def place(self) -> Place:
        """The store and bucket of the objects."""
        return place_at(self.endpoint_url, self.region, self.bucket)

    @field_validator("key_prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        segments = value.removesuffix("/").split("/")
        if value and not {"", ".", ".."}.isdisjoint(segments):
            clean = "/".join(segment for segment in segments if segment not in {"", ".", ".."})
            raise ValueError(
                f"{value!r} begins with '/' or contains a '//', '.' or '..' segment; write {clean + '/'!r}"
            )
        return value if not value or value.endswith("/") else f"{value}/"

    @field_validator("addressing_style")
    @classmethod
    def _style(cls, value: str, info: ValidationInfo) -> str:
        over_tls = not (info.data.get("endpoint_url") or "https:").startswith("http:")
        if value == "virtual" and over_tls and "." in info.data.get("bucket", ""):
            raise ValueError("TLS certificates do not cover host names of buckets with dots; write auto or path")
        return value

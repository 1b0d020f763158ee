"""Step ``least_privilege``: permissions that the role has and Crosshaul does not need."""

from __future__ import annotations

import secrets

from crosshaul.aws.bucket import Bucket
from crosshaul.trust.findings import Finding, Outcome
from crosshaul.trust.steps.context import CheckContext

_STEP = "least_privilege"


async def least_privilege(context: CheckContext) -> list[Finding]:
    """Test the role's own permissions, without a session policy.

    The tests change nothing: they list one object, and delete a version of a key that does not exist.
    """
    async with context.open_unrestricted() as bucket:
        excess = await _excess_permissions(bucket, context.key)
    if not excess:
        message = "listing, deleting versions, the bucket policy, other buckets and IAM are denied, as they should be"
        return [Finding(_STEP, Outcome.PASS, message)]
    return [
        Finding(
            _STEP, Outcome.WARN, f"the role allows {right}, which Crosshaul does not need", details={"right": right}
        )
        for right in excess
    ]


async def _excess_permissions(bucket: Bucket, key: str) -> list[str]:
    rights = ["s3:ListAllMyBuckets"] if await bucket.sees_other_buckets() else []
    rights += ["iam:ListRoles"] if await bucket.sees_iam() else []
    for right, operation, target, more in (
        ("s3:ListBucket", "list_objects_v2", None, {"MaxKeys": 1}),
        ("s3:DeleteObjectVersion", "delete_object", f"{key}-{secrets.token_hex(8)}", {"VersionId": "null"}),
        ("s3:GetBucketPolicy", "get_bucket_policy", None, {}),
    ):
        if await bucket.may(operation, target, **more):
            rights.append(right)
    return rights

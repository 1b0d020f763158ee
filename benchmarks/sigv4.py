"""Measure the time of one S3 signature, with a session token and the headers of a small PutObject."""

from __future__ import annotations

import time

from crosshaul.aws.sigv4 import UNSIGNED_PAYLOAD, Credentials, Signer, encode_key

COUNT = 50_000
HEADERS = [
    ("content-type", "application/octet-stream"),
    ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
    ("x-amz-meta-mtime", "1700000000.123456789"),
    ("x-amz-meta-crosshaul-token", "0123456789abcdef0123456789abcdef"),
    ("x-amz-expected-bucket-owner", "123456789012"),
    ("x-amz-sdk-checksum-algorithm", "CRC64NVME"),
]


def main() -> None:
    signer = Signer(Credentials("AKIAIOSFODNN7EXAMPLE", "secret" * 7, "token" * 200), "us-east-1")
    host = "examplebucket.s3.amazonaws.com"
    start = time.perf_counter()
    for number in range(COUNT):
        path = "/" + encode_key(f"exports/2024/part-{number}.csv")
        signer.sign("PUT", host, path, "", HEADERS, UNSIGNED_PAYLOAD, time.time())
    each = (time.perf_counter() - start) / COUNT
    print(f"{each * 1e6:.1f} us a signature, key encoded and signed with a 1,000-byte session token")


if __name__ == "__main__":
    main()

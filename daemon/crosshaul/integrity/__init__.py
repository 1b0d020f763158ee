"""Checksums, and the proof that the bucket holds the bytes that were sent."""

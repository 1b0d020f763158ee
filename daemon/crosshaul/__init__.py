"""Crosshaul delivers the files of watched directories to an S3 bucket in a partner's AWS account."""

__version__ = "0.2.0"

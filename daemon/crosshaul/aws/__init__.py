"""S3 and STS: credentials, calls, and the meaning of their errors."""

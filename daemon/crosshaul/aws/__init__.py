"""Everything that is AWS: whose credentials, which calls, what their errors mean."""

"""Shared parts of the tests: worlds, fixtures, partners, and tables from which documents are made."""

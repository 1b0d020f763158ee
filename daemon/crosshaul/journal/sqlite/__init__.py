"""The journal in SQLite. The only owner of sqlite3."""

"""What was scanned, kept in SQLite."""

"""Scans that are run again and again."""

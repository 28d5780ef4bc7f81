"""The running service: its parts, their order, and new settings while it runs."""

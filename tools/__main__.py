"""`python -m tracefuse.tools` and the `tracefuse` command."""

from __future__ import annotations

from .cli._cli import cli


def main() -> None:
    """Run the command line."""
    cli(prog_name="tracefuse")


if __name__ == "__main__":
    main()

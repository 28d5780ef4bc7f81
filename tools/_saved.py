"""Results on disk: nmap's own output, or what `tracefuse scan --json` printed."""

from __future__ import annotations

import json
from pathlib import Path

from .nmap import ParseError, Report, parse_nmap_output, report_from_dict

__all__ = ["read_report"]


def read_report(path: str) -> Report:
    """A report from nmap's own output, from a report's JSON, or from what `scan --json` printed.

    Raises:
        ParseError: the file is none of these.
    """
    data = Path(path).read_bytes()
    if not data.lstrip().startswith(b"{"):
        return parse_nmap_output(data)
    try:
        document = json.loads(data)
    except ValueError as error:
        raise ParseError(f"{path} is no whole JSON document: {error}") from error
    return report_from_dict(document.get("report", document))

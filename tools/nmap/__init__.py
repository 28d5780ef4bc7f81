"""nmap: grammars and policy of its command line, its report, what changed between two, and the tool itself."""

from __future__ import annotations

from ._changes import Change, ChangeKind, ReportDiff
from ._diff import VOLATILE_SCRIPTS, diff
from ._export_csv import CSV_COLUMNS, report_to_csv
from ._export_markdown import report_to_markdown
from ._export_text import report_to_text
from ._export_xml import report_to_xml
from ._host import Address, Host, Hostname, Port, Script, Service
from ._installation import Installation, inspect_nmap
from ._json import REPORT_SCHEMA, report_from_dict, report_from_json, report_to_dict, report_to_json
from ._known_result import ScanResult
from ._limits import Limits
from ._live_ports import PortDiscovered
from ._options import OPTION_TABLE, Option, Verdict
from ._outcome import Outcome
from ._own_templates import TemplateError, read_templates
from ._parse_errors import EntityRefusedError, LimitExceededError, MalformedXmlError, NotNmapError, ParseError
from ._parser import EventParser
from ._phases import phase_name
from ._plan import plan
from ._progress import OverallProgress
from ._reading import ReportParser, iter_hosts, parse_nmap_output
from ._report import Report
from ._request import ScanPlan, ScanRequest
from ._resolver import resolve
from ._scan_events import (
    HostFinished,
    HostHinted,
    PhaseBegan,
    PhaseEnded,
    Progress,
    ScanEvent,
    ScanFinished,
    ScanStarted,
)
from ._scope import Resolver
from ._script_db import ScriptDatabase, ScriptDatabaseError, load_script_database
from ._scripts import ScriptSelection, clear_script_cache
from ._templates import TEMPLATES, ScanTemplate, Template
from ._tool import LiveEvent, Nmap

__all__ = [
    "CSV_COLUMNS",
    "OPTION_TABLE",
    "REPORT_SCHEMA",
    "TEMPLATES",
    "VOLATILE_SCRIPTS",
    "Address",
    "Change",
    "ChangeKind",
    "EntityRefusedError",
    "EventParser",
    "Host",
    "HostFinished",
    "HostHinted",
    "Hostname",
    "Installation",
    "LimitExceededError",
    "Limits",
    "LiveEvent",
    "MalformedXmlError",
    "Nmap",
    "NotNmapError",
    "Option",
    "Outcome",
    "OverallProgress",
    "ParseError",
    "PhaseBegan",
    "PhaseEnded",
    "Port",
    "PortDiscovered",
    "Progress",
    "Report",
    "ReportDiff",
    "ReportParser",
    "Resolver",
    "ScanEvent",
    "ScanFinished",
    "ScanPlan",
    "ScanRequest",
    "ScanResult",
    "ScanStarted",
    "ScanTemplate",
    "Script",
    "ScriptDatabase",
    "ScriptDatabaseError",
    "ScriptSelection",
    "Service",
    "Template",
    "TemplateError",
    "Verdict",
    "clear_script_cache",
    "diff",
    "inspect_nmap",
    "iter_hosts",
    "load_script_database",
    "parse_nmap_output",
    "phase_name",
    "plan",
    "read_templates",
    "report_from_dict",
    "report_from_json",
    "report_to_csv",
    "report_to_dict",
    "report_to_json",
    "report_to_markdown",
    "report_to_text",
    "report_to_xml",
    "resolve",
]

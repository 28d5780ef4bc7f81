"""The sections of the settings: every field with its type, range, default and meaning."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path  # noqa: TC003 - pydantic reads it
from typing import Annotated, Final, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from .._policy import PRIVATE_NETWORKS, Policy

__all__ = [
    "RESTART",
    "AlertSettings",
    "BreakerSettings",
    "DiscoverySettings",
    "HealthSettings",
    "HistorySettings",
    "LoggingSettings",
    "NmapSettings",
    "PolicySettings",
    "QueueSettings",
    "RestartOnly",
    "RetrySettings",
    "ScheduleSettings",
    "Section",
    "ServeSettings",
    "SidecarSettings",
    "TelemetrySettings",
]


@dataclass(frozen=True, slots=True)
class RestartOnly:
    """Marks a setting that a running service cannot change: what it sets is built once, at the start."""


RESTART: Final = RestartOnly()


def _parts(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _split(value: object) -> object:
    """Let a comma list stand for a tuple, as people write one in a variable."""
    return _parts(value) if isinstance(value, str) else value


def _networks(value: object) -> object:
    """Networks as texts; a number is one for `ipaddress`, and nobody means it."""
    if isinstance(value, str):
        value = _parts(value)
    if not isinstance(value, list | tuple):
        return value
    entries = cast("list[object] | tuple[object, ...]", value)
    return tuple(ip_network(entry) if isinstance(entry, str) else _network(entry) for entry in entries)


def _level(value: object) -> object:
    """The words of `logging`, in any case."""
    word = value.strip().lower() if isinstance(value, str) else ""
    return {"warn": "warning", "critical": "error", "fatal": "error"}.get(word, word) or value


def _network(value: object) -> object:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    raise ValueError(f"{value!r} is no network as a text")


_Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
_Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)]


class Section(BaseModel):
    """A group of settings: frozen, and without room for a name that is not in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NmapSettings(Section):
    """The program and what one run of it may take."""

    path: str = Field(default="nmap", description="the program: a name on PATH, or a path")
    timeout: float = Field(default=300.0, gt=0, le=86_400, description="seconds for one run of nmap")
    host_timeout: float | None = Field(
        default=None,
        ge=1,
        le=86_400,
        description="seconds after which nmap gives up on one host; `--host-timeout` of a request wins",
        examples=[1800.0],
    )
    grace: float = Field(default=2.0, ge=0, le=60, description="seconds from asking nmap to end until it is killed")
    output_limit: int = Field(
        default=1_000_000_000,
        ge=100_000,
        le=1_000_000_000_000,
        description="bytes that one run of nmap may write before it is stopped",
    )


class QueueSettings(Section):
    """How many scans run at once, and how many more may wait."""

    total: int = Field(default=8, ge=1, le=1000, description="scans at once, in all")
    per_tool: int = Field(default=4, ge=1, le=1000, description="scans at once of one tool; more wait, by turns")
    length: int = Field(
        default=100, ge=0, le=100_000, description="scans that may wait; more are refused with a time to come back"
    )


class PolicySettings(Section):
    """What may be scanned, and how; a running scan keeps the policy that it was admitted under."""

    networks: _Networks = Field(default=PRIVATE_NETWORKS, description="networks that targets may lie in")
    domains: _Texts = Field(
        default=(".lab.internal",),
        description="domains whose names may be scanned; their addresses must lie in the networks, too",
    )
    max_addresses: int = Field(default=1024, ge=1, le=1_048_576, description="addresses in one scan")
    allow_intrusive: bool = Field(
        default=False, description="allow options and scripts that may disturb or attack the target"
    )
    script_categories: _Texts = Field(
        default=("default", "safe"), description="categories of scripts, of which one must have a script that is run"
    )
    max_port_ranges: int = Field(default=100, ge=1, le=1_000, description="elements of one list of ports")
    max_argument_length: int = Field(default=2_048, ge=64, le=10_240, description="characters of extra arguments")
    max_timeout: float = Field(default=3_600.0, ge=1, le=604_800, description="seconds that a request may ask for")
    max_host_timeout: float = Field(
        default=14_400.0, ge=60, le=604_800, description="seconds that a request may ask for with `--host-timeout`"
    )

    @field_validator("networks", "domains", "script_categories")
    @classmethod
    def _as_the_policy_has_it(cls, value: object, info: ValidationInfo) -> object:
        Policy(**{info.field_name or "": value})  # type: ignore[arg-type]
        return value

    def policy(self) -> Policy:
        """The policy that these settings make."""
        return Policy(**{name: getattr(self, name) for name in type(self).model_fields})


class RetrySettings(Section):
    """How a failed run is tried again."""

    attempts: int = Field(default=2, ge=1, le=10, description="tries in all, the first included")
    wait: float = Field(default=0.5, gt=0, le=300, description="seconds before the second try")


class BreakerSettings(Section):
    """When the circuit opens, and for how long."""

    failure_threshold: int = Field(default=5, ge=1, le=1000, description="failures in a row that open the circuit")
    recovery_timeout: float = Field(
        default=60.0, gt=0, le=86_400, description="seconds until a probe is let through; grows while probes fail"
    )
    success_threshold: int = Field(default=1, ge=1, le=10, description="probes in a row that close it again")


class TelemetrySettings(Section):
    """What goes beyond the standard `OTEL_*` variables."""

    trace_url: str | None = Field(
        default=None,
        description="link to a trace in your backend, with `{trace_id}` in it; printed after a scan",
        examples=["http://127.0.0.1:16686/trace/{trace_id}"],
    )
    record_arguments: bool = Field(default=False, description="put nmap's command line, targets included, on its span")
    redact_targets: Annotated[bool, RESTART] = Field(
        default=False, description="leave addresses out of host events and log lines"
    )
    shutdown_deadline: Annotated[float, RESTART] = Field(
        default=5.0, gt=0, le=60, description="seconds for the last flush"
    )


class ServeSettings(Section):
    """Where `tracefuse serve` listens, whom it lets in, and how much of it one client may take."""

    host: Annotated[str, RESTART] = Field(
        default="127.0.0.1", description="address to listen on; off loopback only with tokens and TLS"
    )
    port: Annotated[int, RESTART] = Field(default=8080, ge=0, le=65_535, description="port; 0 takes a free one")
    grace: Annotated[int, RESTART] = Field(
        default=10, ge=0, le=600, description="seconds that running scans get to finish at the end"
    )
    tokens_file: Annotated[Path | None, RESTART] = Field(
        default=None,
        description="file with the hashed tokens of those who may use the service",
        examples=["/etc/tracefuse/tokens"],
    )
    tls_cert: Annotated[Path | None, RESTART] = Field(
        default=None, description="certificate chain, PEM", examples=["/etc/tracefuse/tls.crt"]
    )
    tls_key: Annotated[Path | None, RESTART] = Field(
        default=None, description="its private key, PEM", examples=["/etc/tracefuse/tls.key"]
    )
    insecure: Annotated[bool, RESTART] = Field(default=False, description="allow plain text off loopback")
    allowed_hosts: _Texts = Field(
        default=(),
        description="names that requests may address the service by, beside loopback's",
        examples=[("scans.lab.internal",)],
    )
    cors_origins: _Texts = Field(
        default=(), description="origins whose pages may call the service", examples=[("https://console.lab.internal",)]
    )
    body_limit: Annotated[int, RESTART] = Field(
        default=65_536, ge=1_024, le=16_777_216, description="bytes of a request's body"
    )
    request_timeout: float = Field(default=10.0, gt=0, le=600, description="seconds for a request that is no scan")
    rate: int = Field(default=60, ge=1, le=1_000_000, description="requests a minute for each client and tool")
    max_requests: int = Field(default=2_000, ge=1, le=100_000, description="requests that are served at once")
    mcp: Annotated[Literal["off", "http", "stdio"], RESTART] = Field(
        default="off", description="how agents reach the service: not, at `/mcp`, or on standard input and output"
    )


class HistorySettings(Section):
    """What is kept of finished scans."""

    max_age: float = Field(default=90.0, gt=0, le=36_500, description="days that a finished scan is kept")
    max_bytes: int = Field(
        default=1_000_000_000, ge=1_000_000, le=1_000_000_000_000, description="bytes that all of them may take"
    )


class ScheduleSettings(Section):
    """The scans that run by themselves."""

    enabled: Annotated[bool, RESTART] = Field(default=True, description="run scheduled scans")
    concurrency: Annotated[int, RESTART] = Field(default=2, ge=1, le=1000, description="scheduled scans at once")
    missed_after: Annotated[float, RESTART] = Field(
        default=60.0, gt=0, le=86_400, description="seconds of delay up to which a run counts as on time"
    )


class DiscoverySettings(Section):
    """Targets for Prometheus from what scans found, at `/sd`."""

    enabled: bool = Field(default=False, description="offer them")
    max_age: float = Field(
        default=86_400.0, gt=0, le=31_536_000, description="seconds after which a scan is too old to tell"
    )


class HealthSettings(Section):
    """The health checks of the service."""

    interval: Annotated[float, RESTART] = Field(
        default=15.0, gt=0, le=3_600, description="seconds between two rounds of checks"
    )
    timeout: Annotated[float, RESTART] = Field(default=5.0, gt=0, le=60, description="seconds that one check may take")


class AlertSettings(Section):
    """The alert rules that are evaluated in the process."""

    enabled: Annotated[bool, RESTART] = Field(default=True, description="evaluate them")
    interval: Annotated[float, RESTART] = Field(
        default=15.0, gt=0, le=3_600, description="seconds between two evaluations"
    )


class LoggingSettings(Section):
    """What the service logs on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_level)] = Field(
        default="info", description="the least severe to log"
    )
    format: Annotated[Literal["json", "console"], RESTART] = Field(
        default="console", description="JSON lines, or lines for people"
    )


class SidecarSettings(Section):
    """A collector beside the service."""

    enabled: Annotated[bool, RESTART] = Field(default=False, description="start it with `tracefuse serve`")
    path: Annotated[str | None, RESTART] = Field(
        default=None,
        description="its program; by default one that is found on PATH",
        examples=["/usr/bin/otelcol-contrib"],
    )
    config: Annotated[Path | None, RESTART] = Field(
        default=None,
        description="its configuration; by default the one that is shipped",
        examples=["/etc/tracefuse/otel-collector.yaml"],
    )

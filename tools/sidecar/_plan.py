"""What the sidecar is run with: a collector that was found, its configuration, its environment.

* SidecarError
  * CollectorNotFoundError   there is no collector here
  * CollectorConfigError     the collector refuses its configuration
  * CollectorFailedError     it ends again and again
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .._errors import ToolError, ToolErrorType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..config._settings import SidecarSettings

__all__ = [
    "CollectorConfigError",
    "CollectorFailedError",
    "CollectorNotFoundError",
    "SidecarError",
    "SidecarPlan",
    "find_collectors",
    "plan_sidecar",
    "shipped_configuration",
]

_PROGRAMS: Final = ("otelcol-contrib", "otelcol")
_HOW_TO_GET: Final = (
    "run `make collector` in a checkout of Tracefuse, or install otelcol-contrib from "
    "https://github.com/open-telemetry/opentelemetry-collector-releases/releases, "
    "or name one: TRACEFUSE_SIDECAR_PATH=/usr/local/bin/otelcol-contrib"
)
_SHARE_OF_LIMIT: Final = 0.8
"""What Go's own limit is of the collector's hard one, so that the collector collects before it refuses."""
_DEFAULT_HEALTH: Final = "127.0.0.1:13133"
_DEFAULT_OTLP: Final = "127.0.0.1:4317"
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - read, not bound


class SidecarError(ToolError):
    """The sidecar cannot do its work; `detail` is what the collector itself says about it."""

    error_type = ToolErrorType.EXECUTION_ERROR

    def __str__(self) -> str:
        said = ": ".join(part for part in (self.message, self.detail) if part)
        return "; ".join(part for part in (said, self.hint) if part)


class CollectorNotFoundError(SidecarError):
    """There is no collector on this machine.

    >>> print(CollectorNotFoundError("no collector was found", hint="run `make collector`"))
    no collector was found; run `make collector`
    """

    error_type = ToolErrorType.NOT_FOUND


class CollectorConfigError(SidecarError):
    """The collector refuses its configuration; nothing was started."""

    error_type = ToolErrorType.VALIDATION_ERROR


class CollectorFailedError(SidecarError):
    """The collector ended again and again without ever being healthy."""


@dataclass(frozen=True, slots=True)
class SidecarPlan:
    """A collector, the configurations that it merges in this order, and its whole environment."""

    collector: Path
    configs: tuple[Path, ...]
    env: Mapping[str, str]

    @property
    def argv(self) -> tuple[str, ...]:
        """How it is started; its log goes to standard output, what ends it to standard error."""
        return (*self._with_configs(), "--set=service.telemetry.logs.output_paths=[stdout]")

    @property
    def check_argv(self) -> tuple[str, ...]:
        """How it checks its configuration without starting."""
        program, *options = self._with_configs()
        return (program, "validate", *options)

    @property
    def health(self) -> tuple[str, int]:
        """Host and port of its health check."""
        return _address(self.setting("OTELCOL_HEALTH", _DEFAULT_HEALTH))

    @property
    def endpoint(self) -> str:
        """Where to send OTLP over gRPC, as OTEL_EXPORTER_OTLP_ENDPOINT has it."""
        host, port = _address(self.setting("OTELCOL_OTLP_GRPC", _DEFAULT_OTLP))
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def setting(self, name: str, default: str = "") -> str:
        """The value of a variable that the configuration reads, or the default that it gives it itself."""
        if name in self.env:
            return self.env[name]
        pattern = re.compile(rf"\$\{{env:{name}:-([^}}]*)\}}")
        said = [pattern.search(path.read_text(encoding="utf-8")) for path in reversed(self.configs)]
        return next((found[1] for found in said if found), default)

    def _with_configs(self) -> tuple[str, ...]:
        return (str(self.collector), *(f"--config={path}" for path in self.configs))


def shipped_configuration() -> Path:
    """The `otel-collector.yaml` that is shipped in the package.

    >>> shipped_configuration().name
    'otel-collector.yaml'
    """
    return Path(str(files("tracefuse.telemetry") / "otel-collector.yaml"))


def find_collectors(
    path: str | None,
    environ: Mapping[str, str],
    *,
    which: Callable[[str], str | None] = shutil.which,
) -> tuple[Path, ...]:
    """The collectors that may be used, the best first: one that was named is the only one.

    Looked for are `path` (the setting), TRACEFUSE_OTELCOL, what `make collector` has built, newest first,
    and otelcol-contrib and otelcol on PATH.

    Raises:
        CollectorNotFoundError: there is none, or the one that was named is no program.
    """
    for variable, named in (("TRACEFUSE_SIDECAR_PATH", path), ("TRACEFUSE_OTELCOL", environ.get("TRACEFUSE_OTELCOL"))):
        if named:
            found = which(named)
            if found is None:
                raise CollectorNotFoundError(f"{variable}={named!r} is no program", hint=_HOW_TO_GET)
            return (Path(found),)
    cache = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".cache")
    built = (Path(cache) / "tracefuse/collector").glob("*/otelcol-tracefuse")
    newest = sorted(built, key=lambda one: one.stat().st_mtime, reverse=True)
    installed = [Path(found) for name in _PROGRAMS if (found := which(name)) is not None]
    if not (candidates := (*newest, *installed)):
        raise CollectorNotFoundError("no collector was found", hint=_HOW_TO_GET)
    return candidates


def plan_sidecar(
    settings: SidecarSettings,
    overlays: Iterable[Path] = (),
    *,
    environ: Mapping[str, str] | None = None,
) -> tuple[SidecarPlan, ...]:
    """A plan for each collector that may be used, the best first.

    `overlays` are merged over the configuration of the settings, or the shipped one. The collector gets
    `environ` (by default this process's) without the service's own variables.

    Raises:
        CollectorNotFoundError: there is no collector.
        CollectorConfigError: a file of the configuration is not there.
    """
    environ = os.environ if environ is None else environ
    configs = (settings.config or shipped_configuration(), *overlays)
    for path in configs:
        if not path.is_file():
            raise CollectorConfigError("no such configuration", detail=str(path))
    env = _environment(environ)
    plans = [SidecarPlan(found, configs, env) for found in find_collectors(settings.path, environ)]
    return tuple(_with_memory_limit(plan) for plan in plans)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """OTEL_* are for the service's own telemetry, TRACEFUSE_* may name its secrets."""
    return {name: value for name, value in environ.items() if not name.startswith(("OTEL_", "TRACEFUSE_"))}


def _with_memory_limit(plan: SidecarPlan) -> SidecarPlan:
    """Tell Go's runtime of the limit, unless somebody has."""
    limit = plan.setting("OTELCOL_MEMORY_LIMIT_MIB")
    if "GOMEMLIMIT" in plan.env or not limit.isdigit():
        return plan
    env = {**plan.env, "GOMEMLIMIT": f"{int(int(limit) * _SHARE_OF_LIMIT)}MiB"}
    return SidecarPlan(plan.collector, plan.configs, env)


def _address(endpoint: str) -> tuple[str, int]:
    """Where to reach what listens on `endpoint`."""
    host, _, port = endpoint.rpartition(":")
    host = _EVERYWHERE.get(host, host)
    return host.strip("[]"), int(port) if port.isdigit() else 0

"""What is asked of nmap, and what will be done: the two ends of planning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._policy import Rule
    from ._arguments import ScanOption
    from ._scope import Scope
    from ._scripts import ScriptSelection

__all__ = ["ScanPlan", "ScanRequest"]


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """A scan as a caller asks for it. Nothing is checked before it is planned.

    Attributes:
        target: one target expression: an address, a network, an octet range or a name.
        extra_args: arguments as on nmap's command line.
        template: name of a template whose arguments come first.
        targets: more target expressions.
        exclude: addresses, networks and ranges to leave out.
        timeout: time limit of the scan in seconds; None leaves it to the tool.
        correlation_id: the caller's own name for the scan.
    """

    target: str = ""
    extra_args: str = ""
    template: str | None = None
    targets: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    timeout: float | None = None
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """A scan that the policy allows, exactly as nmap will be asked for it.

    Attributes:
        request: what it was made from.
        options: typed options, in the order in which they are passed on.
        scope: the targets.
        scripts: the scripts that run besides those of version detection, or None.
        privileged: whether nmap may use raw sockets.
        notes: what was changed on the way, in words.
        rules: the rules that were applied.
    """

    request: ScanRequest
    options: tuple[ScanOption, ...]
    scope: Scope
    scripts: ScriptSelection | None
    privileged: bool
    notes: tuple[str, ...]
    rules: tuple[Rule, ...]

    @property
    def argv(self) -> tuple[str, ...]:
        """The arguments after the executable: options, `--`, canonical targets."""
        leading = [] if self.privileged else ["--unprivileged"]
        if self.scope.family == 6:
            leading.append("-6")
        scripts = [] if self.scripts is None else [f"--script={self.scripts.expression}"]
        return (*leading, *(option.argument for option in self.options), *scripts, "--", *self.scope.targets)

    @property
    def targets(self) -> tuple[str, ...]:
        """Canonical target literals, disjoint and without the exclusions."""
        return self.scope.targets

    @property
    def exclusions(self) -> tuple[str, ...]:
        """Canonical exclusions; they have been taken out of `targets` already."""
        return self.scope.exclusions

    @property
    def address_count(self) -> int:
        """Exactly how many addresses are scanned."""
        return self.scope.address_count

    @property
    def template(self) -> str | None:
        """Name of the template."""
        return self.request.template

    @property
    def timeout(self) -> float | None:
        """Time limit in seconds, as asked for."""
        return self.request.timeout

    @property
    def needs_root(self) -> bool:
        """Whether an option needs raw sockets."""
        return any(option.needs_root for option in self.options)

    def to_dict(self) -> dict[str, object]:
        """The plan in plain values, ready for JSON."""
        return {
            "argv": list(self.argv),
            "targets": list(self.targets),
            "exclusions": list(self.exclusions),
            "address_count": self.address_count,
            "names": {name: list(addresses) for name, addresses in self.scope.names},
            "template": self.template,
            "options": [option.argument for option in self.options],
            "scripts": list(self.scripts.scripts) if self.scripts else [],
            "script_database": self.scripts.digest if self.scripts else "",
            "privileged": self.privileged,
            "needs_root": self.needs_root,
            "timeout": self.timeout,
            "correlation_id": self.request.correlation_id,
            "notes": list(self.notes),
            "rules": [str(rule) for rule in self.rules],
        }

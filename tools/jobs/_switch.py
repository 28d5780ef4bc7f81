"""Whether an operator lets a tool take requests: one switch, whoever asks."""

from __future__ import annotations

from typing import Final

from .._errors import ToolDisabledError

__all__ = ["TOOL_DISABLED", "ToolSwitch"]

TOOL_DISABLED: Final = "tool_disabled"
"""The rule under which refusals are counted while a tool is off."""


class ToolSwitch:
    """The switch of the tool `name`; each start of the service begins with on. What runs goes on when it is put off.

    >>> switch = ToolSwitch("nmap")
    >>> switch.on = False
    >>> switch.check()
    Traceback (most recent call last):
    tracefuse.tools._errors.ToolDisabledError: an operator has disabled nmap; ...
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.on = True

    def check(self) -> None:
        """Raise ToolDisabledError while it is off."""
        if not self.on:
            raise ToolDisabledError(self.name)

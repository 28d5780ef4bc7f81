"""Settings as data, without what is a secret: the one view of them, for the terminal and over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from tracefuse.telemetry import redact

if TYPE_CHECKING:
    from ._model import Settings

__all__ = ["settings_view"]

_SECRET: Final = ("password", "secret", "token", "key", "credential")
_PATHS: Final = frozenset({"tokens_file", "tls_key"})
"""Settings that name a file which holds a secret, and hold none themselves."""


def settings_view(settings: Settings) -> dict[str, Any]:
    """The values as JSON, in their sections; what is a secret by its name, or looks like one, is not told.

    >>> from tracefuse.tools import Settings
    >>> settings_view(Settings())["policy"]["max_addresses"]
    1024
    """
    return {name: _without_secrets(value, name) for name, value in settings.model_dump(mode="json").items()}


def _without_secrets(value: object, name: str) -> Any:
    match value:
        case dict():
            section = cast("dict[str, object]", value)
            return {key: _without_secrets(inner, key) for key, inner in section.items()}
        case list():
            return [_without_secrets(inner, name) for inner in cast("list[object]", value)]
        case None:
            return None
        case _ if name not in _PATHS and any(part in name.lower() for part in _SECRET):
            return "[redacted]"
        case _:
            return redact(value) if isinstance(value, str) else value

"""YAML with the line of every name, and without what makes a small text a large or surprising value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ._lines import Name

__all__ = ["UnusableYamlError", "read_yaml"]

_DEEPEST: Final = 20
"""Levels of nesting; no setting has more than five."""


class UnusableYamlError(ValueError):
    """A text that is not read: why, and on which line if known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        self.message = message
        self.line = line
        super().__init__(message, line)


def read_yaml(text: str) -> tuple[object, Mapping[Name, int]]:
    """The one document in `text`, and the line on which each name in it is set.

    Only plain data is made. Aliases are refused, also harmless ones: nine of them in nine lines are a
    billion values. So are names that are set twice, which YAML forbids and PyYAML lets pass.

    Raises:
        UnusableYamlError: it is not YAML, or has an alias, a name twice, or a name that is no text.

    >>> read_yaml("policy:\\n  max_addresses: 0\\n")
    ({'policy': {'max_addresses': 0}}, {('policy',): 1, ('policy', 'max_addresses'): 2})
    """
    try:
        _refuse_bombs(text)
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None, {}
            lines: dict[Name, int] = dict(_lines(node, ()))
            document: object = loader.construct_document(node)  # pyright: ignore[reportUnknownMemberType]
            return document, lines
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise UnusableYamlError(error.problem or "it cannot be parsed", line) from error
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, UnusableYamlError):
            raise
        raise UnusableYamlError(str(error).partition("\n")[0]) from error


def _refuse_bombs(text: str) -> None:
    """Look at the text piece by piece; PyYAML takes ever longer for each level, so the depth is limited here."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent):
            raise UnusableYamlError(f"the alias *{event.anchor} is not allowed; write it out", line)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise UnusableYamlError("it is nested too deeply", line)


def _lines(node: Any, above: Name) -> Iterator[tuple[Name, int]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise UnusableYamlError("a name is a text; put it in quotes", line)
            if key.value in seen:
                raise UnusableYamlError(f"{key.value!r} is set twice", line)
            seen.add(key.value)
            yield (*above, key.value), line
            yield from _lines(value, (*above, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _lines(item, above)

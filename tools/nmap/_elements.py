"""A stream of XML text to elements, as far as it has come: the builder behind the checking parser."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

if TYPE_CHECKING:
    from xml.parsers.expat import XMLParserType

__all__ = ["ElementStream", "expat_parser"]


def expat_parser(encoding: str | None) -> XMLParserType:
    """Make an expat parser that looks at what it has got at once, as `Intake` already waits where it pays."""
    parser = expat.ParserCreate(encoding)
    if hasattr(parser, "SetReparseDeferralEnabled"):
        parser.SetReparseDeferralEnabled(False)
    return parser


class ElementStream:
    """Builds elements from pieces of one document, every piece cut at the end of a tag.

    The pieces have been checked: they are well-formed, without entities, and of bounded size.
    """

    __slots__ = ("_parser", "_tree", "root")

    def __init__(self, encoding: str | None) -> None:
        self._tree = TreeBuilder()
        self._parser = parser = expat_parser(encoding)
        parser.buffer_text = True
        parser.StartElementHandler = self._begin_root
        parser.EndElementHandler = self._tree.end
        parser.CharacterDataHandler = self._tree.data
        self.root = Element("")

    def _begin_root(self, name: str, attributes: dict[str, str]) -> None:
        self.root = self._tree.start(name, attributes)
        self._parser.StartElementHandler = self._tree.start

    def feed(self, piece: bytes) -> None:
        """Add a piece of the document."""
        self._parser.Parse(piece, False)

    def is_open(self, element: Element) -> bool:
        """Tell whether the next piece continues `element` itself, not a part of it.

        What is open cannot be asked, but an element put there for a moment shows its parent.
        """
        probe = self._tree.start("", {})
        self._tree.end("")
        if not len(element) or element[-1] is not probe:
            return False
        del element[-1]
        return True

    def completed_in(self, parent: Element) -> Element | None:
        """Return the last child of `parent` if the last tag completed it, else None."""
        return parent[-1] if self.is_open(parent) and len(parent) else None

"""Validating XML against a DTD, as far as nmap.dtd goes: content models, attributes, enumerations."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

_ENTITY = re.compile(r'<!ENTITY % (\w+)\s+"([^"]*)"\s*>')
_ELEMENT = re.compile(r"<!ELEMENT\s+(\w+)\s+(.*?)\s*>", re.DOTALL)
_ATTLIST = re.compile(r"<!ATTLIST\s+(\w+)\s+(.*?)\s*>", re.DOTALL)
_ATTRIBUTE = re.compile(r'(\w+)\s+(CDATA|\([^)]*\))\s+(#REQUIRED|#IMPLIED|"[^"]*")')


@dataclass
class Dtd:
    """`errors(document)` lists every way in which a document breaks the type."""

    models: dict[str, re.Pattern[str] | None] = field(default_factory=dict)
    attributes: dict[str, dict[str, tuple[frozenset[str] | None, bool]]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Dtd:
        text = re.sub(r"<!--.*?-->", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for name, value in _ENTITY.findall(text):
            text = text.replace(f"%{name};", value)
        dtd = cls()
        for name, model in _ELEMENT.findall(text):
            dtd.models[name] = _pattern(model)
        for name, body in _ATTLIST.findall(text):
            dtd.attributes[name] = {
                key: (None if kind == "CDATA" else frozenset(re.findall(r"[^\s()|]+", kind)), needed == "#REQUIRED")
                for key, kind, needed in _ATTRIBUTE.findall(body)
            }
        return dtd

    def errors(self, document: str) -> list[str]:
        return [error for element in ElementTree.fromstring(document).iter() for error in self._of(element)]

    def _of(self, element: ElementTree.Element) -> list[str]:
        if element.tag not in self.models:
            return [f"<{element.tag}> is not declared"]
        found = []
        content = "".join(f"{child.tag} " for child in element)
        model = self.models[element.tag]
        if model is not None and not model.fullmatch(content):
            found.append(f"<{element.tag}> holds {content!r}")
        declared = self.attributes.get(element.tag, {})
        found += [f"<{element.tag}> has {key}" for key in element.keys() - declared.keys()]
        for key, (values, needed) in declared.items():
            value = element.get(key)
            if value is None and needed:
                found.append(f"<{element.tag}> lacks {key}")
            elif value is not None and values is not None and value not in values:
                found.append(f"<{element.tag} {key}={value!r}>")
        return found


def _pattern(model: str) -> re.Pattern[str] | None:
    """A content model as a regular expression over the children's names, each followed by a blank."""
    if model == "ANY":
        return None
    if model == "EMPTY":
        return re.compile("")
    names = re.sub(r"#PCDATA", "", re.sub(r"\s+", "", model))
    return re.compile(re.sub(r"\w+", r"(?:\g<0> )", names).replace(",", ""))

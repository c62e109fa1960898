"""The overrides of detection: a YAML document, from the variable itself or from a file."""

from costbatch.config import parsers
from costbatch.config.selections import OTHER, read_accounts, read_labels, read_minimum, read_percent
from costbatch.config.yaml_reader import Section, read_document
from costbatch.domain.adaptive_rule import Sensitivity
from costbatch.domain.detection import DetectorName
from costbatch.domain.overrides import DetectionOverride
from costbatch.errors import ConfigError

_WHICH = ("accounts", "labels")
_WHAT = ("detector", "sensitivity", "minimum", "minimum_percent")
NONE = "none"


def parse_overrides(text: str, source: str) -> tuple[DetectionOverride, ...]:
    """Return the overrides of a document in their order. source: what its problems are told of.

    Raises:
        ConfigError: with one sentence for each problem: the source, the line, the key.

    """
    if text.strip() == NONE:
        return ()
    document, problems = read_document(text, source, {}, empty="it must name overrides, or say none")
    found = [_read(name, section) for name, section in document.sections()] if document else []
    if problems.found:
        raise ConfigError(*problems.found)
    return tuple(found)


def _read(name: str, section: Section) -> DetectionOverride:
    section.allow(*_WHICH, *_WHAT)
    before = len(section.problems.found)
    accounts, labels = read_accounts(section), read_labels(section)
    # An empty list would be for every account.
    if not accounts and not labels and len(section.problems.found) == before:
        section.refuse(f"needs one of {' and '.join(_WHICH)}: for whom it is.")
    if not any(key in section for key in _WHAT):
        section.refuse(f"needs one of {', '.join(_WHAT)}: what is different.")
    minimum = read_minimum(section)
    other = minimum.pop(OTHER, None)
    return DetectionOverride(
        name=name,
        accounts=accounts,
        labels=labels,
        detector=section.value("detector", parsers.member(DetectorName), None),
        sensitivity=section.value("sensitivity", parsers.member(Sensitivity), None),
        minimum=tuple(sorted(minimum.items())),
        other=other,
        minimum_percent=read_percent(section),
    )

"""The words of every job, by its name: the one list that whatever speaks of jobs is made from."""

from collections.abc import Mapping
from types import MappingProxyType

from costbatch.domain.collect_report import WORDS as COLLECT_WORDS
from costbatch.domain.discover_report import WORDS as DISCOVER_WORDS
from costbatch.domain.reports import JobWords

JOBS: Mapping[str, JobWords] = MappingProxyType(
    {words.name: words for words in (COLLECT_WORDS, DISCOVER_WORDS)}
)

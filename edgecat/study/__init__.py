"""Studies: the claims of a deep-learning lecture, tested on your own images."""

from edgecat.study.frame import STUDIES, Outcome, Section, Study, Table, find_study

__all__ = ["STUDIES", "Outcome", "Section", "Study", "Table", "find_study"]

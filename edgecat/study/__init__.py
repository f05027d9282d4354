"""Studies: what a lecture on deep learning claims, tried on one's own pictures."""

from edgecat.study.frame import STUDIES, Outcome, Section, Study, Table, find_study

__all__ = ["STUDIES", "Outcome", "Section", "Study", "Table", "find_study"]

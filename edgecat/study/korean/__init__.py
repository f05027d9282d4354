"""The pages' texts in Korean: a table per study, from the English text to the Korean one.

Fields in braces are the same on both sides, formats included. A text that several studies use
is in `shared`.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgecat.study.korean.activations import ACTIVATIONS
from edgecat.study.korean.architectures import ARCHITECTURES
from edgecat.study.korean.batch import BATCH
from edgecat.study.korean.convolution import CONVOLUTION
from edgecat.study.korean.dropout import DROPOUT
from edgecat.study.korean.learning_rate import LEARNING_RATE
from edgecat.study.korean.optimizers import OPTIMIZERS
from edgecat.study.korean.sequence import SEQUENCE
from edgecat.study.korean.shared import SHARED
from edgecat.study.korean.shortcuts import SHORTCUTS

TABLES: tuple[Mapping[str, str], ...] = (
    *(SHARED, ACTIVATIONS, BATCH, LEARNING_RATE, OPTIMIZERS, DROPOUT),
    *(CONVOLUTION, ARCHITECTURES, SHORTCUTS, SEQUENCE),
)
TEXTS: Mapping[str, str] = {text: korean for table in TABLES for text, korean in table.items()}

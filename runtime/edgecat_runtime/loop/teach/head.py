"""A linear head on features: ridge regression, with leave-out answers in closed form.

Sources: Hoerl and Kennard 1970 (ridge regression); Cook and Weisberg 1982, section 2.2: without a
group of rows G, their residuals are (I - H_GG)^-1 times those of the fit to all rows, where H is
the hat matrix. No model is fitted twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgecat_runtime.types import Numbers, Values

_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
"""Of the weights, relative to the mean variance that the features have in all."""
_SCALES = tuple(np.geomspace(1.0, 32.0, 16))
_USUAL_SCALE = 4.0
_INTERCEPT = 1.0


@dataclass(frozen=True)
class Head:
    """A linear classifier on features.

    Attributes:
        mean: float64 (features,), subtracted first.
        weights: float64 (features, classes).
        bias: float64 (classes,).
        scale: of the scores, whose softmax are the probabilities.
    """

    mean: Numbers
    weights: Numbers
    bias: Numbers
    scale: float

    def scores(self, features: Values) -> Numbers:
        """Scaled scores (n, classes) of features (n, features)."""
        return np.asarray(((features - self.mean) @ self.weights + self.bias) * self.scale)


class Fitted(NamedTuple):
    """A head, and what it would answer for each row without the row's group.

    Attributes:
        head: fitted to all rows.
        left_out: scaled scores (n, classes).
    """

    head: Head
    left_out: Numbers


def fit_head(features: Values, labels: NDArray[np.int64], groups: NDArray[np.int64]) -> Fitted:
    """Fit a head; the penalty and the scale are those that suit the leave-out answers best.

    Each class has the same weight, however many images it has. Groups should have rows of every
    class: what is left out would otherwise be judged by a fit that knows its class less.

    Args:
        features: float32 (n, features).
        labels: (n,), each of 0..classes-1 at least once.
        groups: (n,); rows of one group are left out together.

    Raises:
        ValueError: there are no rows.
    """
    if not len(features):
        raise ValueError("no features to fit a head to")
    counts = np.bincount(labels)
    shares = 1.0 / (len(counts) * counts[labels])  # sum to 1
    rows = np.full((len(features), features.shape[1] + 1), _INTERCEPT)  # changed in place
    rows[:, :-1] = features
    mean = shares @ rows[:, :-1]
    rows[:, :-1] -= mean
    targets = np.where(labels[:, None] == np.arange(len(counts)), 1.0, -1.0)
    root = np.sqrt(shares)[:, None]
    rows *= root
    basis = _basis(rows)
    problem = _Ridge(basis, targets * root, _members(groups))
    best, left_out = min(
        ((each, problem.left_out(each * basis.spread)) for each in _PENALTIES),
        key=lambda pair: float(np.sum((pair[1] - targets * root) ** 2)),
    )
    left_out = left_out / root
    weights = problem.weights(best * basis.spread)
    scale = _scale(left_out, labels, shares)
    head = Head(mean, weights[:-1], weights[-1] * _INTERCEPT, scale)
    return Fitted(head, left_out * scale)


class _Basis(NamedTuple):
    """Rows X = Z B^T, where B has orthonormal columns.

    Attributes:
        rows: Z, (n, rank).
        columns: B, (features, rank).
        squares: of Z's columns' lengths, (rank,).
        spread: what the penalty is relative to.
    """

    rows: Numbers
    columns: Numbers
    squares: Numbers
    spread: float


def _basis(rows: Numbers) -> _Basis:
    """Decompose by the smaller of the two Gram matrices, which is fast for few and for many."""
    if len(rows) <= rows.shape[1]:
        squares, vectors = np.linalg.eigh(rows @ rows.T)
        kept = squares > squares[-1] * 1e-10
        squares, vectors = squares[kept], vectors[:, kept]
        found, columns = vectors * np.sqrt(squares), rows.T @ vectors
        columns /= np.sqrt(squares)
    else:
        squares, columns = np.linalg.eigh(rows.T @ rows)
        kept = squares > squares[-1] * 1e-10
        squares, columns = squares[kept], columns[:, kept]
        found = rows @ columns
    return _Basis(found, columns, squares, float(squares.sum()))


class _Ridge:
    """Ridge regression for several penalties, in one basis."""

    def __init__(self, basis: _Basis, targets: Numbers, groups: list[NDArray[np.int64]]) -> None:
        self._basis, self._targets, self._groups = basis, targets, groups
        self._projected = basis.rows.T @ targets

    def weights(self, penalty: float) -> Numbers:
        """The weights (features, classes)."""
        return np.asarray(self._basis.columns @ self._coefficients(penalty))

    def left_out(self, penalty: float) -> Numbers:
        """Each row's value (n, classes) without its group."""
        rows, shrunk = self._basis.rows, 1.0 / (self._basis.squares + penalty)
        residuals = self._targets - rows @ self._coefficients(penalty)
        alone = 1.0 - np.einsum("ij,ij,j->i", rows, rows, shrunk)  # of groups of one row
        result: Numbers = self._targets - residuals / alone[:, None]
        for group in self._groups:
            own = rows[group]
            if len(group) > rows.shape[1]:
                result[group] = own @ self._without(own, self._targets[group], penalty)
                continue
            hat = (own * shrunk) @ own.T
            mended = np.linalg.solve(np.eye(len(group)) - hat, residuals[group])
            result[group] = self._targets[group] - mended
        return result

    def _without(self, rows: Numbers, targets: Numbers, penalty: float) -> Numbers:
        """The coefficients of a fit without some rows; cheaper where these are many."""
        gram = np.diag(self._basis.squares + penalty) - rows.T @ rows
        return np.asarray(np.linalg.solve(gram, self._projected - rows.T @ targets))

    def _coefficients(self, penalty: float) -> Numbers:
        return np.asarray(self._projected / (self._basis.squares + penalty)[:, None])


def _members(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows of each group of two or more."""
    order = np.argsort(groups, kind="stable")
    ends = np.flatnonzero(np.diff(groups[order])) + 1
    return [group for group in np.split(order, ends) if len(group) > 1]


def _scale(left_out: Numbers, labels: NDArray[np.int64], shares: Numbers) -> float:
    """The scale with the least cross entropy of the leave-out answers, each class alike."""
    if left_out.shape[1] < 2 or len(labels) < 2 * left_out.shape[1]:
        return _USUAL_SCALE
    return float(min(_SCALES, key=lambda scale: float(shares @ _losses(left_out * scale, labels))))


def _losses(scores: Numbers, labels: NDArray[np.int64]) -> Numbers:
    top = scores.max(1)
    total = np.log(np.exp(scores - top[:, None]).sum(1)) + top
    return np.asarray(total - scores[np.arange(len(labels)), labels])

"""Texts of `learning-rate`."""

from __future__ import annotations

from collections.abc import Mapping

LEARNING_RATE: Mapping[str, str] = {
    "One network of {depth} layers, stochastic gradient descent without momentum, {epochs} epochs "
    "on {images}.": (
        "{depth}층 신경망 하나, 모멘텀 없는 확률적 경사 하강법, {epochs}에포크. 이미지: {images}."
    ),
    "learning rate suggested by the finder": "탐색기가 추천한 학습률",
    "best rate tried: {multiple:g} times the suggestion": (
        "가장 좋은 학습률: 추천값의 {multiple:g}배"
    ),
    "its loss after {epochs} epochs; initially {start:.2f}": (
        "그 학습률의 {epochs}에포크 뒤 손실(처음 {start:.2f})"
    ),
    "From a loss of {start:.3f}, the suggested rate of {suggestion:g} reaches {loss}; {low:g} "
    "times it reaches {low_loss} ({slow}), {high:g} times it {high_loss} ({wild}).": (
        "처음 손실은 {start:.3f}입니다. 추천 학습률 {suggestion:g}에서 도달한 손실은 {loss}, 그 "
        "{low:g}배에서는 {low_loss}({slow}), {high:g}배에서는 {high_loss}({wild})입니다."
    ),
    "far too small": "너무 작음",
    "small, but it trains": "작지만 학습됨",
    "far too large": "너무 큼",
    "large, but it still trains": "크지만 학습됨",
    "The best was {rate:.2g}, {multiple}, and {others}: {verdict}.": (
        "가장 좋은 학습률은 {rate:.2g}({multiple})이고, {others}. {verdict}."
    ),
    "the suggestion itself": "추천값 그대로",
    "{multiple:g} times the suggestion": "추천값의 {multiple:g}배",
    "from {low:.2g} to {high:.2g} the loss was about as low": (
        "{low:.2g}부터 {high:.2g}까지는 손실이 비슷하게 낮습니다"
    ),
    "no other rate came close": "비슷하게 낮은 다른 학습률은 없습니다",
    "a rate must be neither too small nor too large, as the lecture says": (
        "강의대로, 학습률은 너무 작아도 너무 커도 안 됩니다"
    ),
    "the lecture's two limits do not both appear here": (
        "강의가 말하는 두 한계가 여기서는 다 나타나지 않습니다"
    ),
    "Too small, suitable, too large": "너무 작은, 알맞은, 너무 큰 학습률",
    "Training loss per epoch, and final training loss by rate. A line that ends has diverged.": (
        "에포크별 학습 손실, 그리고 학습률에 따른 마지막 학습 손실. 중간에 끊긴 선은 발산한 "
        "것입니다."
    ),
    "Loss by epoch and by rate": "에포크와 학습률에 따른 손실",
    "The learning-rate finder": "학습률 탐색기",
    "The finder raises the rate during training and suggests a third of the highest rate at which "
    "the loss was still low (Smith, 2015).": (
        "탐색기는 학습하면서 학습률을 점점 높이고, 손실이 아직 낮은 가장 높은 학습률의 3분의 1을 "
        "추천합니다(Smith, 2015)."
    ),
    "The finder's sweep": "학습률 탐색",
    "Why: gradient descent on a parabola": "이유: 포물선 위의 경사 하강법",
    "Gradient descent on w²/2, with curvature 1, from w = 1. Every step multiplies w by 1 - rate: "
    "below 1 it converges, at 1 in one step, up to 2 with oscillations, and above 2 it diverges. "
    "A network's direction of highest curvature sets its limit.": (
        "곡률이 1인 w²/2를 w = 1에서 내려갑니다. 스텝마다 w에 (1 - 학습률)이 곱해집니다. 학습률이 "
        "1보다 작으면 수렴하고, 1이면 한 스텝에 도착하고, 2까지는 좌우로 튀면서 수렴하고, 2를 "
        "넘으면 발산합니다. 신경망에서는 곡률이 가장 큰 방향이 한계를 정합니다."
    ),
    "Steps on a parabola": "포물선 위의 스텝",
    "rate {rate:g}": "학습률 {rate:g}",
    "w by step": "스텝에 따른 w",
    "times the suggestion": "추천값의 배수",
    "final loss": "마지막 손실",
    "Loss by multiple of the suggested rate": "추천 학습률의 배수별 손실",
    "learning rate": "학습률",
    "initial loss": "처음 손실",
    "each step": "스텝별",
    "suggested: {rate:g}": "추천: {rate:g}",
    "Rising learning rate": "점점 높인 학습률",
}

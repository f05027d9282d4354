"""Texts of `shortcuts`."""

from __future__ import annotations

from collections.abc import Mapping

SHORTCUTS: Mapping[str, str] = {
    "Networks of 3x3 convolutions of the same width and depth, with or without shortcuts around "
    "every two of them, with or without batch norm, {least} to {most} layers deep, on {images}.": (
        "폭과 깊이가 같은 3x3 합성곱 신경망. 합성곱 둘마다 건너뛰는 지름길이 있는 것과 없는 것, "
        "배치 정규화가 있는 것과 없는 것, {least}층부터 {most}층까지. 이미지: {images}."
    ),
    "plain": "지름길 없음",
    "shortcuts": "지름길",
    "plain, batch norm": "지름길 없음 + 배치 정규화",
    "shortcuts, batch norm": "지름길 + 배치 정규화",
    "gradient at the first layer relative to the last, {layers} layers: {variant}": (
        "마지막 층 대비 첫 층의 기울기, {layers}층: {variant}"
    ),
    "Before training, the gradient at the first of {depth} layers, relative to that at the last, "
    "is: {factors}: {verdict}.": (
        "학습하기 전에 {depth}층 신경망의 첫 층에 닿는 기울기를 마지막 층의 기울기로 나눈 값: "
        "{factors}. {verdict}."
    ),
    "the plain networks' gradient vanishes, and the shortcuts keep it": (
        "지름길이 없으면 기울기가 소실되고, 지름길이 있으면 남습니다"
    ),
    "a gradient vanishes without shortcuts only where batch norm is missing, too": (
        "지름길이 없더라도 배치 정규화가 있으면 기울기가 소실되지 않습니다"
    ),
    "no plain network's gradient vanishes; with batch norm it grows on its way back, and "
    "shortcuts hold that down": (
        "지름길이 없어도 기울기는 소실되지 않습니다. 배치 정규화를 쓰면 오히려 돌아가면서 커지고, "
        "지름길은 그것을 억누릅니다"
    ),
    "no plain network's gradient vanishes, so that is not what shortcuts mend": (
        "지름길이 없어도 기울기는 소실되지 않으므로, 지름길이 고치는 것은 기울기 소실이 아닙니다"
    ),
    "the gradient vanishes with shortcuts, too": "지름길이 있어도 기울기가 소실됩니다",
    "{variant} {near:.0%} and {far:.0%}": "{variant} {near:.0%}, {far:.0%}",
    "After the last epoch, the training accuracy at {shallow} and at {deep} layers is: {costs}: "
    "{claim}.": ("마지막 에포크 뒤의 학습 정확도({shallow}층, {deep}층 순서): {costs}. {claim}."),
    "depth costs the plain network accuracy even with batch norm, and shortcuts spare it": (
        "지름길이 없으면 배치 정규화를 써도 깊어질수록 정확도를 잃고, 지름길이 있으면 그렇지 "
        "않습니다"
    ),
    "with batch norm, depth costs nothing here, with shortcuts or without": (
        "배치 정규화를 쓰면 여기서는 지름길이 있든 없든 깊어져도 잃는 것이 없습니다"
    ),
    "shortcuts do not spare what depth costs here": (
        "깊어지면서 잃는 것을 여기서는 지름길이 막아 주지 못합니다"
    ),
    "The gradient before training": "학습 전의 기울기",
    "The norm of the loss gradient by the outputs of each convolution. Left: layer by layer, at "
    "{depth} layers; layer 1 sees the image. Right: the first layer's as a multiple of the last "
    "one's, by depth; 1 is a gradient that arrives as it set out.": (
        "손실을 각 합성곱층의 출력으로 미분한 기울기의 크기. 왼쪽: {depth}층 신경망의 층별 "
        "크기(1층이 이미지를 봅니다). 오른쪽: 첫 층의 기울기를 마지막 층의 기울기로 나눈 값, "
        "신경망의 깊이에 따라. 1이면 출발한 크기 그대로 도착한 것입니다."
    ),
    "Gradient by layer and by depth, before training": "학습 전, 층과 깊이에 따른 기울기",
    "The gradient after training": "학습 후의 기울기",
    "The same after the last epoch, when the loss itself differs between the networks.": (
        "마지막 에포크 뒤의 같은 값. 이때는 신경망마다 손실 자체가 다릅니다."
    ),
    "Gradient by layer, after training": "학습 후, 층별 기울기",
    "First over last": "첫 층 / 마지막 층",
    "ratio of gradient norms": "기울기 크기의 비",
    "Adam, each network at the best of {count} rates. Training accuracy, evaluated as in use: "
    "with batch norm's running means.": (
        "Adam으로 학습하고, 학습률은 신경망마다 {count}가지 가운데 가장 좋은 것을 씁니다. 학습 "
        "정확도는 실제로 쓸 때처럼, 배치 정규화의 이동 평균으로 평가합니다."
    ),
    "Training accuracy at two depths": "두 깊이에서 학습 정확도",
    "Means over the seeds.": "시드별 결과의 평균.",
    "layers": "층",
}

"""Texts of `dropout`."""

from __future__ import annotations

from collections.abc import Mapping

DROPOUT: Mapping[str, str] = {
    "Three convolutions and two dense layers of {dense}, {epochs} epochs of Adam on only "
    "{images}; with and without dropout of {rate:.0%} after each dense layer, and with and "
    "without random erasing of the training images.": (
        "합성곱층 셋과 뉴런 {dense}개짜리 완전 연결층 둘, Adam으로 {epochs}에포크. 이미지는 "
        "{images}뿐입니다. 완전 연결층마다 {rate:.0%} 드롭아웃을 쓸 때와 쓰지 않을 때, 학습 "
        "이미지의 일부를 가릴 때와 가리지 않을 때를 비교합니다."
    ),
    "neither": "둘 다 없음",
    "dropout": "드롭아웃",
    "hidden squares": "사각형 가림",
    "both": "둘 다",
    "generalisation gap with neither": "둘 다 없을 때의 일반화 격차",
    "gap with dropout": "드롭아웃을 쓸 때의 격차",
    "gap with dropout and erasing": "드롭아웃과 가림을 함께 쓸 때의 격차",
    "{points:.0f} points": "{points:.0f}%p",
    "The gap from training to validation accuracy is {plain:.0f} points without dropout and "
    "{dropout:.0f} with it: {claim}, {effect} ({their:.1%} against {other:.1%}).": (
        "학습 정확도와 검증 정확도의 격차는 드롭아웃이 없을 때 {plain:.0f}%p, 있을 때 "
        "{dropout:.0f}%p입니다. {claim}. {effect}(드롭아웃 {their:.1%}, 없음 {other:.1%})."
    ),
    "dropout narrows the gap, as the lecture says": "강의대로 드롭아웃은 격차를 줄입니다",
    "dropout does not narrow the gap here, contrary to the lecture": (
        "강의와 달리 여기서는 드롭아웃이 격차를 줄이지 않습니다"
    ),
    "and validation accuracy is higher": "검증 정확도도 더 높습니다",
    "and validation accuracy is lower": "검증 정확도는 더 낮습니다",
    "but the difference in validation accuracy is within the noise between seeds": (
        "검증 정확도의 차이는 시드에 따른 차이보다 작습니다"
    ),
    "With a grey square over {share:.0%} of the image, accuracy is {plain:.1%} with neither, "
    "{dropout:.1%} with dropout, {hiding:.1%} with random erasing, and {both:.1%} with both: "
    "{verdict}, and {best} is the most robust (it loses {lost:.1f} points).": (
        "이미지의 {share:.0%}를 회색 사각형으로 가리면 정확도는 둘 다 없을 때 {plain:.1%}, "
        "드롭아웃을 쓰면 {dropout:.1%}, 학습 이미지를 가리면 {hiding:.1%}, 둘 다 쓰면 "
        "{both:.1%}입니다. {verdict}. 가려져도 가장 덜 흔들리는 것은 {best}입니다({lost:.1f}%p "
        "하락)."
    ),
    "dropout helps against occlusion": "드롭아웃은 가려진 이미지에 도움이 됩니다",
    "dropout makes occlusion worse": "드롭아웃을 쓰면 가려진 이미지에서 더 나빠집니다",
    "dropout alone does not help against occlusion": (
        "드롭아웃만으로는 가려진 이미지에 도움이 되지 않습니다"
    ),
    "the plain network": "둘 다 쓰지 않은 신경망",
    "the network with both": "둘 다 쓴 신경망",
    "the network with {variant}": "{variant}을 쓴 신경망",
    "Generalisation gap": "일반화 격차",
    "Training and validation accuracy per epoch. A network that overfits improves on the training "
    "images only.": (
        "에포크별 학습 정확도와 검증 정확도. 과적합한 신경망은 학습 이미지에서만 나아집니다."
    ),
    "Training and validation accuracy, the gap, and the loss": (
        "학습 정확도와 검증 정확도, 그 격차, 그리고 손실"
    ),
    "Validation accuracy": "검증 정확도",
    "Validation loss": "검증 손실",
    "train acc.": "학습 정확도",
    "val acc.": "검증 정확도",
    "gap in points": "격차(%p)",
    "train loss": "학습 손실",
    "val loss": "검증 손실",
    "points": "%p",
    "Occlusion": "가림",
    "Validation images with a grey square somewhere, after the last epoch: accuracy by hidden "
    "fraction of the area.": (
        "마지막 에포크 뒤, 검증 이미지 어딘가를 회색 사각형으로 가리고 잰 정확도. 가린 넓이에 "
        "따라 그렸습니다."
    ),
    "Accuracy by hidden area": "가린 넓이에 따른 정확도",
    "% of the area hidden": "가린 넓이(%)",
    "Images with grey squares": "회색 사각형으로 가린 이미지",
    "Two validation images with {shares} of the area hidden.": (
        "검증 이미지 두 장. 가린 넓이: {shares}."
    ),
}

"""Texts of `architectures`."""

from __future__ import annotations

from collections.abc import Mapping

ARCHITECTURES: Mapping[str, str] = {
    "Networks at {width:g} of their published width, with batch norm and global average pooling, "
    "each trained for {epochs} epochs on {images}: {labels}.": (
        "폭을 논문의 {width:g}배로 줄이고 배치 정규화와 전역 평균 풀링을 쓴 신경망들을 "
        "{epochs}에포크씩 학습합니다. 이미지: {images}({labels})."
    ),
    "best accuracy: {network}": "가장 높은 정확도: {network}",
    "lowest latency: {network}": "가장 짧은 지연 시간: {network}",
    "most multiply-adds: {network}": "가장 많은 곱셈-덧셈: {network}",
    "After the same {count:,} training images, the accuracies are {accuracies}: {verdict}.": (
        "학습 이미지 {count:,}장을 똑같이 본 뒤의 정확도: {accuracies}. {verdict}."
    ),
    "{network} is ahead for every seed": "어느 시드에서나 {network} 쪽이 앞섭니다",
    "{network} and {other} differ by less than the seeds do": (
        "{network}, {other}의 차이는 시드에 따른 차이보다 작습니다"
    ),
    "the newest beats the oldest, as in the lecture": (
        "강의대로 가장 최근 것이 가장 오래된 것보다 낫습니다"
    ),
    "the oldest beats the newest, contrary to the lecture": (
        "강의와 달리 가장 오래된 것이 가장 최근 것보다 낫습니다"
    ),
    "the oldest and the newest differ by no more than the seeds do, so the lecture's ranking is "
    "not confirmed": (
        "가장 오래된 것과 가장 최근 것의 차이가 시드에 따른 차이보다 크지 않아서 강의의 순위는 "
        "확인되지 않습니다"
    ),
    "{times:.1f} times as long": "시간은 {times:.1f}배 걸립니다",
    "{slow} takes {times:.1f} times as long as {quick}": (
        "시간이 가장 오래 걸리는 {slow}의 시간은 {quick}의 {times:.1f}배입니다"
    ),
    "latency does not follow arithmetic": "지연 시간은 계산량에 비례하지 않습니다",
    "latency follows arithmetic": "지연 시간은 계산량에 비례합니다",
    "{heavy} takes {arithmetic:.0f} times the multiply-adds of {light} and {longer}: {verdict}; "
    "{dense} does {rate:.1f} times as many multiply-adds per ms as {thin}.": (
        "{heavy}의 곱셈-덧셈은 {light}의 {arithmetic:.0f}배이고 {longer}. {verdict}. 1밀리초에 "
        "하는 곱셈-덧셈은 {dense} 쪽이 {thin}의 {rate:.1f}배입니다."
    ),
    "Training": "학습",
    "Validation accuracy against epochs and against training time. The learning rate falls "
    "linearly from {rate} to 0; it is not tuned per network.": (
        "에포크와 학습 시간에 따른 검증 정확도. 학습률은 {rate}에서 0까지 일정하게 낮추고, "
        "신경망마다 따로 맞추지 않습니다."
    ),
    "Accuracy during training": "학습 중의 정확도",
    "By epoch": "에포크에 따라",
    "Cost per prediction": "예측 하나의 비용",
    "The trained networks. Latency is the median at batch 1, ONNX Runtime in fp32 on one thread, "
    "networks interleaved. Dots are means over the seeds, lines span minimum to maximum.": (
        "학습한 신경망들. 지연 시간은 배치 크기 1, ONNX Runtime fp32, 스레드 하나에서 신경망을 "
        "번갈아 가며 잰 중앙값입니다. 점은 시드별 결과의 평균, 선은 최솟값부터 최댓값까지입니다."
    ),
    "Accuracy against multiply-adds, weights and latency": (
        "곱셈-덧셈 수, 가중치 수, 지연 시간에 따른 정확도"
    ),
    "multiply-adds, millions": "곱셈-덧셈 수(백만)",
    "weights, thousands": "가중치 수(천)",
    "latency, ms": "지연 시간(ms)",
    "This study and the published networks": "이 실험의 신경망과 논문의 신경망",
    "Weights of convolutions and dense layers, and multiply-adds per image. The published "
    "networks have 1,000 classes; AlexNet and VGG16 end in dense layers, which hold most of their "
    "weights.": (
        "합성곱층과 완전 연결층의 가중치 수, 그리고 이미지 한 장의 곱셈-덧셈 수. 논문의 신경망은 "
        "클래스가 1,000개이고, AlexNet과 VGG16은 끝에 있는 완전 연결층에 가중치 대부분이 있습니다."
    ),
    "training, s": "학습(초)",
    "published: input": "논문: 입력",
}

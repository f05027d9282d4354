"""Texts that several studies use."""

from __future__ import annotations

from collections.abc import Mapping

SHARED: Mapping[str, str] = {
    "Why do deep sigmoid networks fail to train?": "깊은 시그모이드 신경망은 왜 학습되지 않을까?",
    "Full batch or mini-batches?": "전체 배치와 미니배치, 어느 쪽이 나을까?",
    "How large can the learning rate be?": "학습률은 얼마나 커도 될까?",
    "Which optimiser is the fastest?": "어느 옵티마이저가 가장 빠를까?",
    "Does dropout improve generalisation?": "드롭아웃은 일반화에 도움이 될까?",
    "What do convolution and pooling do to an image?": "합성곱과 풀링은 이미지를 어떻게 바꿀까?",
    "Which architecture for a short training?": "짧게 학습한다면 어느 구조가 좋을까?",
    "Do shortcuts save the gradient of a deep network?": "지름길은 깊은 신경망의 기울기를 살릴까?",
    "Is a video more than its frames?": "영상은 프레임을 모아 놓은 것 이상일까?",
    "edgecat {version}, study {name}: {values}. Lines are means over the seeds, bands span "
    "minimum to maximum. Measured on {machine}.": (
        "edgecat {version}, 실험 {name}: {values}. 선은 시드별 결과의 평균이고, 띠는 최솟값부터 "
        "최댓값까지입니다. 측정한 컴퓨터: {machine}."
    ),
    "{learnt}, and {validation:,} for validation": "{learnt}, 검증용 {validation:,}장",
    "{count:,} drawn faces of {size} x {size} pixels": "{size} x {size} 픽셀 얼굴 그림 {count:,}장",
    "{count:,} photos of {size} x {size} pixels": "{size} x {size} 픽셀 사진 {count:,}장",
    "infinity": "무한대",
    "infinitely many": "무한",
    "an undefined number of": "알 수 없는",
    "epoch": "에포크",
    "step": "스텝",
    "layer": "층",
    "network": "신경망",
    "weights": "가중치 수",
    "rate": "학습률",
    "loss": "손실",
    "smoothed": "평활화",
    "loss in nats": "손실(nat)",
    "accuracy": "정확도",
    "Accuracy": "정확도",
    "accuracy, %": "정확도(%)",
    "training accuracy": "학습 정확도",
    "Training accuracy": "학습 정확도",
    "validation accuracy": "검증 정확도",
    "training time, s": "학습 시간(초)",
    "By time": "시간에 따라",
    "gradient norm": "기울기의 크기",
    "depth of the network": "신경망의 깊이(층)",
    "{depth} layers": "{depth}층",
    "Before training": "학습 전",
    "During training": "학습 중",
    "After the last epoch": "마지막 에포크 뒤",
    "not reached": "도달 못 함",
    "multiply-adds": "곱셈-덧셈 수",
}

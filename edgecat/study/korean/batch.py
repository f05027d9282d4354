"""Texts of `batch`."""

from __future__ import annotations

from collections.abc import Mapping

BATCH: Mapping[str, str] = {
    "One network of {depth} layers, without momentum, on {images}. It is trained with the full "
    "batch or with mini-batches, each at its own tuned learning rate.": (
        "{depth}층 신경망 하나를 모멘텀 없이 학습합니다. 이미지: {images}. 전체 배치 또는 "
        "미니배치로, 저마다 따로 맞춘 학습률을 씁니다."
    ),
    "speed-up in time with batches of {batch}": "배치 크기 {batch}의 시간 단축",
    "cosine of {count} images' gradient with the full gradient": (
        "이미지 {count}장의 기울기와 전체 기울기의 코사인 유사도"
    ),
    "path length over distance with batches of {batch}": "배치 크기 {batch}의 경로 길이 / 직선거리",
    "{race} Half the initial loss is reached: {told}.": "{race} 처음 손실의 절반까지: {told}.",
    "{name} not in every run": "{name}: 도달하지 못한 시드가 있음",
    "{name} after {epochs:.1f} epochs and {seconds:.1f} seconds": (
        "{name}: {epochs:.1f}에포크, {seconds:.1f}초"
    ),
    "Within their epochs, no batch size reached in every run the loss of {target} that full-batch "
    "gradient descent reaches in {epochs:.0f} epochs: the lecture's claim is not confirmed here.": (
        "전체 배치 경사 하강법은 {epochs:.0f}에포크 만에 손실 {target}에 이르지만, 정해진 에포크 "
        "안에 모든 시드에서 거기에 이른 미니배치는 없습니다. 강의의 주장은 여기서 확인되지 "
        "않습니다."
    ),
    "No batch size was faster to the loss of {target} that full-batch gradient descent reaches in "
    "{epochs:.0f} epochs: the lecture's claim does not hold here.": (
        "전체 배치 경사 하강법이 {epochs:.0f}에포크 만에 이르는 손실 {target}까지 더 빨리 간 "
        "미니배치는 없습니다. 강의의 주장이 여기서는 맞지 않습니다."
    ),
    "Full-batch gradient descent reaches a loss of {target} in {epochs:.0f} epochs and "
    "{seconds:.1f} seconds, batches of {batch} in {their_epochs:.1f} epochs and "
    "{their_seconds:.1f} seconds, {times} times as fast: {claim}.": (
        "손실 {target}까지 전체 배치 경사 하강법은 {epochs:.0f}에포크, {seconds:.1f}초가 걸리고, "
        "배치 크기 {batch}의 미니배치는 {their_epochs:.1f}에포크, {their_seconds:.1f}초로 "
        "{times}배 빠릅니다. {claim}."
    ),
    "a tenth of the time or less, as the lecture promises": (
        "강의가 약속한 대로 10분의 1 이하의 시간입니다"
    ),
    "faster, but not in a tenth of the time": "더 빠르지만 10분의 1까지는 아닙니다",
    "The cosine with the full gradient is {close:.2f} for {few} images and {closer:.2f} for "
    "{many}, and the path with batches of {few} is {long:.1f} times as long as its distance, "
    "against {short:.1f} times with the full batch: {verdict}.": (
        "전체 기울기와의 코사인 유사도는 이미지 {few}장일 때 {close:.2f}, {many}장일 때 "
        "{closer:.2f}입니다. 배치 크기 {few}의 경로는 직선거리의 {long:.1f}배이고, 전체 배치의 "
        "경로는 {short:.1f}배입니다. {verdict}."
    ),
    "smaller batches have noisier gradients and wander more, as the lecture says": (
        "강의대로, 배치가 작을수록 기울기가 부정확하고 더 헤맵니다"
    ),
    "smaller batches do not wander more here, contrary to the lecture": (
        "강의와 달리 여기서는 작은 배치가 더 헤매지 않습니다"
    ),
    "Loss by epochs and by time": "에포크와 시간에 따른 손실",
    "Loss on all training images against epochs and against training time, excluding "
    "measurements. An epoch with the full batch is a single step.": (
        "모든 학습 이미지에 대한 손실을 에포크와 학습 시간(측정에 든 시간 제외)에 따라 "
        "그렸습니다. 전체 배치에서는 한 에포크가 한 스텝입니다."
    ),
    "Loss by epochs and by seconds": "에포크와 초에 따른 손실",
    "Time to the full batch's loss": "전체 배치의 손실까지 걸린 시간",
    "Epochs and seconds to the full batch's lowest loss, means over the seeds; and the path "
    "length in weight space divided by the straight-line distance.": (
        "전체 배치의 가장 낮은 손실까지 걸린 에포크와 초(시드별 결과의 평균), 그리고 가중치 "
        "공간에서 지나온 길을 직선거리로 나눈 값."
    ),
    "Paths": "지나온 길",
    "Left: the first {count} steps from the same weights, projected onto the plane of largest "
    "variance. Right: the cosine between mini-batch gradients and the full gradient at the same "
    "weights, during training.": (
        "왼쪽: 같은 가중치에서 출발한 처음 {count}스텝을 분산이 가장 큰 평면에 비춘 것. 오른쪽: "
        "학습 중, 같은 가중치에서 잰 미니배치 기울기와 전체 기울기의 코사인 유사도."
    ),
    "Paths and cosines": "지나온 길과 코사인 유사도",
    "full batch": "전체 배치",
    "batch {size}": "배치 {size}",
    "full batch, best": "전체 배치의 최저 손실",
    "By epochs": "에포크에 따라",
    "epochs": "에포크",
    "seconds": "초",
    "batch size": "배치 크기",
    "of full batch": "전체 배치 대비",
    "path / distance": "경로 / 직선거리",
    "First steps": "처음 몇 스텝",
    "first component": "첫째 성분",
    "second component": "둘째 성분",
    "initial": "처음",
    "after epoch {epoch}": "{epoch}에포크 뒤",
    "Gradient direction": "기울기의 방향",
    "cosine with the full gradient": "전체 기울기와의 코사인 유사도",
    "all {count}": "전체 {count}",
}

"""Texts of `optimizers`."""

from __future__ import annotations

from collections.abc import Mapping

OPTIMIZERS: Mapping[str, str] = {
    "One network of {depth} layers, {epochs} epochs on {images}, with each of {count} optimisers "
    "at its own constant learning rate.": (
        "{depth}층 신경망 하나, {epochs}에포크. 이미지: {images}. 옵티마이저 {count}가지, "
        "학습률은 저마다 따로 맞춘 값으로 고정합니다."
    ),
    "lowest loss: {loss}": "가장 낮은 손실: {loss}",
    "Adam's loss, rank {rank} of {count}": "Adam의 손실({count}가지 중 {rank}위)",
    "highest loss: {loss}": "가장 높은 손실: {loss}",
    "After the same epochs {best} has the lowest loss, {loss}; Adam ranks {rank} of {count} with "
    "{adam}, and {worst} last with {worst_loss}: {verdict}.": (
        "같은 에포크 뒤에 손실이 가장 낮은 것은 {best}({loss})이고, Adam은 {count}가지 중 "
        "{rank}위({adam}), 마지막은 {worst}({worst_loss})입니다. {verdict}."
    ),
    "the lecture's advice, Adam when in doubt, holds": (
        "잘 모르겠으면 Adam을 쓰라는 강의의 조언이 맞습니다"
    ),
    "Adam is not first, but within the spread of the seeds": (
        "Adam이 1위는 아니지만 시드에 따른 차이 안에 있습니다"
    ),
    "the lecture's advice, Adam when in doubt, was not the best here": (
        "잘 모르겠으면 Adam을 쓰라는 강의의 조언이 여기서는 최선이 아니었습니다"
    ),
    "First at the minimum, each at its best rate: {winners}.": (
        "저마다 가장 좋은 학습률로 최솟점에 먼저 도착한 옵티마이저: {winners}."
    ),
    "the {surface}": "{surface}",
    "{surface}'s function": "{surface} 함수",
    "none on {surface}": "{surface}: 없음",
    "{optimizer} on {surface} (step {step}; gd {other})": (
        "{surface}: {optimizer}({step}스텝, gd는 {other})"
    ),
    "after {step}": "{step}스텝",
    "never": "도달 못 함",
    "optimiser": "옵티마이저",
    "Three surfaces": "세 가지 지형",
    "All start at the same point, each at the best of 25 rates that keep it in view; a star marks "
    "a minimum. All use the exact gradient except sgd, whose gradient is noisy.": (
        "모두 같은 점에서 출발하고, 학습률은 화면을 벗어나지 않는 25가지 가운데 가장 좋은 것을 "
        "씁니다. 별은 최솟점입니다. sgd의 기울기에만 잡음이 있고, 나머지는 정확한 기울기를 씁니다."
    ),
    "The network": "신경망",
    "Training loss and accuracy; gd takes one step per epoch, the others one per batch.": (
        "학습 손실과 정확도. gd는 에포크마다 한 스텝, 나머지는 배치마다 한 스텝을 갑니다."
    ),
    "Loss": "손실",
    "Loss and accuracy by optimiser": "옵티마이저별 손실과 정확도",
    "Each has its own rate: the best of 1, 3 and 10 times the learning-rate finder's suggestion, "
    "after {trial} epochs. Means over the seeds.": (
        "학습률은 저마다 탐색기 추천값의 1, 3, 10배를 {trial}에포크씩 써 보고 고른 것입니다. "
        "시드별 결과의 평균."
    ),
    "{surface}: steps": "{surface}: 스텝",
    "Play": "재생",
    "Pause": "멈춤",
    "valley": "골짜기",
    "saddle": "안장",
    "Beale": "Beale",
    "Rosenbrock's: steep walls and a curved floor that falls slowly": (
        "로젠브록 함수. 벽은 가파르고, 굽은 바닥은 천천히 낮아집니다"
    ),
    "flat at the start: the descent is sideways and hardly visible": (
        "출발점이 평평해서, 옆으로 난 내리막이 거의 보이지 않습니다"
    ),
    "a cliff at the start and a plain around the minimum": (
        "출발점은 절벽이고, 최솟점 둘레는 평지입니다"
    ),
}

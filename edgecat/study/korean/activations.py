"""Texts of `activations`."""

from __future__ import annotations

from collections.abc import Mapping

ACTIVATIONS: Mapping[str, str] = {
    "Plain networks of 3x3 convolutions, {least} to {most} layers deep, on {images}: {labels}.": (
        "3x3 합성곱을 쌓은 단순한 신경망, {least}층부터 {most}층까지. 이미지: {images}({labels})."
    ),
    "times weaker first-layer gradient with sigmoids at depth {depth}": (
        "시그모이드를 쓰면 첫 층의 기울기가 몇 배 작은가({depth}층)"
    ),
    "gradient factor per sigmoid layer; theory: {limit}": (
        "시그모이드 층마다 기울기에 곱해지는 값(이론: {limit})"
    ),
    "gradient factor per ReLU layer": "ReLU 층마다 기울기에 곱해지는 값",
    "Before training, the gradient at the first of {depth} layers is {ratio} times smaller with "
    "sigmoids than with ReLUs: each sigmoid layer passes on {sigmoid:.2f} of the gradient, {near} "
    "(at most 1/4), and each ReLU layer {relu:.2f}.": (
        "학습하기 전에 {depth}층 신경망의 첫 층에 닿는 기울기는 시그모이드를 쓸 때가 ReLU를 쓸 "
        "때보다 {ratio}배 작습니다. 층을 하나 지날 때 시그모이드는 기울기의 {sigmoid:.2f}배를 "
        "넘겨주고(많아야 1/4: {near}), ReLU는 {relu:.2f}배를 넘겨줍니다."
    ),
    "as the theory says": "이론대로입니다",
    "more than the theory allows": "이론보다 큽니다",
    "The gradient does not vanish here: at depth {depth}, that of the first layer is only "
    "{ratio:.1f} times smaller with sigmoids than with ReLUs, contrary to the lecture.": (
        "여기서는 기울기가 소실되지 않습니다. {depth}층 신경망에서 시그모이드를 쓸 때 첫 층의 "
        "기울기는 ReLU를 쓸 때보다 {ratio:.1f}배 작을 뿐이어서 강의와 다릅니다."
    ),
    "After the last epoch, the validation accuracy is {accuracies}: {verdict}.": (
        "마지막 에포크 뒤의 검증 정확도: {accuracies}. {verdict}."
    ),
    "the deep network trains with ReLUs but not with sigmoids, as the lecture says": (
        "강의대로, 깊은 신경망은 ReLU로는 학습되고 시그모이드로는 학습되지 않습니다"
    ),
    "with ReLUs it does little better than guessing, so this shows nothing; train longer, or with "
    "more seeds": (
        "ReLU로도 찍는 것보다 별로 낫지 않아 아무것도 보여 주지 못합니다. 더 오래, 또는 더 많은 "
        "시드로 학습해 보세요"
    ),
    "ReLUs train better than sigmoids, which still learn something": (
        "ReLU가 더 잘 학습되지만 시그모이드도 조금은 배웁니다"
    ),
    "ReLUs show no advantage in accuracy here, contrary to the lecture": (
        "강의와 달리 여기서는 ReLU의 정확도가 더 높지 않습니다"
    ),
    "The norm of the loss gradient by the weights of each layer, which the optimiser works with. "
    "Left: by layer, for {depth} layers; layer 1 sees the image. Right: the first layer, by depth "
    "of the network.": (
        "손실을 각 층의 가중치로 미분한 기울기의 크기. 옵티마이저가 쓰는 값입니다. 왼쪽: "
        "{depth}층 신경망의 층별 크기(1층이 이미지를 봅니다). 오른쪽: 신경망의 깊이에 따른 첫 "
        "층의 기울기."
    ),
    "Gradient norms by layer and by depth": "층과 깊이에 따른 기울기의 크기",
    "Each network is trained with Adam, at the best of three rates around the one that the "
    "learning-rate finder suggests. Training loss and validation accuracy.": (
        "신경망마다 Adam으로 학습하고, 학습률은 탐색기가 추천한 값 주변의 셋 가운데 가장 좋은 "
        "것을 씁니다. 학습 손실과 검증 정확도."
    ),
    "Loss and accuracy during training": "학습 중의 손실과 정확도",
    "The first layer during training": "학습 중 첫 층의 기울기",
    "The gradient that reaches the first layer, per epoch.": "에포크마다 첫 층에 닿는 기울기.",
    "First layer's gradient during training": "학습 중 첫 층에 닿는 기울기",
    "Attenuation per layer": "층마다 줄어드는 정도",
    "The factor by which a layer scales the gradient on its way back to the input, geometric mean "
    "over the convolutions, at {depth} layers: the activation's derivative times the effect of "
    "the weights. He et al. scale the weights for ReLUs up by the square root of 2, since half of "
    "the units are inactive, and those for tanh by 5/3. The derivative of a sigmoid is at most "
    "1/4: after seven layers less than a ten-thousandth of the gradient is left. Batch norm "
    "brings what reaches each sigmoid to mean 0 and variance 1, and its scale multiplies the "
    "gradient.": (
        "기울기가 입력 쪽으로 돌아가면서 층을 하나 지날 때마다 곱해지는 값. {depth}층 신경망의 "
        "합성곱층에 대한 기하 평균이고, 활성화 함수의 미분값과 가중치의 영향이 함께 들어 "
        "있습니다. He 등은 ReLU의 절반이 꺼져 있으므로 그 앞의 가중치를 √2배로, tanh의 가중치를 "
        "5/3배로 키웁니다. 시그모이드의 미분값은 많아야 1/4이어서 일곱 층만 지나도 기울기가 "
        "만분의 1이 되지 않습니다. 배치 정규화는 시그모이드에 들어가는 값을 평균 0, 분산 1로 "
        "맞추고, 그때 나누는 값만큼 기울기도 커집니다."
    ),
    "activation": "활성화 함수",
    "factor per layer": "층마다 곱해지는 값",
    "after {count} layers": "{count}층을 지난 뒤",
    "maximum derivative": "미분값의 최댓값",
    "First layer": "첫 층",
    "first-layer gradient norm": "첫 층의 기울기 크기",
    "{depth} layers: loss": "{depth}층: 손실",
    "{depth} layers: accuracy": "{depth}층: 정확도",
    "{activation} with batch norm": "{activation} + 배치 정규화",
}

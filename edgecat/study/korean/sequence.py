"""Texts of `sequence`."""

from __future__ import annotations

from collections.abc import Mapping

SEQUENCE: Mapping[str, str] = {
    "{images}: a small VGG11 was trained on most of the first and has {accuracy:.0%} accuracy on "
    "the rest. It then classified clips of {frames} frames, of two images each, with {hard:.0%} "
    "of the frames badly blurred or covered.": (
        "{images}. 작은 VGG11을 앞의 이미지 대부분으로 학습했고, 나머지에서 정확도는 "
        "{accuracy:.0%}입니다. 이 신경망이 이미지 두 장씩으로 만든 {frames}프레임짜리 영상을 "
        "분류합니다. 프레임의 {hard:.0%}는 심하게 흐리거나 가려져 있습니다."
    ),
    "accuracy on hard frames, alone and with LSTM": "어려운 프레임의 정확도: 신경망만, LSTM",
    "spurious changes per clip": "영상마다 잘못 바뀐 횟수",
    "frames of lag of the smoother after a cut": "장면이 바뀐 뒤 평활화가 늦는 프레임",
    "frames of lag of the LSTM": "LSTM이 늦는 프레임",
    "single frames": "한 프레임씩",
    "single frames, trained on clips": "한 프레임씩(영상으로 학습)",
    "the same, smoothed": "같은 것 + 평활화",
    "LSTM, trained on clips": "LSTM(영상으로 학습)",
    "On blurred or covered frames, accuracy is {frame:.0%} for single frames, {smooth:.0%} "
    "smoothed and {memory:.0%} with an LSTM: {verdict}.": (
        "흐리거나 가려진 프레임의 정확도는 한 프레임씩 볼 때 {frame:.0%}, 평활화하면 "
        "{smooth:.0%}, LSTM을 쓰면 {memory:.0%}입니다. {verdict}."
    ),
    "a video is more than its frames": "영상은 프레임을 모아 놓은 것 이상입니다",
    "here a video is no more than its frames, contrary to the lecture": (
        "강의와 달리 여기서는 영상이 프레임을 모아 놓은 것에 지나지 않습니다"
    ),
    "Of the {gain:.0f} points that the LSTM gains there, {own:.0f} are due to its memory: a "
    "reader without memory, trained on the same clips, reaches {trained:.0%}": (
        "LSTM이 거기서 얻은 {gain:.0f}%p 가운데 {own:.0f}%p는 기억 덕분입니다. 같은 영상으로 "
        "학습했지만 기억이 없는 분류기는 {trained:.0%}입니다"
    ),
    "The LSTM's memory gives it {own:+.0f} points over a memoryless reader trained on the same "
    "clips ({trained:.0%})": (
        "같은 영상으로 학습했지만 기억이 없는 분류기({trained:.0%})와 LSTM의 차이는 "
        "{own:+.0f}%p입니다"
    ),
    "{why}; after a cut, the lag is {smooth:.1f} frames for the smoother, {memory:.1f} for the "
    "LSTM and {frame:.1f} for single frames.": (
        "{why}. 장면이 바뀌면 평활화는 {smooth:.1f}프레임, LSTM은 {memory:.1f}프레임, 한 프레임씩 "
        "볼 때는 {frame:.1f}프레임 늦습니다."
    ),
    "One clip and the predictions of each reader": "영상 하나와 방법별 예측",
    "The first clip of the first seed with a change of class. Blue is correct, orange is wrong, "
    "paler is less confident; grey at the top marks frames blurred or covered; the line is the "
    "cut.": (
        "첫 시드에서 클래스가 바뀌는 첫 영상. 파랑은 맞음, 주황은 틀림, 옅을수록 확신이 적습니다. "
        "맨 위의 회색은 흐리거나 가려진 프레임, 세로선은 장면이 바뀌는 곳입니다."
    ),
    "A clip and the predictions for each of its frames": "영상 하나와 프레임별 예측",
    "Over all validation clips. Bars are means over the seeds, error bars span minimum to "
    "maximum.": (
        "모든 검증 영상에 대한 정확도. 막대는 시드별 결과의 평균, 오차 막대는 최솟값부터 "
        "최댓값까지입니다."
    ),
    "Accuracy by reader and kind of frame": "방법과 프레임의 종류에 따른 정확도",
    "Stability and lag": "안정성과 지연",
    "Spurious changes: changes of the prediction in a clip beyond those of its label. Lag: frames "
    "after a cut to another class until the first correct prediction.": (
        "잘못 바뀐 횟수: 영상에서 예측이 라벨보다 더 많이 바뀐 횟수. 지연: 다른 클래스로 장면이 "
        "바뀐 뒤 처음 맞힐 때까지의 프레임 수."
    ),
    "blurred or covered": "흐리거나 가려짐",
    "all frames": "모든 프레임",
    "clear frames": "선명한 프레임",
    "frame": "프레임",
    "reader": "방법",
    "accuracy, all": "정확도(전체)",
    "accuracy, hard": "정확도(어려운 프레임)",
    "lag, frames": "지연(프레임)",
}

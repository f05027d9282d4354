"""Texts of `convolution`."""

from __future__ import annotations

from collections.abc import Mapping

CONVOLUTION: Mapping[str, str] = {
    "Four hand-made 3x3 filters, ReLU and pooling on {images}; and the weights and receptive "
    "fields of VGG16, computed from its graph.": (
        "손으로 만든 3x3 필터 네 개, ReLU, 풀링을 적용합니다. 이미지: {images}. 그리고 VGG16의 "
        "가중치와 수용 영역을 신경망의 그래프에서 계산합니다."
    ),
    "change after a shift, unpooled and pooled": (
        "이미지를 옮겼을 때 특징 맵의 변화: 풀링 없음, 풀링 1회"
    ),
    "as many weights if the first layer were dense": "첫 층이 완전 연결층이라면 필요한 가중치",
    "receptive field, first and last layer": "수용 영역: 첫 층, 마지막 층",
    "stronger response at a padded border than inside": "안쪽과 비교한 패딩 가장자리의 반응",
    "A shift by one pixel changes the filters' map by {none:.0%} of what another image would, by "
    "{once:.0%} after one 2x2 max pool and by {most:.0%} after {times}: {verdict}; {others}.": (
        "이미지를 한 픽셀 옮기면 특징 맵은 다른 이미지로 바꿀 때의 {none:.0%}만큼 달라지고, 2x2 "
        "최대 풀링을 한 번 하면 {once:.0%}, {times}번 하면 {most:.0%}입니다. {verdict}. {others}."
    ),
    "pooling tolerates a small shift, as the lecture says": (
        "강의대로 풀링은 조금 움직인 것을 눈감아 줍니다"
    ),
    "pooling does not tolerate a small shift here, contrary to the lecture": (
        "강의와 달리 여기서는 풀링이 조금 움직인 것도 눈감아 주지 않습니다"
    ),
    "the mean of four does as well ({share:.0%})": "네 값의 평균도 똑같이 도움이 되고({share:.0%})",
    "the mean of four does less ({share:.0%})": "네 값의 평균은 도움이 덜 되고({share:.0%})",
    "keeping just one of four does not ({share:.0%})": (
        "넷 중 하나만 남기면 도움이 되지 않습니다({share:.0%})"
    ),
    "keeping just one of four does too ({share:.0%})": (
        "넷 중 하나만 남겨도 도움이 됩니다({share:.0%})"
    ),
    "VGG16's first convolution computes its map with {shared:,} weights, where a dense layer "
    "would need {dense}; {grown}.": (
        "VGG16의 첫 합성곱층은 가중치 {shared:,}개로 특징 맵을 계산하지만, 완전 연결층이라면 "
        "{dense}개가 필요합니다. {grown}."
    ),
    "the receptive field grows, as the lecture says, from {first} pixels to {last} of {side}": (
        "강의대로 수용 영역은 {first}픽셀에서 {side}픽셀 중 {last}픽셀까지 넓어집니다"
    ),
    "the receptive field does not grow throughout, from {first} pixels to {last} of {side}": (
        "수용 영역은 {first}픽셀에서 {side}픽셀 중 {last}픽셀까지이지만 계속 넓어지지는 않습니다"
    ),
    "Filter responses": "필터의 반응",
    "Each filter slides over the image; the response is high (red) where its pattern is, low "
    "(blue) where the opposite is. ReLU keeps the positive ones, and a 2x2 max pool with stride 2 "
    "halves the map and keeps the maximum of every square.": (
        "필터가 이미지 위를 훑습니다. 자기 패턴이 있는 곳에서는 반응이 크고(빨강), 그 반대 패턴이 "
        "있는 곳에서는 작습니다(파랑). ReLU는 양수만 남기고, 보폭 2의 2x2 최대 풀링은 영역마다 "
        "최댓값을 남기면서 특징 맵의 가로세로를 절반으로 줄입니다."
    ),
    "An image after four filters, ReLU and max pooling": (
        "필터 네 개, ReLU, 최대 풀링을 차례로 적용한 이미지"
    ),
    "Each filter finds its own pattern": "필터마다 자기 패턴을 찾는다",
    "The maximum response of each filter to a drawn edge or ring, at most 1. No other filter "
    "responds to an edge as strongly as its own; the ring, with edges all around, excites "
    "several.": (
        "그려 놓은 윤곽선이나 동그라미에 대한 필터별 최대 반응(많아야 1). 윤곽선에는 자기 필터가 "
        "가장 강하게 반응하고, 사방이 윤곽선인 동그라미에는 여러 필터가 반응합니다."
    ),
    "pattern": "패턴",
    "{pattern} filter": "{pattern} 필터",
    "upright": "세로선",
    "level": "가로선",
    "slanted": "대각선",
    "ring": "동그라미",
    "image": "이미지",
    "input": "입력",
    "responses": "반응",
    "after ReLU": "ReLU 뒤",
    "after a 2x2 max pool": "2x2 최대 풀링 뒤",
    "after three": "세 번 뒤",
    "Filters that were learnt": "학습으로 얻은 필터",
    "The first layer of the model that ships, 3x3 pixels in three colours each, drawn around "
    "grey. Nobody designed them. Above, by kind: an edge filter is bright on one side and dark on "
    "the opposite one. Below: what the four strongest edge filters answer.": (
        "edgecat에 들어 있는 모델의 첫 층. 필터는 3x3 픽셀에 색이 셋이고, 회색을 0으로 "
        "그렸습니다. 사람이 만든 것이 아닙니다. 위: 종류별 필터. 윤곽선 필터는 한쪽이 밝고 "
        "반대쪽이 어둡습니다. 아래: 가장 강한 윤곽선 필터 네 개의 반응."
    ),
    "The first layer of the model that ships": "edgecat에 들어 있는 모델의 첫 층",
    "edges": "윤곽선",
    "colours": "색",
    "spots and lines": "점과 선",
    "{kind}: {count} of {all}": "{kind}: {all}개 중 {count}개",
    "filter {number}": "필터 {number}",
    "Tolerance to small shifts": "조금 움직인 것을 눈감아 주는 정도",
    "The images are shifted by a few pixels up, down, left and right. The change of the filters' "
    "map is relative to that of another image. Left: the map unpooled, and pooled once in three "
    "ways. Right: max-pooled several times.": (
        "이미지를 상하좌우로 몇 픽셀 옮깁니다. 특징 맵의 변화는 다른 이미지로 바꿀 때의 변화에 "
        "대한 비율입니다. 왼쪽: 풀링이 없을 때, 그리고 세 가지 방법으로 한 번 풀링했을 때. "
        "오른쪽: 최대 풀링을 여러 번 했을 때."
    ),
    "Change of the map against the shift": "이동에 따른 특징 맵의 변화",
    "unpooled": "풀링 없음",
    "maximum of four": "넷 중 최댓값",
    "mean of four": "넷의 평균",
    "first of four": "넷 중 첫째",
    "1 pool": "풀링 1회",
    "{times} pools": "풀링 {times}회",
    "shift in pixels": "이동(픽셀)",
    "change, % of that of another image": "변화(다른 이미지 대비 %)",
    "Pooled once, in three ways": "세 가지 방법의 풀링 1회",
    "Successive 2x2 max pools": "거듭한 2x2 최대 풀링",
    "Maps shrink without padding": "패딩이 없으면 특징 맵이 줄어든다",
    "A 3x3 filter is undefined at the outermost pixels, so every convolution loses two rows and "
    "two columns without zero padding. Padding has a cost: the border looks like an edge, and the "
    "filters respond to it {times} as strongly as to the inside.": (
        "3x3 필터는 가장 바깥 픽셀에서는 계산할 수 없어서, 제로 패딩이 없으면 합성곱마다 두 행과 "
        "두 열이 줄어듭니다. 패딩도 공짜는 아닙니다. 경계가 윤곽선처럼 보여 필터의 반응이 안쪽의 "
        "{times}가 됩니다."
    ),
    "Size of the map by layer": "층별 특징 맵의 크기",
    "Size of VGG16's maps": "VGG16 특징 맵의 크기",
    "layer, pools included": "층(풀링 포함)",
    "pixels per side": "한 변의 픽셀 수",
    "padded, {size} pixels": "패딩 있음, {size}픽셀",
    "not padded, {size} pixels": "패딩 없음, {size}픽셀",
    "Weights: shared or dense": "가중치: 함께 쓰기와 완전 연결",
    "A convolution uses the same few weights everywhere and connects only neighbours; a dense "
    "layer for the same map has one weight for every pair of an input and an output pixel.": (
        "합성곱은 어디서나 같은 몇 개의 가중치로 이웃한 픽셀만 연결합니다. 같은 특징 맵을 만드는 "
        "완전 연결층에는 입력 픽셀과 출력 픽셀의 쌍마다 가중치가 하나씩 있습니다."
    ),
    "Weights, layer by layer": "층별 가중치 수",
    "Weights for the same map": "같은 특징 맵을 만드는 데 필요한 가중치",
    "dense layer": "완전 연결층",
    "convolution": "합성곱층",
    "convolution in VGG16": "VGG16의 합성곱층",
    "Receptive fields": "수용 영역",
    "The number of image pixels that one position of each map depends on, computed from the "
    "graph; every pool doubles the step between positions.": (
        "특징 맵의 한 위치가 이미지의 몇 픽셀을 보는지 그래프에서 계산했습니다. 풀링마다 위치 "
        "사이의 간격이 두 배가 됩니다."
    ),
    "Receptive fields of VGG16": "VGG16의 수용 영역",
    "receptive field at the centre, after each pool": "풀링마다 가운데 위치의 수용 영역",
    "receptive field, pixels per side": "수용 영역(한 변의 픽셀 수)",
    "map": "특징 맵",
    "field, pixels": "수용 영역(픽셀)",
    "stride": "간격",
    "weights if dense": "완전 연결이라면",
    "ratio": "비율",
    "{count} billion": "{eok}억",
    "{factor} million times": "{eok}억 배",
    "{factor} times": "{factor}배",
}

import base64
import io

import numpy as np
import pytest
from PIL import Image

from headstart.pipelines.evaluation import pictures


@pytest.mark.parametrize("shape", [(40, 30, 1), (40, 30, 3), (300, 400, 3)])
def test_a_picture_is_a_small_data_uri_of_the_same_picture(shape):
    image = np.full(shape, 128, dtype=np.uint8)
    image[: shape[0] // 2] = 250
    uri = pictures.picture(image)
    assert len(uri) < 10_000
    back = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))
    assert max(back.shape[:2]) == min(192, max(shape[:2]))
    assert back.shape[0] / back.shape[1] == pytest.approx(shape[0] / shape[1], rel=0.02)
    assert abs(int(back[0, 0].max()) - 250) < 4
    assert abs(int(back[-1, -1].max()) - 128) < 4

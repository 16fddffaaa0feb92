import io

import numpy as np
from PIL import Image

from garmentcut.training.sheets import Exhibit, sheet_bytes


def sample(name="dress_Front"):
    photo = np.full((150, 100, 3), 200, np.uint8)
    target, alpha = np.zeros((2, 150, 100), np.float32)
    target[50:100, 20:50] = 1  # the left half is missed,
    alpha[50:100, 50:80] = 1  # the right one is too much
    return Exhibit(name, photo, target, alpha, 0.0)


def drawn(*samples):
    return np.asarray(Image.open(io.BytesIO(sheet_bytes(samples, "step 1")))).astype(int)


def test_a_row_a_photo():
    one, two = drawn(sample()), drawn(sample(), sample("vest_Back"))
    assert one.shape[1] == two.shape[1]
    assert two.shape[0] - one.shape[0] == one.shape[0] - 20  # the title stands once
    assert one.shape[1] >= 4 * 200  # photo, target, prediction, difference, 300 pixels high each


def test_what_is_missing_is_red_and_what_is_too_much_blue():
    sheet = drawn(sample())
    cells = sheet[40:, :816].reshape(300, 4, 204, 3)[:, :, :200]  # enlarged twice
    photo, target, prediction, difference = (cells[:, column] for column in range(4))
    assert abs(photo - 200).max() < 8
    assert target[150, 70].min() > 240
    assert target[150, 130].max() < 15
    assert prediction[150, 130].min() > 240
    red, blue, same = difference[150, 70], difference[150, 130], difference[20, 100]
    assert red[0] > 200 > 90 > red[2]
    assert blue[2] > 200 > 90 > blue[0]
    assert np.ptp(same) < 8

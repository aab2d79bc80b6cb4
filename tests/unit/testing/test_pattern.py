"""The simulator's picture is known again on a screen, and no other picture is taken for it."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from interop.testing.pattern import CELLS, frame_number, pattern, pattern_share


def shown(size: int = 512, number: int = 0, *, low: int = 0, high: int = 255) -> np.ndarray:
    return np.where(pattern(size, number), high, low).astype(np.uint8)


def on_screen(picture: np.ndarray, side: int = 611) -> np.ndarray:
    """As a viewer shows it: scaled, centred on black, with text in the corners, as JPEG."""
    screen = Image.new("L", (side + 203, side), 0)
    screen.paste(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR), (101, 0))
    draw = ImageDraw.Draw(screen)
    draw.rectangle((0, 0, side + 202, side - 1), outline=200, width=1)  # the active viewport's border
    draw.line((side + 190, 8, side + 190, side - 8), fill=180, width=3)  # the slider
    draw.rectangle((340, 30, 500, 70), fill=12)  # the cine player
    for row in range(8):
        draw.text((4, 10 + 14 * row), "Παπαδόπουλος W: 400 L: 40", fill=255)
    stream = io.BytesIO()
    screen.save(stream, "JPEG", quality=50)
    return np.asarray(Image.open(stream))


@pytest.mark.parametrize("size", [128, 256, 480, 512])
def test_the_picture_itself_is_all_there(size: int) -> None:
    assert pattern_share(shown(size)) == 1.0
    assert pattern_share(shown(size).tolist()) == 1.0


@pytest.mark.parametrize(("low", "high"), [(0, 255), (30, 200), (90, 140)])
def test_it_survives_windowing_scaling_text_and_jpeg(low: int, high: int) -> None:
    assert pattern_share(on_screen(shown(low=low, high=high))) >= 0.96


@pytest.mark.parametrize("banner", [(0, 540, 800, 611), (0, 0, 800, 60)])
def test_a_banner_over_its_lower_or_upper_edge_hides_little_of_it(banner: tuple[int, int, int, int]) -> None:
    screen = Image.fromarray(on_screen(shown()))
    ImageDraw.Draw(screen).rectangle(banner, fill=30)
    assert pattern_share(screen) >= 0.9


@pytest.mark.parametrize("number", [0, 1, 59, 86, 170, 255])
def test_the_frame_is_known_by_its_number(number: int) -> None:
    assert frame_number(on_screen(shown(number=number))) == number


def test_a_turned_or_mirrored_picture_is_not_it() -> None:
    picture = shown()
    others = [np.rot90(picture, turns) for turns in (1, 2, 3)]
    others += [np.fliplr(picture), np.flipud(picture), picture.T, 255 - picture]
    assert all(pattern_share(other) < 0.75 for other in others)


def test_a_part_of_it_is_not_it() -> None:
    picture = shown()
    assert pattern_share(picture[:256, :256]) < 0.75
    assert pattern_share(picture[100:, 100:]) < 0.75


def test_nothing_is_not_it() -> None:
    noise = np.random.default_rng(7).integers(0, 255, (600, 800))
    assert pattern_share(noise) < 0.75
    for blank in (np.zeros((600, 800)), np.full((600, 800), 255), np.zeros((4, 4)), np.zeros(9)):
        assert pattern_share(blank) == 0.0
        assert frame_number(blank) is None


def test_the_board_has_no_symmetry() -> None:
    board = pattern(512)[16:-16, 16:-16][30::60, 30::60][:CELLS, :CELLS]
    for other in (np.rot90(board), np.rot90(board, 2), np.fliplr(board), np.flipud(board), board.T):
        assert (board == other).mean() < 0.7

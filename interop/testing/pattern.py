"""The picture that the simulated modalities take, and how to know it again on a screen.

A bright frame one thirty-second of the image wide encloses a board of 8 x 8 cells, each wholly bright or wholly dark.
Seven rows of cells are always the same and have no symmetry, so that a mirrored, turned or cut picture is not taken
for it; the cells of the last row are the bits of the frame's number, the highest at the left. Two levels and large
cells survive windowing, scaling and JPEG.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

CELLS = 8
FRAME = 32  # the bright frame is 1/FRAME of the image wide
ROWS = (
    "#.##.#..",
    ".#..##.#",
    "##.#...#",
    "..###.#.",
    "#...#.##",
    ".##..#.#",
    "#.#.##..",
)
_BOARD = np.array([[cell == "#" for cell in row] for row in ROWS])
_CONTRAST = 40  # grey levels between dark and bright, below which nothing is shown

Mask = npt.NDArray[np.bool_]


def pattern(size: int, number: int = 0) -> Mask:
    """The square picture of a frame: True where it is bright."""
    border = size // FRAME
    inner = size - 2 * border
    bits = np.array([[bool(number >> (CELLS - 1 - bit) & 1) for bit in range(CELLS)]])
    board = np.vstack([_BOARD, bits])
    cells = np.arange(inner) * CELLS // inner
    picture = np.ones((size, size), dtype=np.bool_)
    picture[border : size - border, border : size - border] = board[np.ix_(cells, cells)]
    return picture


def pattern_share(pixels: Any) -> float:
    """How much of the constant seven rows a grey picture shows, 0 to 1: a screenshot's viewport, whatever is around.

    1 is all of it, about a half is chance, 0 is a picture in which no bright frame is found.
    """
    board = _seen(pixels)
    return 0.0 if board is None else float(np.mean(board[: CELLS - 1] == _BOARD))


def frame_number(pixels: Any) -> int | None:
    """The number of the frame that a grey picture shows; None where no pattern is found."""
    board = _seen(pixels)
    if board is None:
        return None
    return int("".join("1" if bit else "0" for bit in board[CELLS - 1]), 2)


def _seen(pixels: Any) -> Mask | None:
    """The cells of the board as they are shown; None where there is no bright frame."""
    picture = np.asarray(pixels, dtype=np.float64)
    if picture.ndim != 2 or min(picture.shape) < 4 * CELLS:
        return None
    bright = _bright(picture)
    box = _framed(_thick(bright)) if bright is not None else None
    if box is None:
        return None
    top, bottom, left, right = box
    height, width = bottom - top, right - left
    if min(height, width) < 4 * CELLS or not 0.8 < height / width < 1.25:
        return None
    bright = _bright(picture[top:bottom, left:right])  # by its own levels: the screen around it is darker than dark
    if bright is None:
        return None
    rows, columns = height // FRAME, width // FRAME
    inner = bright[rows : height - rows, columns : width - columns]
    return np.array([[_cell(inner, row, column) for column in range(CELLS)] for row in range(CELLS)])


def _bright(picture: npt.NDArray[np.float64]) -> Mask | None:
    low, high = np.percentile(picture, (2, 98))
    return picture > (low + high) / 2 if high - low >= _CONTRAST else None


def _thick(bright: Mask) -> Mask:
    """Without what is thin: the viewer's own lines and letters. A pixel stays if all of its neighbourhood is bright."""
    reach = min(bright.shape) // 200
    thick = bright.copy()
    for axis in (0, 1):
        before = thick.copy()
        for shift in range(-reach, reach + 1):
            thick &= np.roll(before, shift, axis)
    return thick


def _framed(bright: Mask) -> tuple[int, int, int, int] | None:
    """Top, bottom, left and right of the bright frame. Where one of top and bottom is hidden (a banner of the viewer
    lies over it), the other tells where it is: the frame is square.
    """
    columns = np.flatnonzero(bright.mean(axis=0) > 0.3)
    if not columns.size:
        return None
    left, right = int(columns[0]), int(columns[-1]) + 1
    width = right - left
    rows = np.flatnonzero(bright[:, left:right].mean(axis=1) > 0.85)
    if not rows.size:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    if bottom - top < 0.8 * width:
        if top + width <= 1.02 * len(bright):
            bottom = min(top + width, len(bright))
        elif bottom >= 0.98 * width:
            top = max(bottom - width, 0)
    return top, bottom, left, right


def _cell(inner: Mask, row: int, column: int) -> bool:
    """Whether the middle of a cell is bright."""
    height, width = inner.shape[0] / CELLS, inner.shape[1] / CELLS
    middle = inner[
        int((row + 0.25) * height) : int((row + 0.75) * height) + 1,
        int((column + 0.25) * width) : int((column + 0.75) * width) + 1,
    ]
    return bool(middle.mean() > 0.5)

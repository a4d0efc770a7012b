from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from tests.fitting_cases import cases

from fidip.synthesis.bodies.anny import AnnyBody
from fidip.synthesis.camera import Camera
from fidip.synthesis.fit_people import Fit, Unfit, subjects
from fidip.synthesis.fit_report import (
    LONGEST,
    THUMBNAIL,
    Card,
    contact_sheet,
    draw_body,
    draw_card,
    from_the_side,
    overlay,
    scaled_points,
)
from fidip.synthesis.fits import CAMERA_ROTATION, Fits
from fidip.synthesis.renderers.flat import render_flat
from fidip.synthesis.surface import vertex_normals
from fidip.synthesis.world import Mesh, Scene

RECORD = Fit(10, 1, "<b>&.png", 0.012, True, (), {"total": 1.0}, 0.1)


@pytest.fixture(scope="module")
def subject():
    return subjects([cases("sitting")[0].image])[0][0]


@pytest.fixture(scope="module")
def fits(subject) -> Fits:
    body = AnnyBody.load()
    width, height = subject.image.width, subject.image.height
    return Fits(
        np.array([10]), np.array([1]), np.zeros((1, 48), np.float32), np.zeros((1, 104, 3), np.float32),
        np.array([[0, 2, 0]], np.float32), np.array([700.0]), np.array([[(width - 1) / 2, (height - 1) / 2]]),
        np.array([[width, height]]), CAMERA_ROTATION[None], np.zeros((1, 3)), body.bone_names, "anny",
    )  # fmt: skip


def test_the_painted_body_covers_what_a_z_buffer_covers() -> None:
    body = AnnyBody.load()
    vertices = body.rest(torch.zeros(1, 48)).vertices[0].numpy()
    camera = Camera.looking_at(np.array([0.6, -2.0, 0.5]), np.zeros(3), (160, 120), 0.7)
    white = np.full((120, 160, 3), 255, np.uint8)
    painted = draw_body(white, camera.project(vertices), camera.to_camera(vertices), body.faces)
    texture = np.full((2, 2, 4), 255, np.uint8)
    mesh = Mesh("body", vertices, vertex_normals(vertices, body.faces), body.uvs, body.faces, body.face_parts, texture)
    mesh = replace(mesh, uvs=np.zeros((len(vertices), 2), np.float32))
    covered = render_flat(Scene((mesh,), camera, (), (1.0, 1.0, 1.0), white), 0).part >= 0
    drawn = (painted != 255).any(2)
    assert covered.sum() > 1000
    assert (covered & ~drawn).sum() == 0
    rim = cv2.dilate(covered.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert (drawn & ~rim).sum() == 0
    assert (white == 255).all()


def test_pixels_centres_stay_whole_when_an_image_is_scaled() -> None:
    assert scaled_points(np.array([[-0.5, 99.5]]), 0.5).tolist() == [[-0.5, 49.5]]
    assert scaled_points(np.array([[3.0, 7.0]]), 1.0).tolist() == [[3.0, 7.0]]


def test_an_overlay_shows_image_body_and_keypoints(subject, fits) -> None:
    image = np.zeros((subject.image.height, subject.image.width, 3), np.uint8)
    image[..., 2] = 200
    shown = overlay(image, subject, fits, 0, AnnyBody.load())
    assert shown.shape == image.shape
    assert (shown == (0, 0, 200)).all(2).mean() > 0.5
    white = overlay(None, subject, fits, 0, AnnyBody.load())
    assert (white == 255).all(2).mean() > 0.5
    for x, y, _ in subject.person.keypoints:
        if 0 <= x < subject.image.width and 0 <= y < subject.image.height:
            assert (white[round(y), round(x)] != 255).any()
    assert (image == (0, 0, 200)).all()


def test_large_images_are_shown_smaller(subject, fits) -> None:
    large = replace(subject, image=replace(subject.image, width=4000, height=2500))
    big = replace(fits, size=np.array([[4000, 2500]]), principal=np.array([[1999.5, 1249.5]]))
    assert overlay(None, large, big, 0, AnnyBody.load()).shape == (LONGEST * 2500 // 4000, LONGEST, 3)


def test_the_side_view_shows_the_body_from_the_cameras_right(fits) -> None:
    """In the reference pose, seen from the front, the side view is a profile, the face to the left."""
    side = from_the_side(fits, 0, AnnyBody.load())
    rows, columns = np.nonzero((side != 255).any(2))
    assert side.shape == (THUMBNAIL, THUMBNAIL, 3)
    assert 1.5 * np.ptp(columns) < np.ptp(rows)
    head = rows < rows.min() + 0.25 * np.ptp(rows)
    feet = rows > rows.max() - 0.04 * np.ptp(rows)
    assert columns[feet].min() < columns[~feet & ~head].mean()  # toes point to where the camera is


def test_the_page_needs_nothing_beside_it_and_trusts_no_name(subject, fits) -> None:
    picture, card = draw_card(None, subject, fits, 0, RECORD, AnnyBody.load())
    assert picture.shape[2] == 3
    doubtful = Card(replace(RECORD, plausible=False, reasons=("joint limit: <knee>",)), card.pictures)
    page = contact_sheet("fits <of> x", [card, doubtful], [Unfit(3, 1, "<i>.png", "a crowd, not a person")])
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;.png" in page
    assert "joint limit: &lt;knee&gt;" in page
    assert "&lt;i&gt;.png, id 3: a crowd, not a person" in page
    assert page.index('class="bad"') < page.index('class="good"')
    assert "http" not in page.replace("http-equiv", "")
    assert "2 fits, 1 of them plausible" in page

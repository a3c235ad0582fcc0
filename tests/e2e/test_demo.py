"""The demo's scenes on one running stack, in their order: each is a check of the whole job."""

import time
from collections.abc import Iterator

import pytest

from local.playing import Player
from local.ports import Ports
from local.scenes import SCENES, Scene, assets
from local.stack import Stack


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    with Stack(Ports.free(), settle_seconds=0) as stack, Player(stack) as player:
        yield player
        assert stack.restarts == [], "a part of the stack ended by itself"


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.title)
def test_the_whole_job_holds_scene_by_scene(player: Player, scene: Scene) -> None:
    assert scene.play(player)


def test_a_halted_part_stays_down_until_it_is_resumed(player: Player) -> None:
    player.stack.halt("relay")
    player.cmms_create("activos", {"codigo_interno": "HALTED", "nombre": "Torno"})
    time.sleep(1.5)  # longer than it takes to start a part again that ended by itself
    assert player.stack.restarts == []
    assert "HALTED" not in assets(player)
    player.stack.resume("relay")
    player.until("the relay has sent what waited", lambda: "HALTED" in assets(player), seconds=60)


def test_no_secret_reached_a_log(player: Player) -> None:
    keys = player.stack.keys
    for log in player.stack.folder.glob("*.log"):
        text = log.read_text(encoding="utf-8")
        for secret in (keys.webhook, keys.signing, keys.identity, keys.cmms):
            assert secret not in text, f"{log.name} holds a secret"

"""The demo's scenes on one running stack, in their order: each is a check of the whole job."""

from collections.abc import Iterator

import pytest

from local.playing import Player
from local.ports import Ports
from local.scenes import SCENES, Scene
from local.stack import Stack


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    with Stack(Ports.free(), settle_seconds=0) as stack, Player(stack) as player:
        yield player
        assert stack.restarts == [], "a part of the stack ended by itself"


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.title)
def test_the_whole_job_holds_scene_by_scene(player: Player, scene: Scene) -> None:
    assert scene.play(player)


def test_no_secret_reached_a_log(player: Player) -> None:
    keys = player.stack.keys
    for log in player.stack.folder.glob("*.log"):
        text = log.read_text(encoding="utf-8")
        for secret in (keys.webhook, keys.signing, keys.identity, keys.cmms):
            assert secret not in text, f"{log.name} holds a secret"

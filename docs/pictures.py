"""Takes the docs' pictures of the console anew, from a local stack in Chromium: `.venv/bin/python -m docs.pictures`."""  # noqa: INP001  # no package is shipped from here

import argparse
import tempfile
import time
from pathlib import Path
from typing import Final

from local.playing import Player, Row
from local.ports import Ports
from local.stack import Stack
from tests.reconcile.browser import chromium, resize

FOLDER: Final = Path(__file__).parent / "pictures"
SHOTS: Final = {
    "overview": ("/", 1280, 860, "light"),
    "parked": ("/parked?reason=mapping_error", 1280, 620, "light"),
    "record": ("/record?entity=asset&key=A-0003", 1280, 860, "dark"),
    "phone": ("/", 390, 800, "light"),
}


_ASSETS: Final = 24


def _rows(player: Player) -> dict[str, Row]:
    return player.dynamics("msdyn_customerassets", "msdyn_assetnumber")


def play(player: Player) -> None:
    """An hour's work in a minute: new records, edits on both sides, a conflict, bad values, drift."""
    for number in range(1, _ASSETS + 1):
        player.cmms_create(
            "activos", {"codigo_interno": f"A-{number:04}", "nombre": f"Bomba {number}", "costo": f"{number * 125}.50"}
        )
    player.until("every asset has its row", lambda: len(_rows(player)) == _ASSETS, 120)
    rows = _rows(player)
    for number in (2, 3, 5, 8, 13):
        row = rows[f"A-{number:04}"]["msdyn_customerassetid"]
        player.dynamics_edit("msdyn_customerassets", row, {"msdyn_currentbookvalue": 100 * number})
    player.until_quiet()
    row = rows["A-0003"]["msdyn_customerassetid"]
    player.dynamics_edit("msdyn_customerassets", row, {"msdyn_name": "Pump 3"}, announced=False)
    player.cmms_edit("activos", "A-0003", {"nombre": "Bomba 3, planta 2"})
    for number in (7, 11, 17):
        player.cmms_edit("activos", f"A-{number:04}", {"nombre": f"Bomba {number} " + "de agua " * 20})
    player.until_quiet()
    player.drop("assets", b'{"specversion": "1.0", "id": "1", "source": "/erp", "type": "energy.asset.upserted"}')
    player.cmms_edit("activos", "A-0020", {"nombre": "Bomba nueva"}, announced=False)
    player.until_quiet()
    player.reconcile()
    player.until_quiet()


def main() -> None:
    """Play, and take every picture."""
    argparse.ArgumentParser(prog="python -m docs.pictures", description=__doc__).parse_args()
    FOLDER.mkdir(exist_ok=True)
    with Stack(Ports.free(), settle_seconds=0, console=True) as stack, Player(stack) as player:
        play(player)
        base = stack.console_url.partition("/?")[0]
        for name, (path, width, height, scheme) in SHOTS.items():
            with tempfile.TemporaryDirectory() as folder, chromium(Path(folder)) as page:
                resize(page, width, height)
                media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
                page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
                page.get(stack.console_url)
                time.sleep(2)
                page.get(base + path)
                time.sleep(3)
                page.save_screenshot(str(FOLDER / f"{name}.png"))


if __name__ == "__main__":
    main()

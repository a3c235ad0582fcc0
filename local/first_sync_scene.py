"""The demo's scene of a first sync: two systems that filled up without knowing of each other."""

from typing import Final

from local.playing import Player

BOTH: Final = [f"ALTA-{number:03}" for number in range(1, 16)]
DIFFERENT: Final = BOTH[:3]
ONLY_CMMS: Final = [f"ALTA-C-{number}" for number in range(1, 6)]
ONLY_DYNAMICS: Final = [f"ALTA-D-{number}" for number in range(1, 4)]


def play(player: Player) -> str:
    """Fill both sides without a message, plan, run, and insist on what the plan said.

    Returns:
        The figures to show.
    """
    _fill(player)
    _, plan = player.ops("first-sync", "plan", "--entity", "asset", "--prefer", "nombre=dynamics", "--json")
    kinds = plan["entities"][0]["kinds"]
    counted = {kind: count for kind, count in kinds.items() if count}
    player.check(
        f"the plan counts every record: {counted}",
        counted
        == {
            "equal": len(BOTH) - len(DIFFERENT),
            "different": len(DIFFERENT),
            "only_in_cmms": len(ONLY_CMMS),
            "only_in_dynamics": len(ONLY_DYNAMICS),
        },
    )
    _, report = player.ops("first-sync", "run", "--yes", "--json")
    player.check(f"nothing is left or parked: {report}", not (report["left"] or report["waiting"] or report["parked"]))
    player.until_quiet()
    rows = player.dynamics("msdyn_customerassets", "msdyn_assetnumber")
    records = player.cmms("activos", "codigo_interno")
    player.check("both sides have the same keys", {*rows} == {*records})
    player.check("Dynamics' names won", {records[key]["nombre"] for key in DIFFERENT} == {"Pump of Dynamics"})
    lost = {conflict.lost for key in DIFFERENT for conflict in player.ledger("asset", key).conflicts}
    player.check(f"the CMMS's names are on record: {lost}", lost == {"Bomba"})
    created = len(ONLY_CMMS) + len(ONLY_DYNAMICS)
    return (
        f"planned as it came: {len(BOTH)} pairs linked, {len(DIFFERENT)} of them different, {created} records created;"
        f" {len(DIFFERENT)} replaced values on record"
    )


def _fill(player: Player) -> None:
    for key in (*BOTH, *ONLY_CMMS):
        player.cmms_create("activos", {"codigo_interno": key, "nombre": "Bomba"}, announced=False)
    for key in (*BOTH, *ONLY_DYNAMICS):
        name = "Pump of Dynamics" if key in DIFFERENT else "Bomba"
        row = {"msdyn_assetnumber": key, "msdyn_name": name}
        player.dynamics_create("msdyn_customerassets", row, announced=False)

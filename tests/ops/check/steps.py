"""What may be wrong with an organization that `provision` can mend."""

from typing import Any

from local.emulators.dataverse.schema import KeyStatus
from tests.ops.check.parts import asset, order
from tests.ops.conftest import Organization


def key_failed(organization: Organization) -> None:
    asset(organization).keys["cmms_AssetKey"].status = KeyStatus.FAILED


def tracking_off(organization: Organization) -> None:
    order(organization).change_tracking = False


def without_key(organization: Organization) -> None:
    asset(organization).keys.clear()


async def synchronous(organization: Organization) -> None:
    await patch_step(organization, {"mode": 0})


async def narrow(organization: Organization) -> None:
    await patch_step(organization, {"filteringattributes": "msdyn_name"})


async def off(organization: Organization) -> None:
    await patch_step(organization, {"statecode": 1, "statuscode": 2})


async def all_wrong(organization: Organization) -> None:
    await synchronous(organization)
    await narrow(organization)
    await off(organization)


async def no_step(organization: Organization) -> None:
    step = await some_step(organization)
    await organization.client.delete(f"sdkmessageprocessingsteps({step})")


async def patch_step(organization: Organization, body: dict[str, Any]) -> None:
    step = await some_step(organization)
    response = await organization.client.patch(f"sdkmessageprocessingsteps({step})", json=body)
    assert response.status_code == 204


async def some_step(organization: Organization) -> str:
    steps = await organization.client.get(
        "sdkmessageprocessingsteps", params={"$filter": "name eq 'Update of msdyn_customerasset to Energy CMMS'"}
    )
    return str(steps.json()["value"][0]["sdkmessageprocessingstepid"])


async def some_endpoint(organization: Organization) -> str:
    (endpoint,) = (await organization.client.get("serviceendpoints")).json()["value"]
    return f"serviceendpoints({endpoint['serviceendpointid']})"


async def moved(organization: Organization) -> None:
    await organization.client.patch(await some_endpoint(organization), json={"url": "http://127.0.0.1:9/api/x"})


async def by_hand(organization: Organization) -> None:
    await organization.client.patch(await some_endpoint(organization), json={"description": None})

"""The `$metadata` document: the entity types and sets as CSDL, for clients that read it first.

https://docs.oasis-open.org/odata/odata/v4.0/errata03/os/complete/part3-csdl/odata-v4.0-errata03-os-part3-csdl-complete.html
"""

from xml.etree import ElementTree as ET

from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.schema import Table
from local.emulators.dataverse.values import edm_type

_EDMX = "http://docs.oasis-open.org/odata/ns/edmx"
_EDM = "http://docs.oasis-open.org/odata/ns/edm"
_NAMESPACE = "Microsoft.Dynamics.CRM"


def csdl(dataverse: Dataverse) -> bytes:
    """Write the document for the tables as they are now."""
    root = ET.Element(f"{{{_EDMX}}}Edmx", Version="4.0")
    services = ET.SubElement(root, f"{{{_EDMX}}}DataServices")
    schema = ET.SubElement(services, f"{{{_EDM}}}Schema", Namespace=_NAMESPACE, Alias="mscrm")
    tables = [rows.table for rows in dataverse.tables.values()]
    for table in tables:
        _entity_type(schema, table)
    container = ET.SubElement(schema, f"{{{_EDM}}}EntityContainer", Name="System")
    for table in tables:
        kind = f"{_NAMESPACE}.{table.name}"
        ET.SubElement(container, f"{{{_EDM}}}EntitySet", Name=table.set_name, EntityType=kind)
    ET.register_namespace("edmx", _EDMX)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _entity_type(schema: ET.Element, table: Table) -> None:
    entity = ET.SubElement(schema, f"{{{_EDM}}}EntityType", Name=table.name)
    key = ET.SubElement(entity, f"{{{_EDM}}}Key")
    ET.SubElement(key, f"{{{_EDM}}}PropertyRef", Name=table.primary_id)
    for column in table.columns.values():
        ET.SubElement(entity, f"{{{_EDM}}}Property", Name=column.wire_name, Type=edm_type(column))
        for target, name in column.targets.items():
            if name:
                kind = f"{_NAMESPACE}.{target}"
                navigation = ET.SubElement(entity, f"{{{_EDM}}}NavigationProperty", Name=name, Type=kind)
                constraint = {"Property": column.wire_name, "ReferencedProperty": f"{target}id"}
                ET.SubElement(navigation, f"{{{_EDM}}}ReferentialConstraint", constraint)

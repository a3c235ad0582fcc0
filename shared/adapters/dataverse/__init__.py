"""Dataverse's Web API."""

from shared.adapters.dataverse.gateway import DataverseGateway

__all__ = ["DataverseGateway"]

"""Keeps Energy CMMS and Dynamics 365 the same: outbox, relay and integration API.

After a bulk operation that sends no signals (`bulk_create`, `QuerySet.update`), announce it with
`integracion_dynamics.recording.registrar_cambios`.
"""

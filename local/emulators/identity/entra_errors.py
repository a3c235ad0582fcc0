"""Errors of the token endpoint, in Microsoft Entra's shape.

Codes: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

from datetime import datetime
from uuid import uuid4

from starlette.responses import JSONResponse


class EntraError(Exception):
    """A refused token request: an HTTP status, an OAuth error name, an AADSTS number and a sentence."""

    def __init__(self, status: int, error: str, number: int, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.error = error
        self.number = number
        self.description = description

    def response(self, now: datetime, correlation_id: str) -> JSONResponse:
        """Render the body; ids and time stand in the description too, as the service writes them."""
        trace_id, timestamp = str(uuid4()), f"{now:%Y-%m-%d %H:%M:%SZ}"
        trailer = f"Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {timestamp}"
        return JSONResponse(
            {
                "error": self.error,
                "error_description": f"AADSTS{self.number}: {self.description} {trailer}",
                "error_codes": [self.number],
                "timestamp": timestamp,
                "trace_id": trace_id,
                "correlation_id": correlation_id,
                "error_uri": f"https://login.microsoftonline.com/error?code={self.number}",
            },
            status_code=self.status,
        )

    @classmethod
    def unknown_tenant(cls, tenant: str) -> "EntraError":
        """No tenant has this id."""
        return cls(400, "invalid_request", 90002, f"Tenant '{tenant}' not found. Check the tenant id.")

    @classmethod
    def missing_parameter(cls, name: str) -> "EntraError":
        """A required form field is absent or empty."""
        return cls(400, "invalid_request", 900144, f"The request body must contain the parameter '{name}'.")

    @classmethod
    def malformed(cls) -> "EntraError":
        """The form is not text."""
        return cls(400, "invalid_request", 900144, "The request body must be a form in UTF-8.")

    @classmethod
    def unsupported_grant(cls, grant: str) -> "EntraError":
        """Only client credentials are emulated."""
        return cls(400, "unsupported_grant_type", 70003, f"The grant type '{grant}' is not supported here.")

    @classmethod
    def unknown_client(cls, client_id: str) -> "EntraError":
        """No app registration has this client id."""
        return cls(
            400,
            "unauthorized_client",
            700016,
            f"Application with identifier '{client_id}' was not found in the tenant.",
        )

    @classmethod
    def missing_secret(cls) -> "EntraError":
        """A confidential client sent no credential."""
        return cls(401, "invalid_client", 7000216, "'client_secret' is required for this grant.")

    @classmethod
    def wrong_secret(cls, client_id: str) -> "EntraError":
        """The secret does not belong to the application."""
        return cls(
            401,
            "invalid_client",
            7000215,
            f"Invalid client secret for application '{client_id}'. Send the secret's value, not its id.",
        )

    @classmethod
    def bad_scope(cls, scope: str) -> "EntraError":
        """Client credentials need exactly one scope, the resource followed by `/.default`."""
        return cls(
            400,
            "invalid_scope",
            1002012,
            f"The scope '{scope}' is not valid: it must be the resource's identifier followed by /.default.",
        )

    @classmethod
    def unknown_resource(cls, resource: str) -> "EntraError":
        """The tenant has no such service."""
        return cls(
            400,
            "invalid_resource",
            500011,
            f"The resource principal named {resource} was not found in the tenant.",
        )

"""The Web API over HTTP: OData in, OData out; no rule of the data lives here."""

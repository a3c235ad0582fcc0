"""A host project of the tests: the demo, Django's own apps, and models of kinds that the demo does not have."""

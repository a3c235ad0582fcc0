"""The operator's console: web pages on the operator's own machine."""

"""A small stand-in for Energy CMMS: two models, a page, and endpoints that act as a person's edits."""

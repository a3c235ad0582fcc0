"""A stand-in for the Azure Functions host: runs a `function_app.py` on the real Python worker runtime.

Only the command line is public: `python -m local.emulators.functions_host --help`.
"""

__version__ = "1.0.0"

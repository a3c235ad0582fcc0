"""The functions, in the order of the flow."""

import azure.functions as func

from functions import assets, backup, health, orders, reconcile, webhook

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

for module in (webhook, assets, orders, reconcile, backup, health):
    app.register_functions(module.blueprint)

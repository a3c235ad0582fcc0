"""The product's webhook without its other functions: nothing reads the queue while the webhook is measured."""

import azure.functions as func

from functions import webhook

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(webhook.blueprint)

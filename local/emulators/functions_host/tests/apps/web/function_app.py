"""HTTP and timer functions that show what reaches a function and what leaves it."""

import asyncio
import json
import logging
import threading
import time
from typing import Any, cast

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
blueprint = func.Blueprint()
state: dict[str, Any] = {
    "runs": 0,
    "running": 0,
    "most": 0,
    "past_due": None,
    "next": None,
    "yearly": 0,
    "attempts": [],
}


@app.route("echo/{key}/{rest:int?}")
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    """Answer with all that arrived."""
    seen = {
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers.items()),
        "query": dict(req.params),
        "route": dict(req.route_params),
        "body": req.get_body().hex() if len(req.get_body()) < 100 else len(req.get_body()),
    }
    return func.HttpResponse(json.dumps(seen), mimetype="application/json")


@app.route("only-get", methods=["GET"])
def only_get(req: func.HttpRequest) -> str:
    """A function that takes one method and answers with text."""
    return "got"


@app.route("shape/{id:int}", methods=["GET"])
def shape_number(req: func.HttpRequest) -> str:
    return f"number {req.route_params['id']}"


@app.route("shape/{name}", methods=["GET"])
def shape_name(req: func.HttpRequest) -> str:
    return f"name {req.route_params['name']}"


@app.route("shape/fixed", methods=["GET"])
def shape_fixed(req: func.HttpRequest) -> str:
    return "fixed"


@app.route("files/{*path}", methods=["GET"])
def files(req: func.HttpRequest) -> str:
    return str(req.route_params.get("path", "none"))


@app.route("guarded", auth_level=func.AuthLevel.FUNCTION)
def guarded(req: func.HttpRequest) -> str:
    return "in"


@app.route("master", auth_level=func.AuthLevel.ADMIN)
def master(req: func.HttpRequest) -> str:
    return "in"


@app.route("answer/{kind}")
def answer(req: func.HttpRequest) -> func.HttpResponse:
    """Answers of several kinds, some of them impossible."""
    match req.route_params["kind"]:
        case "empty":
            return func.HttpResponse(status_code=204)
        case "teapot":
            return func.HttpResponse(b"\x00\xff", status_code=418, headers={"X-Kind": "teapot", "Content-Length": "99"})
        case "cookies":
            response = func.HttpResponse("ok")
            response.headers.add("Set-Cookie", "a=1; Path=/; HttpOnly; Max-Age=60")
            response.headers.add("Set-Cookie", "b=2; SameSite=Strict; Expires=Wed, 21 Oct 2037 07:28:00 GMT")
            return response
        case "status":
            return func.HttpResponse("x", status_code=42)
        case "none":
            return cast("func.HttpResponse", None)
        case "exit":
            raise SystemExit(3)
    raise LookupError("no such kind: SharedAccessKey=topsecret;\nforged line")


@app.route("block")
async def block(req: func.HttpRequest) -> str:
    """Blocks the worker's loop, as careless code does."""
    time.sleep(float(req.params.get("seconds", "1")))  # noqa: ASYNC251 - the point of it
    return "done"


@app.route("slow")
async def slow(req: func.HttpRequest) -> str:
    await asyncio.sleep(float(req.params.get("seconds", "60")))
    return "done"


@app.route("log")
def log(req: func.HttpRequest) -> str:
    """Logs from a pool thread, through the root logger and a named one."""
    logging.getLogger().info("root says %s", req.params.get("text"))
    logging.getLogger("my.module").warning("named says\nsplit")
    logging.getLogger("my.module").debug("never shown")
    return threading.current_thread().name


@app.route("quiet")
async def quiet(req: func.HttpRequest) -> str:
    logging.getLogger().info("whispered")
    logging.getLogger().error("shouted")
    return "ok"


@blueprint.timer_trigger(arg_name="timer", schedule="%EVERY%", run_on_startup=False)
async def tick(timer: func.TimerRequest) -> None:
    """Counts its runs and how many of them overlap."""
    state["runs"] += 1
    state["running"] += 1
    state["most"] = max(state["most"], state["running"])
    state["past_due"] = timer.past_due
    state["next"] = cast("Any", timer).schedule_status["Next"]
    await asyncio.sleep(0.2)
    state["running"] -= 1


@blueprint.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
def yearly(timer: func.TimerRequest) -> None:
    state["yearly"] += 1


@blueprint.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=False)
@blueprint.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:00")
def stubborn(timer: func.TimerRequest, context: func.Context) -> None:
    """Fails, and remembers what each attempt knew."""
    retry = context.retry_context
    said = str(getattr(cast("Any", retry).rpc_exception, "message", ""))
    state["attempts"].append([retry.retry_count, retry.max_retry_count, "told to fail" in said])
    raise RuntimeError("told to fail")


@blueprint.route("ticks")
def ticks(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(state), mimetype="application/json")


app.register_functions(blueprint)

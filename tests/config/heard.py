"""A small ASGI application to try the web server with: it says what it heard, talks without end, or stands still."""

import asyncio


async def application(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/slow":
            await send({"type": "http.response.body", "body": b"o", "more_body": True})  # Daphne sends no head alone
            await asyncio.sleep(60)
        await send({"type": "http.response.body", "body": b"ok"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/talks":
        for count in range(100_000):
            print("sent", count, flush=True)  # noqa: T201  the test counts the lines
            await send({"type": "websocket.send", "text": "x" * 10_000})
    while (event := await receive())["type"] == "websocket.receive":
        if scope["path"] == "/busy":
            await asyncio.sleep(60)
        await send({"type": "websocket.send", "text": str(len(event.get("text") or ""))})

"""An OpenAI-compatible server for tests, which sends prepared bytes to each client."""

import asyncio
import json
import re
from contextlib import asynccontextmanager, suppress

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
CHUNKED = HEAD.replace(b"Connection: close", b"Transfer-Encoding: chunked")


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(text="", finish=None, **more):
    return b"data: " + json.dumps({"choices": [{"text": text, "finish_reason": finish}], **more}).encode() + b"\n\n"


def answer(status, body, headers=""):
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}Connection: close\r\n\r\n{body}".encode()


@asynccontextmanager
async def server(*script, listing=None):
    """A server on a free port that plays the script to each caller: bytes to send, seconds to wait.

    `listing`: what it answers whoever only looks (GET) instead; that is no call.
    """
    calls, connections, is_over = [], [], asyncio.Event()

    async def serve(reader, writer):
        connections.append(asyncio.current_task())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head.lower() + b"content-length: 0")[1])
        is_look = listing is not None and head.startswith(b"GET ")
        if not is_look:
            calls.append((head, await reader.readexactly(length)))
        with suppress(ConnectionError):
            for step in (listing,) if is_look else script:
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                elif await happens(is_over, within_s=step):
                    break
        writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}/v1", calls
    finally:
        is_over.set()
        running.close()
        await asyncio.gather(*connections, return_exceptions=True)


async def happens(event, within_s):
    try:
        await asyncio.wait_for(event.wait(), within_s)
    except TimeoutError:
        return False
    return True

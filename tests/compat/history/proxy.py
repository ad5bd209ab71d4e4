"""A TCP proxy between clients and server that cuts connections, holds them up, and swallows answers."""

import asyncio
import random
import threading

CHUNK = 65536


class Proxy:
    """Runs in a thread of its own; its verbs may be called from any other."""

    def __init__(self, port, target):
        self.port, self.target = port, target.rsplit(":", 1)
        self.loop = asyncio.new_event_loop()
        self.connections = set()
        self.paused = self.swallowing = False

    def start(self):
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        serving = asyncio.start_server(self.serve, "127.0.0.1", self.port)
        asyncio.run_coroutine_threadsafe(serving, self.loop).result(10)

    async def serve(self, reader, writer):
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.close()
            return
        both = writer, server_writer
        self.connections.add(both)
        directions = [self.pump(reader, server_writer, False), self.pump(server_reader, writer, True)]
        _, rest = await asyncio.wait(map(asyncio.ensure_future, directions), return_when=asyncio.FIRST_COMPLETED)
        for one in rest:
            one.cancel()
        self.connections.discard(both)
        for one in both:
            one.transport.abort()

    async def pump(self, reader, writer, is_answer):
        try:
            while data := await reader.read(CHUNK):
                while self.paused:
                    await asyncio.sleep(0.02)
                if not (is_answer and self.swallowing):
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass

    def cut(self, share=1.0):
        """Ends connections at once, with whatever is under way in them."""
        self.loop.call_soon_threadsafe(self._cut, share)

    def _cut(self, share):
        for both in list(self.connections):
            if random.random() < share:
                for one in both:
                    one.transport.abort()

    def pause(self, on):
        self.loop.call_soon_threadsafe(setattr, self, "paused", on)

    def swallow(self, on):
        """Requests arrive, answers do not. In the end connections must be cut: half an answer is none."""
        self.loop.call_soon_threadsafe(setattr, self, "swallowing", on)
        if not on:
            self.cut()

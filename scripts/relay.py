"""A relay that puts a service at a distance: every byte takes half a round trip more each way.

A kernel could do that (`tc netem`), but only root may ask it to.
"""

import asyncio
import threading


class Relay:
    """Relays on loopback; they end with the process."""

    def __init__(self, round_trip):
        self.half = round_trip / 2
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def to(self, port):
        """The port that leads to `port`."""
        listening = asyncio.start_server(lambda *near: self.carry(port, *near), "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(listening, self.loop).result()
        return server.sockets[0].getsockname()[1]

    async def carry(self, port, reader, writer):
        """One connection. Its first bytes also wait for the TCP handshake, which on loopback takes no time."""
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(self.pump(reader, far_writer, 2 * self.half), self.pump(far_reader, writer, 0))

    async def pump(self, reader, writer, first):
        """Bytes in their order, each chunk written when its time has come."""
        queue = asyncio.Queue()
        opened = self.loop.time() + first

        async def deliver():
            while True:
                due, data = await queue.get()
                await asyncio.sleep(due - self.loop.time())
                if not data:
                    break
                writer.write(data)
            writer.close()

        delivery = asyncio.ensure_future(deliver())
        data = b"-"
        while data:
            try:
                data = await reader.read(65536)
            except ConnectionError:
                data = b""
            queue.put_nowait((max(self.loop.time(), opened) + self.half, data))
        await delivery

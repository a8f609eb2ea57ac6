"""What a Python application does with RabbitMQ by aio-pika, once: `aio_pika_client.py URI`. Prints one line of JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aio_pika
from aio_pika.exceptions import ChannelClosed, DeliveryError, QueueEmpty

NAME = "aio-pika"
CODES = {"ChannelNotFoundEntity": 404, "ChannelAccessRefused": 403}


async def code(connection: Any, act: Any) -> int:
    """The reply code with which a channel of its own is closed; 0 for none."""
    channel = await connection.channel()
    try:
        await act(channel)
    except ChannelClosed as error:
        return CODES[type(error).__name__]
    await channel.close()
    return 0


async def main(uri: str) -> dict[str, Any]:
    connection = await aio_pika.connect(uri)
    channel = await connection.channel(on_return_raises=True)
    exchange = await channel.declare_exchange(f"{NAME}-x", aio_pika.ExchangeType.TOPIC, auto_delete=True)
    queue = await channel.declare_queue(f"{NAME}-q")
    await queue.purge()
    await queue.bind(exchange, "order.*")
    confirmed = 0
    for number in range(100):
        message = aio_pika.Message(str(number).encode(), headers={"tenant": "t1"}, delivery_mode=2)
        await exchange.publish(message, "order.new")
        confirmed += 1
    try:
        await channel.default_exchange.publish(aio_pika.Message(b"x"), "nowhere", mandatory=True)
        returned = 0
    except DeliveryError as error:
        returned = error.message.delivery.reply_code
    await channel.set_qos(10)
    consumed, header = 0, ""
    async with queue.iterator() as messages:
        async for message in messages:
            await message.ack()
            consumed, header = consumed + 1, message.headers["tenant"]
            if consumed == 100:
                break
    try:
        await queue.get()
        empty = False
    except QueueEmpty:
        empty = True
    await channel.default_exchange.publish(aio_pika.Message(b"x" * 3_000_000), f"{NAME}-q")
    large = len((await queue.get(no_ack=True)).body)
    transactional = await connection.channel(publisher_confirms=False)
    async with transactional.transaction() as transaction:
        await transactional.default_exchange.publish(aio_pika.Message(b"kept"), f"{NAME}-q")
        await transaction.commit()
        await transactional.default_exchange.publish(aio_pika.Message(b"dropped"), f"{NAME}-q")
        await transaction.rollback()
        await transaction.select()
    committed = (await channel.declare_queue(f"{NAME}-q", passive=True)).declaration_result.message_count
    await queue.purge()

    answer = asyncio.get_running_loop().create_future()
    server, caller = await connection.channel(), await connection.channel()

    async def serve(message: Any) -> None:
        async with message.process():
            await server.default_exchange.publish(aio_pika.Message(b"pong"), message.reply_to)

    await (await server.get_queue(f"{NAME}-q", ensure=False)).consume(serve)
    replies = await caller.get_queue("amq.rabbitmq.reply-to", ensure=False)
    await replies.consume(lambda message: answer.set_result(message.body), no_ack=True)
    ping = aio_pika.Message(b"ping", reply_to="amq.rabbitmq.reply-to")
    await caller.default_exchange.publish(ping, f"{NAME}-q")
    reply = await asyncio.wait_for(answer, 10)
    missing = await code(connection, lambda which: which.declare_queue("missing", passive=True))
    denied = await code(connection, lambda which: which.queue_delete("kept"))
    await connection.close()
    return {
        "confirmed": confirmed, "returned": returned, "consumed": consumed, "header": header, "empty": empty,
        "large": large, "committed": committed, "reply": reply.decode(), "missing": missing, "denied": denied,
    }  # fmt: skip


print(json.dumps(asyncio.run(main(sys.argv[1]))))

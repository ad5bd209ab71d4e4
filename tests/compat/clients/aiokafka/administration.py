"""The administrative steps with aiokafka: one method per step. It has no call for the others."""

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code


def check(code, what):
    if code:
        raise for_code(code)(what)


class Administration:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.client = None

    async def start(self):
        if not self.client:
            self.client = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
            await self.client.start()

    async def step(self, step, **arguments):
        if not hasattr(self, "do_" + step):
            raise NotImplementedError(step)
        await self.start()
        return await getattr(self, "do_" + step)(**arguments)

    async def partitions(self, topic):
        await self.start()
        (found,) = await self.do_topics([topic])
        return sorted(part["partition"] for part in found["partitions"])

    async def do_topics(self, names):
        found = await self.client.describe_topics(names)
        for topic in found:
            check(topic["error_code"], topic["topic"])
        return found

    async def do_describe_cluster(self):
        found = await self.client.describe_cluster()
        return {
            "nodes": [broker["node_id"] for broker in found["brokers"]],
            "controller": found["controller_id"],
            "cluster_id": found["cluster_id"],
        }

    async def do_create_topic(self, topic, partitions, config):
        answer = await self.client.create_topics([NewTopic(topic, partitions, 1, topic_configs=config)])
        for name, code, *_ in answer.topic_errors:
            check(code, name)

    async def do_list_topics(self):
        return sorted(await self.client.list_topics())

    async def do_describe_topic(self, topic):
        (found,) = await self.do_topics([topic])
        return {"partitions": len(found["partitions"]), "leaders": [part["leader"] for part in found["partitions"]]}

    async def do_describe_configs(self, topic):
        (answer,) = await self.client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        values = {}
        for code, _, _, name, entries in answer.resources:
            check(code, name)
            values |= {entry[0]: entry[1] for entry in entries}
        return values

    async def do_create_partitions(self, topic, count):
        await self.client.create_partitions({topic: NewPartitions(count)})

    async def do_list_groups(self):
        return [name for name, *_ in await self.client.list_consumer_groups()]

    async def do_describe_group(self, group):
        (answer,) = await self.client.describe_consumer_groups([group])
        (found,) = answer.to_object()["groups"]
        check(found["error_code"], group)
        return {"state": found["state"], "members": len(found["members"])}

    async def do_group_offsets(self, group):
        found = await self.client.list_consumer_group_offsets(group)
        return [[part.topic, part.partition, at.offset] for part, at in found.items() if at.offset >= 0]

    async def do_list_offsets(self, topic, spec):
        if spec == "max_timestamp":
            raise NotImplementedError(spec)
        parts = [TopicPartition(topic, p) for p in await self.partitions(topic)]
        reader = AIOKafkaConsumer(bootstrap_servers=self.bootstrap)
        await reader.start()
        try:
            if spec == "earliest":
                found = await reader.beginning_offsets(parts)
            elif spec == "latest":
                found = await reader.end_offsets(parts)
            else:
                at = await reader.offsets_for_times({part: spec for part in parts})
                found = {part: one.offset if one else -1 for part, one in at.items()}
        finally:
            await reader.stop()
        return sorted([part.partition, offset] for part, offset in found.items())

    async def do_offsets_for_times(self, topic, timestamp):
        return await self.do_list_offsets(topic, timestamp)

    async def do_delete_topic(self, topic):
        answer = await self.client.delete_topics([topic])
        for name, code in answer.topic_error_codes:
            check(code, name)

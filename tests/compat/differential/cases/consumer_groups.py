"""Groups whose partitions the broker assigns (KIP-848)."""

from . import case
from .groups import heartbeat as classic_heartbeat
from .groups import member_of
from .offsets import commit, committed


def beat(group, member, epoch, topics=None, owned=None, **more):
    """A heartbeat; the first names everything, later ones what has changed."""
    first = {"rebalanceTimeoutMs": 10_000, "topicPartitions": []} if epoch == 0 else {"rebalanceTimeoutMs": -1, "topicPartitions": owned}
    return {"groupId": group, "memberId": member, "memberEpoch": epoch, "subscribedTopicNames": topics, **first, **more}


@case("ConsumerGroupHeartbeat", "ConsumerGroupDescribe")
def a_member_in_every_version(pair):
    pair.create("assigned", 3)
    first, last = pair.common["ConsumerGroupHeartbeat"]
    for version in range(first, last + 1):
        group, member = f"new-{version}", f"member-of-{version}"
        joined = pair.until("ConsumerGroupHeartbeat", beat(group, member, 0, ["assigned"]), lambda body: body["errorCode"] == 0 and body["assignment"], 1)
        pair.values["kafka"]["epoch"] = joined["kafka"]["body"]["memberEpoch"]
        pair.values["factum"]["epoch"] = joined["factum"]["body"]["memberEpoch"]
        owned = [{"topicId": "$id:assigned", "partitions": [0, 1, 2]}]
        pair.ask("ConsumerGroupHeartbeat", beat(group, member, "$epoch", owned=owned), version)
        pair.every("ConsumerGroupDescribe", {"groupIds": [group], "includeAuthorizedOperations": True})
        for epoch in (-5, 99, 0):
            pair.ask("ConsumerGroupHeartbeat", beat(group, member, epoch), version)
        for epoch in ("$epoch", 0, 99, -1):
            pair.every("OffsetCommit", commit(group, "assigned", 1, member=member, generation=epoch))
            pair.every("OffsetFetch", committed(group, ("assigned", [0]), member=member, epoch=epoch))
        pair.every("Heartbeat", classic_heartbeat(group, member, 1))
        pair.every("DescribeGroups", {"groups": [group]})
        pair.every("DeleteGroups", {"groupsNames": [group]})
        pair.ask("ConsumerGroupHeartbeat", beat(group, member, -1), version)
        pair.ask("ConsumerGroupHeartbeat", beat(group, member, -1), version)
        pair.every("ConsumerGroupDescribe", {"groupIds": [group]})


@case("ConsumerGroupHeartbeat")
def heartbeats_that_are_refused(pair):
    for asked in (
        beat("", "m", 0, ["assigned"]),
        beat("refused", "", 0, ["assigned"]),
        beat("refused", "m", 0, None),
        beat("refused", "m", 0, []),
        beat("refused", "m", 0, ["assigned"], topicPartitions=None),
        beat("refused", "m", 0, ["assigned"], rebalanceTimeoutMs=-1),
        beat("refused", "m", 0, ["assigned"], serverAssignor="wrong"),
        beat("refused", "m", 0, ["assigned"], serverAssignor=""),
        beat("refused", "m", 0, ["assigned"], instanceId=""),
        beat("refused", "m", 0, ["assigned"], rackId=""),
        beat("refused", "m", 1, ["assigned"]),
        beat("refused", "m", -1),
        beat("refused", "m", -2),
        beat("refused", "m", -2, instanceId="seat"),
        beat("refused", "m", -3, ["assigned"]),
        beat("refused", "m", 0, None, subscribedTopicRegex="("),
        beat("refused-{v}", "nobody", 5),
    ):
        pair.every("ConsumerGroupHeartbeat", asked)
    pair.every("ConsumerGroupDescribe", {"groupIds": ["refused", "missing", ""]})
    pair.every("ConsumerGroupDescribe", {"groupIds": []})
    pair.every("ConsumerGroupDescribe", {"groupIds": ["missing", "missing"]})


@case("ConsumerGroupHeartbeat", "ConsumerGroupDescribe")
def static_consumer(pair):
    pair.create("seats", 1)
    seat = {"instanceId": "seat"}
    pair.until("ConsumerGroupHeartbeat", beat("seated", "one", 0, ["seats"], **seat), lambda body: body["errorCode"] == 0 and body["assignment"]["topicPartitions"])
    pair.ask("ConsumerGroupHeartbeat", beat("seated", "two", 0, ["seats"], **seat))
    pair.ask("ConsumerGroupHeartbeat", beat("seated", "one", -2, **seat))
    pair.ask("ConsumerGroupHeartbeat", beat("seated", "two", 0, ["seats"], **seat))
    pair.ask("ConsumerGroupHeartbeat", beat("seated", "one", 1, **seat))
    pair.ask("ConsumerGroupHeartbeat", beat("seated", "two", -1, instanceId="other"))
    pair.ask("ConsumerGroupHeartbeat", beat("seated", "two", -1, **seat))
    pair.every("ConsumerGroupDescribe", {"groupIds": ["seated"]})


@case("ConsumerGroupHeartbeat", "JoinGroup")
def the_other_protocol(pair):
    member_of(pair, "classic", "old")
    pair.every("ConsumerGroupDescribe", {"groupIds": ["classic"]})
    pair.every("OffsetFetch", committed("classic", ("assigned", [0]), member="x", epoch=1))
    pair.every("ListGroups", {"statesFilter": [], "typesFilter": []})

"""Committed offsets: writing, reading and deleting them, by whom it may concern."""

from . import BAD_NAMES, UNKNOWN_ID, case
from .groups import member_of


def commit(group, topic, offset, partition=0, member="", generation=-1, metadata="", instance=None, id=None):
    part = {"partitionIndex": partition, "committedOffset": offset, "committedLeaderEpoch": -1, "committedMetadata": metadata}
    topics = [{"name": topic, "topicId": id or f"$id:{topic}", "partitions": [part]}]
    return {"groupId": group, "memberId": member, "generationIdOrMemberEpoch": generation, "groupInstanceId": instance, "topics": topics}


def committed(group, *topics, stable=False, member=None, epoch=-1, id=None):
    old = [{"name": name, "partitionIndexes": parts} for name, parts in topics]
    new = [{"name": name, "topicId": id or f"$id:{name}", "partitionIndexes": parts} for name, parts in topics]
    groups = [{"groupId": group, "memberId": member, "memberEpoch": epoch, "topics": new or None}]
    return {"groupId": group, "topics": old or None, "groups": groups, "requireStable": stable}


@case("OffsetCommit", "OffsetFetch")
def commit_and_fetch(pair):
    pair.create("offsets", 2)
    pair.every("OffsetCommit", commit("plain", "offsets", 5, metadata="note"))
    pair.every("OffsetFetch", committed("plain", ("offsets", [0, 1, 7, -1])))
    pair.every("OffsetFetch", committed("plain"))
    pair.every("OffsetFetch", committed("plain", ("offsets", [0]), stable=True))
    pair.every("OffsetFetch", committed("plain", ("offsets", [])))
    pair.every("OffsetFetch", committed("plain", ("offsets", [0, 0])))
    pair.every("OffsetFetch", committed("missing", ("offsets", [0])))
    pair.every("OffsetFetch", committed("missing"))
    pair.every("OffsetFetch", committed("", ("offsets", [0])))
    pair.every("OffsetFetch", committed("plain", ("nothing", [0]), id=UNKNOWN_ID))
    pair.every("OffsetFetch", committed("plain", ("nothing", [0]), id="AAAAAAAAAAAAAAAAAAAAAA"))
    pair.every("OffsetFetch", {"groupId": "plain", "topics": [], "groups": [], "requireStable": False})
    pair.every("OffsetFetch", committed("plain", ("offsets", [0]), member="nobody", epoch=1))
    pair.every("OffsetFetch", committed("plain", ("offsets", [0]), member="", epoch=0))
    for group in (committed("plain"), committed("missing")):
        pair.ask("OffsetFetch", {"groups": group["groups"] * 2})


@case("OffsetCommit")
def commits_that_are_odd(pair):
    pair.create("odd", 2)
    for asked in (
        commit("odd", "odd", -1),
        commit("odd", "odd", -2),
        commit("odd", "odd", 2**62),
        commit("odd", "odd", 1, partition=7),
        commit("odd", "odd", 1, partition=-1),
        commit("odd", "odd", 1, metadata=None),
        commit("odd", "odd", 1, metadata="x" * 4096),
        commit("odd", "odd", 1, metadata="x" * 4097),
        commit("odd", "missing", 1, id=UNKNOWN_ID),
        commit("odd", "missing", 1, id="AAAAAAAAAAAAAAAAAAAAAA"),
        commit("", "odd", 1),
        commit("odd", "odd", 1, member="nobody", generation=1),
        commit("odd", "odd", 1, member="nobody"),
        commit("odd", "odd", 1, generation=0),
        commit("odd", "odd", 1, generation=-2),
        commit("odd", "odd", 1, instance="seat"),
        commit("nobody-{v}", "odd", 1, member="nobody", generation=1),
        commit("nobody-{v}", "odd", 1, generation=3),
    ):
        pair.every("OffsetCommit", asked)
    for name in BAD_NAMES:
        pair.every("OffsetCommit", commit("odd", name, 1, id=UNKNOWN_ID))
    pair.every("OffsetCommit", {**commit("odd", "odd", 1), "topics": []})
    pair.every("OffsetCommit", {**commit("odd", "odd", 1), "topics": commit("odd", "odd", 1)["topics"] * 2})
    pair.every("OffsetFetch", committed("odd"))


@case("OffsetCommit", "OffsetDelete")
def commits_of_members(pair):
    pair.create("shared", 2)
    member_of(pair, "working", "worker")
    for member, generation in (("$worker", 1), ("$worker", 0), ("$worker", 2), ("$worker", -1), ("", -1), ("nobody", 1)):
        pair.every("OffsetCommit", commit("working", "shared", 3, member=member, generation=generation))
    pair.every("OffsetFetch", committed("working"))
    delete = {"groupId": "working", "topics": [{"name": "shared", "partitions": [{"partitionIndex": 0}, {"partitionIndex": 1}]}]}
    pair.ask("OffsetDelete", delete)
    pair.ask("LeaveGroup", {"groupId": "working", "members": [{"memberId": "$worker"}]})
    pair.ask("OffsetDelete", delete)
    pair.every("OffsetFetch", committed("working"))


@case("OffsetDelete")
def delete_offsets(pair):
    pair.create("removed", 2)
    pair.ask("OffsetCommit", commit("removing", "removed", 3))
    for group, topic, partition in (("missing", "removed", 0), ("", "removed", 0), ("removing", "missing", 0), ("removing", "", 0), ("removing", "removed", 7), ("removing", "removed", -1), ("removing", "removed", 1), ("removing", "removed", 0), ("removing", "removed", 0)):
        pair.ask("OffsetDelete", {"groupId": group, "topics": [{"name": topic, "partitions": [{"partitionIndex": partition}]}]})
    pair.ask("OffsetDelete", {"groupId": "removing", "topics": []})
    pair.every("OffsetFetch", committed("removing"))
    pair.ask("DescribeGroups", {"groups": ["removing"]})
    pair.ask("DeleteGroups", {"groupsNames": ["removing"]})

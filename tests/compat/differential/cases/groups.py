"""Groups of the classic protocol: joining, sharing, staying, leaving; describing and deleting."""

import base64

from . import case

# What consumers say of themselves and are told: version 0, no topics, no data. Kafka never answers a
# join whose metadata it cannot read.
NOTHING = base64.b64encode(b"\0\0" + b"\0\0\0\0" + b"\xff" * 4).decode()


def join(group, member="", protocols=("range",), instance=None, kind="consumer", session=10_000, rebalance=10_000):
    named = [{"name": name, "metadata": NOTHING} for name in protocols]
    timeouts = {"sessionTimeoutMs": session, "rebalanceTimeoutMs": rebalance}
    return {"groupId": group, "memberId": member, "groupInstanceId": instance, "protocolType": kind, "protocols": named, **timeouts}


def sync(group, member, generation, assigned=(), kind="consumer", protocol="range", instance=None):
    assignments = [{"memberId": each, "assignment": NOTHING} for each in assigned]
    about = {"groupInstanceId": instance, "protocolType": kind, "protocolName": protocol}
    return {"groupId": group, "memberId": member, "generationId": generation, "assignments": assignments, **about}


def heartbeat(group, member, generation, instance=None):
    return {"groupId": group, "memberId": member, "generationId": generation, "groupInstanceId": instance}


def member_of(pair, group, name, version=None, **more):
    """Joins as the only member and takes its assignment; its id is `$NAME`."""
    version = pair.common["JoinGroup"][1] if version is None else version
    pair.ask("JoinGroup", join(group, **more), version, save={name: "memberId"})
    if version >= 4 and more.get("instance") is None:
        pair.ask("JoinGroup", join(group, f"${name}", **more), version, save={name: "memberId"})
    pair.ask("SyncGroup", sync(group, f"${name}", 1, [f"${name}"], instance=more.get("instance")))


@case("JoinGroup", "SyncGroup", "Heartbeat", "LeaveGroup", "DescribeGroups")
def one_member_in_every_version(pair):
    first, last = pair.common["JoinGroup"]
    for version in range(first, last + 1):
        group, name = f"group-{version}", f"member-{version}"
        member_of(pair, group, name, version)
        pair.every("SyncGroup", sync(group, f"${name}", 1))
        pair.every("Heartbeat", heartbeat(group, f"${name}", 1))
        pair.every("DescribeGroups", {"groups": [group], "includeAuthorizedOperations": True})
        pair.ask("JoinGroup", join(group, f"${name}"), version)
        pair.every("Heartbeat", heartbeat(group, f"${name}", 1))
        pair.every("Heartbeat", heartbeat(group, f"${name}", 2))
        leaving = {"groupId": group, "memberId": f"${name}", "members": [{"memberId": f"${name}"}]}
        pair.ask("LeaveGroup", leaving, min(version, pair.common["LeaveGroup"][1]))
        pair.ask("DescribeGroups", {"groups": [group]})


@case("JoinGroup", "SyncGroup", "Heartbeat", "LeaveGroup")
def two_members(pair):
    member_of(pair, "two", "one")
    with pair.connection("second"):
        pair.ask("JoinGroup", join("two"), save={"two": "memberId"})
    waiting = pair.send("JoinGroup", join("two", "$two", ("range", "sticky")), on="second")
    pair.until("Heartbeat", heartbeat("two", "$one", 1), lambda body: body["errorCode"] == 27)
    pair.every("DescribeGroups", {"groups": ["two"]})
    pair.ask("JoinGroup", join("two", "$one", ("sticky", "range")))
    pair.receive(waiting)
    waiting = pair.send("SyncGroup", sync("two", "$two", 2), on="second")
    pair.ask("SyncGroup", sync("two", "$one", 2, ["$one", "$two"]))
    pair.receive(waiting)
    pair.every("DescribeGroups", {"groups": ["two"]})
    pair.ask("LeaveGroup", {"groupId": "two", "members": [{"memberId": "$two"}, {"memberId": "nobody"}, {"memberId": "", "groupInstanceId": "x"}]})
    pair.until("Heartbeat", heartbeat("two", "$one", 2), lambda body: body["errorCode"] == 27)
    pair.ask("JoinGroup", join("two", "$one", ("sticky", "range")))
    pair.ask("JoinGroup", join("two", "$one", ("other",)))
    pair.ask("LeaveGroup", {"groupId": "two", "members": [{"memberId": "$one"}]})
    pair.every("DescribeGroups", {"groups": ["two"]})


@case("JoinGroup")
def joins_that_are_refused(pair):
    member_of(pair, "strict", "strict")
    for asked in (
        join("", "x"),
        join("strict", "nobody"),
        join("strict", "", ("other",)),
        join("strict", "", kind="connect"),
        join("strict", "", kind=""),
        join("strict", "", protocols=()),
        join("strict", "", session=1),
        join("strict", "", session=-1),
        join("strict", "", session=2_000_000),
        join("fresh-{v}", "nobody"),
        join("fresh-{v}", "", protocols=()),
        join("fresh-{v}", "", kind=""),
        join("fresh-{v}", "", session=5999),
        join("fresh-{v}", "", session=1_800_001),
        join("fresh-{v}", "", instance=""),
    ):
        pair.every("JoinGroup", asked)
    pair.every("DescribeGroups", {"groups": ["fresh-0", "fresh-5"]})


@case("SyncGroup", "Heartbeat", "LeaveGroup")
def members_that_are_none(pair):
    member_of(pair, "known", "known")
    for group, member, generation in (("known", "nobody", 1), ("known", "$known", 0), ("known", "$known", 2), ("known", "$known", -1), ("known", "", 1), ("nothing", "x", 1), ("", "x", 1)):
        pair.every("SyncGroup", sync(group, member, generation))
        pair.every("Heartbeat", heartbeat(group, member, generation))
        pair.every("Heartbeat", heartbeat(group, member, generation, instance="nobody"))
    for kind, protocol in (("connect", "range"), ("consumer", "other"), (None, None), ("", "")):
        pair.every("SyncGroup", sync("known", "$known", 1, kind=kind, protocol=protocol))
    for group, member in (("known", "nobody"), ("nothing", "x"), ("", "x"), ("known", "")):
        pair.every("LeaveGroup", {"groupId": group, "memberId": member, "members": [{"memberId": member}]})
    pair.every("LeaveGroup", {"groupId": "known", "memberId": "nobody", "members": []})


@case("JoinGroup", "LeaveGroup", "SyncGroup", "Heartbeat")
def static_members(pair):
    member_of(pair, "static", "first", instance="seat")
    pair.every("Heartbeat", heartbeat("static", "$first", 1, "seat"))
    pair.every("Heartbeat", heartbeat("static", "nobody", 1, "seat"))
    pair.every("DescribeGroups", {"groups": ["static"]})
    pair.ask("JoinGroup", join("static", "", instance="seat"), save={"second": "memberId"})
    pair.every("Heartbeat", heartbeat("static", "$first", 1, "seat"))
    pair.every("Heartbeat", heartbeat("static", "$second", 1, "seat"))
    pair.every("SyncGroup", sync("static", "$first", 1, instance="seat"))
    pair.every("SyncGroup", sync("static", "$second", 1, instance="seat"))
    pair.every("JoinGroup", join("static", "$first", instance="seat"))
    pair.ask("LeaveGroup", {"groupId": "static", "members": [{"memberId": "$first", "groupInstanceId": "seat"}]})
    pair.ask("LeaveGroup", {"groupId": "static", "members": [{"memberId": "", "groupInstanceId": "seat"}]})
    pair.every("DescribeGroups", {"groups": ["static"]})


@case("DescribeGroups", "ListGroups")
def describe_and_list(pair):
    member_of(pair, "listed", "listed")
    for groups in ([], ["missing"], [""], ["listed", "listed"], ["listed", "missing"]):
        for operations in (False, True):
            pair.every("DescribeGroups", {"groups": groups, "includeAuthorizedOperations": operations})
    for states in ([], ["Stable"], ["stable"], ["Empty"], ["Dead"], ["wrong"], [""], ["Stable", "Empty"]):
        for types in ([], ["classic"], ["Classic"], ["consumer"], ["share"], ["wrong"], [""]):
            pair.every("ListGroups", {"statesFilter": states, "typesFilter": types})


@case("DeleteGroups")
def delete_groups(pair):
    member_of(pair, "busy", "busy")
    pair.every("DeleteGroups", {"groupsNames": ["busy", "missing", ""]})
    pair.every("DeleteGroups", {"groupsNames": []})
    pair.every("DeleteGroups", {"groupsNames": ["missing", "missing"]})
    pair.ask("LeaveGroup", {"groupId": "busy", "members": [{"memberId": "$busy"}]})
    pair.ask("DeleteGroups", {"groupsNames": ["busy", "busy"]})
    pair.every("DescribeGroups", {"groups": ["busy"]})

"""The cluster, its features, its directories, and what a single node has little to say about."""

from . import BAD_NAMES, UNKNOWN_ID, b64, case


@case("ApiVersions")
def api_versions(pair):
    for name, version in [("client", "1.0"), ("client", ""), ("", "1"), ("bad name", "1.0"), ("-a", "1"), ("a", "1.0-"), ("ü", "1")]:
        pair.every("ApiVersions", {"clientSoftwareName": name, "clientSoftwareVersion": version, "clusterId": None, "nodeId": -1})
    for cluster, node in [("other", -1), (None, 1), (None, 7), ("$cluster", 1), ("$cluster", 7), ("", -1)]:
        pair.every("ApiVersions", {"clientSoftwareName": "a", "clientSoftwareVersion": "1", "clusterId": cluster, "nodeId": node})


@case("Metadata")
def metadata(pair):
    pair.ask("Metadata", {"topics": []}, save={"cluster": "clusterId"})
    pair.create("meta", 3)
    pair.every("Metadata", {"topics": []})
    pair.every("Metadata", {"topics": None})
    pair.every("Metadata", {"topics": [{"name": "meta"}], "includeTopicAuthorizedOperations": True, "includeClusterAuthorizedOperations": True})
    pair.every("Metadata", {"topics": [{"name": "meta"}, {"name": "meta"}]})
    pair.every("Metadata", {"topics": [{"name": "missing"}], "allowAutoTopicCreation": False})
    pair.every("Metadata", {"topics": [{"name": "meta", "topicId": "$id:meta"}], "allowAutoTopicCreation": False})
    pair.every("Metadata", {"topics": [{"name": None, "topicId": "$id:meta"}], "allowAutoTopicCreation": False})
    pair.every("Metadata", {"topics": [{"name": None, "topicId": UNKNOWN_ID}, {"name": "meta"}], "allowAutoTopicCreation": False})
    pair.every("Metadata", {"topics": [{"name": None}], "allowAutoTopicCreation": False})
    for name in BAD_NAMES:
        pair.every("Metadata", {"topics": [{"name": name}], "allowAutoTopicCreation": True})


@case("Metadata")
def metadata_creates(pair):
    first, last = pair.common["Metadata"]
    for version in range(first, last + 1):
        pair.ask("Metadata", {"topics": [{"name": "named-{v}"}], "allowAutoTopicCreation": True}, version)
        pair.wait_for_topic(f"named-{version}")


@case("DescribeCluster")
def describe_cluster(pair):
    for kind in (1, 2, 3, 0, -1):
        for fenced in (False, True):
            pair.every("DescribeCluster", {"includeClusterAuthorizedOperations": True, "endpointType": kind, "includeFencedBrokers": fenced})
    pair.every("DescribeCluster", {})


@case("FindCoordinator")
def find_coordinator(pair):
    for kind in (0, 1, 2, 3, -1):
        for keys in (["one"], ["one", "two"], ["one", "one"], [""], [], ["g:AAAAAAAAAAAAAAAAAAAAKg:0"], ["g:x:y"]):
            pair.every("FindCoordinator", {"key": keys[0] if keys else "", "keyType": kind, "coordinatorKeys": keys})


@case("DescribeQuorum")
def describe_quorum(pair):
    quorum = [{"topicName": "__cluster_metadata", "partitions": [{"partitionIndex": 0}]}]
    pair.every("DescribeQuorum", {"topics": quorum})
    for topics in ([], [{"topicName": "meta", "partitions": [{"partitionIndex": 0}]}], quorum * 2):
        pair.every("DescribeQuorum", {"topics": topics})
    pair.every("DescribeQuorum", {"topics": [{"topicName": "__cluster_metadata", "partitions": [{"partitionIndex": 1}]}]})


@case("UpdateFeatures")
def update_features(pair):
    pair.every("UpdateFeatures", {"featureUpdates": [], "timeoutMs": 1000, "validateOnly": True})
    for feature in ("group.version", "transaction.version", "metadata.version", "nothing.version", ""):
        for level in (0, 1, 2, 99, -1):
            for kind in (1, 2, 0):
                update = {"feature": feature, "maxVersionLevel": level, "upgradeType": kind, "allowDowngrade": False}
                pair.every("UpdateFeatures", {"featureUpdates": [update], "timeoutMs": 1000, "validateOnly": True})


@case("SaslHandshake", "SaslAuthenticate")
def sasl_without_listener(pair):
    for mechanism in ("PLAIN", "SCRAM-SHA-256", "NONE", ""):
        with pair.connection("sasl"):
            pair.every("SaslHandshake", {"mechanism": mechanism})
    with pair.connection("sasl"):
        pair.every("SaslAuthenticate", {"authBytes": b64("\0user\0secret")})
        pair.every("SaslAuthenticate", {"authBytes": ""})


@case("DescribeLogDirs")
def describe_log_dirs(pair):
    pair.create("dirs", 2)
    pair.every("DescribeLogDirs", {"topics": [{"topic": "dirs", "partitions": [0, 1]}]})
    for topics in ([], [{"topic": "dirs", "partitions": [7, -1]}], [{"topic": "missing", "partitions": [0]}], [{"topic": "dirs", "partitions": []}]):
        pair.every("DescribeLogDirs", {"topics": topics})


@case("ListConfigResources")
def list_config_resources(pair):
    pair.create("listed", 1)
    for kinds in ([], [2], [4], [8], [16], [32], [2, 4], [0], [3], [-1], [2, 2]):
        pair.every("ListConfigResources", {"resourceTypes": kinds})


@case("ElectLeaders")
def elect_leaders(pair):
    pair.create("elected", 2)
    for kind in (0, 1, 2, -1):
        for partitions in ([0, 1], [7], [-1], [], [0, 0]):
            topics = [{"topic": "elected", "partitions": partitions}]
            pair.every("ElectLeaders", {"electionType": kind, "topicPartitions": topics, "timeoutMs": 5000})
        pair.every("ElectLeaders", {"electionType": kind, "topicPartitions": [{"topic": "missing", "partitions": [0]}], "timeoutMs": 5000})
        pair.every("ElectLeaders", {"electionType": kind, "topicPartitions": [], "timeoutMs": 5000})
    # Which partitions there are has come before this case.
    pair.every("ElectLeaders", {"electionType": 0, "topicPartitions": [{"topic": "elected", "partitions": [0]}], "timeoutMs": 0})


@case("AlterPartitionReassignments", "ListPartitionReassignments")
def reassignments(pair):
    pair.create("moved", 2)
    for replicas in ([1], [2], [1, 2], [1, 1], [], [-1], None):
        partitions = [{"partitionIndex": 0, "replicas": replicas}]
        pair.every("AlterPartitionReassignments", {"timeoutMs": 5000, "topics": [{"name": "moved", "partitions": partitions}]})
    for topic, index in (("moved", 7), ("moved", -1), ("missing", 0), ("", 0)):
        partitions = [{"partitionIndex": index, "replicas": [1]}]
        pair.every("AlterPartitionReassignments", {"timeoutMs": 5000, "topics": [{"name": topic, "partitions": partitions}]})
    pair.every("AlterPartitionReassignments", {"timeoutMs": 5000, "topics": []})
    for topics in (None, [], [{"name": "moved", "partitionIndexes": [0, 1, 7]}], [{"name": "missing", "partitionIndexes": [0]}]):
        pair.every("ListPartitionReassignments", {"timeoutMs": 5000, "topics": topics})

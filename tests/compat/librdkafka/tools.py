"""Stands in for Kafka's kafka-topics.sh and kafka-acls.sh, as far as the suite calls them."""

import argparse
import sys

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

REQUEST_S = 20


def topics(admin, arguments):
    if arguments.create:
        config = dict(setting.split("=", 1) for setting in arguments.config)
        return admin.create_topics([NewTopic(arguments.topic, arguments.partitions, arguments.replication_factor, config=config)])
    if arguments.alter:
        return admin.create_partitions([NewPartitions(arguments.topic, arguments.partitions)])
    if arguments.delete:
        return admin.delete_topics([arguments.topic])
    raise SystemExit("kafka-topics.sh: only --create, --alter and --delete are known here")


def acls(admin, arguments):
    denied = arguments.deny_principal is not None
    principal, host = (arguments.deny_principal, arguments.deny_host) if denied else (arguments.allow_principal, arguments.allow_host)
    permission = AclPermissionType.DENY if denied else AclPermissionType.ALLOW
    what = (ResourceType.TOPIC, arguments.topic, ResourcePatternType.LITERAL, principal, host or "*")
    how = (AclOperation[arguments.operation.upper()], permission)
    if arguments.add:
        return admin.create_acls([AclBinding(*what, *how)])
    if arguments.remove:
        return admin.delete_acls([AclBindingFilter(*what, *how)])
    raise SystemExit("kafka-acls.sh: only --add and --remove are known here")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool", choices=["topics", "acls"])
    parser.add_argument("--bootstrap-server", required=True)
    for flag in ("create", "alter", "delete", "add", "remove", "force"):
        parser.add_argument(f"--{flag}", action="store_true")
    for value in ("topic", "operation", "allow-principal", "deny-principal", "allow-host", "deny-host"):
        parser.add_argument(f"--{value}")
    parser.add_argument("--partitions", type=int, default=-1)
    parser.add_argument("--replication-factor", type=int, default=-1)
    parser.add_argument("--config", action="append", default=[])
    arguments = parser.parse_args()
    admin = AdminClient({"bootstrap.servers": arguments.bootstrap_server})
    answers = (topics if arguments.tool == "topics" else acls)(admin, arguments)
    for answer in answers.values():
        answer.result(REQUEST_S)


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # the suite sees the exit status, its log the reason
        sys.exit(f"{type(error).__name__}: {error}")

//! Whether the caller may do what it asks for, and the codes by which it is told that it may not.

use std::sync::Arc;

use factum_broker::{Topic, TransactionalId};
use factum_event::access::{Operation, Resource};
use factum_event::{GroupName, TopicId, TopicName};
use factum_wire::ErrorCode;
use uuid::Uuid;

use super::dispatch::Call;

impl Call {
    /// Whether the caller may do something.
    pub(super) fn may(&self, operation: Operation, resource: Resource<'_>) -> bool {
        self.door.broker.may(&self.caller.client, operation, resource)
    }

    /// Whether the caller may do something with a topic, whether or not that exists.
    pub(super) fn may_with_topic(&self, operation: Operation, name: &str) -> Result<(), ErrorCode> {
        let may = self.may(operation, Resource::topic(name));
        if may { Ok(()) } else { Err(ErrorCode::TopicAuthorizationFailed) }
    }

    /// Whether the caller may do something with the cluster.
    pub(super) fn may_with_cluster(&self, operation: Operation) -> Result<(), ErrorCode> {
        let may = self.may(operation, Resource::CLUSTER);
        if may { Ok(()) } else { Err(ErrorCode::ClusterAuthorizationFailed) }
    }

    /// Whether the caller may create a topic: all of them, or this one.
    pub(super) fn may_create_topic(&self, name: &TopicName) -> Result<(), ErrorCode> {
        self.may_with_cluster(Operation::Create)
            .or_else(|_| self.may_with_topic(Operation::Create, name.as_str()))
    }

    /// The topic that a request names by its name, or, from a certain version on, by its id, if the
    /// caller may do something with it. Who may not is not told whether a name exists.
    pub(super) fn find_topic(
        &self,
        operation: Operation,
        (name, id): (&str, Uuid),
        by_id: bool,
    ) -> Result<Arc<Topic>, ErrorCode> {
        let broker = &self.door.broker;
        if by_id {
            let topic = broker.topic_by_id(TopicId(id)).ok_or(ErrorCode::UnknownTopicId)?;
            self.may_with_topic(operation, topic.name.as_str())?;
            return Ok(topic);
        }
        self.may_with_topic(operation, name)?;
        broker.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)
    }

    /// The topic of a name, if the caller may do something with it.
    pub(super) fn topic_named(
        &self,
        operation: Operation,
        name: &str,
    ) -> Result<Arc<Topic>, ErrorCode> {
        self.find_topic(operation, (name, Uuid::nil()), false)
    }

    /// The group of a name, if the caller may do something with it.
    pub(super) fn group(&self, operation: Operation, name: &str) -> Result<GroupName, ErrorCode> {
        let group = GroupName::new(name).map_err(|_| ErrorCode::InvalidGroupId)?;
        let may = self.may(operation, Resource::group(name));
        if may { Ok(group) } else { Err(ErrorCode::GroupAuthorizationFailed) }
    }

    /// A transactional id, if the caller may do something with it.
    pub(super) fn transactional_id(
        &self,
        operation: Operation,
        id: &str,
    ) -> Result<TransactionalId, ErrorCode> {
        let known = id.parse().map_err(|_| ErrorCode::InvalidRequest)?;
        let may = self.may(operation, Resource::transactional_id(id));
        if may { Ok(known) } else { Err(ErrorCode::TransactionalIdAuthorizationFailed) }
    }
}

//! DeleteTopics (20): deletes topics with their records and committed offsets.
//!
//! * A name or an id that comes more than once is one `INVALID_REQUEST`, and is not looked for; so
//!   is a topic that is named once and given by its id as well, if the caller may delete it: who
//!   may not is not told which name an id has.
//! * 5: error messages. 6: topics by name or id; with both or neither it is an `INVALID_REQUEST`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use factum_broker::Topic;
use factum_event::TopicId;
use factum_event::access::Operation;
use factum_wire::messages::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use factum_wire::{ErrorCode, Str};
use uuid::Uuid;

use super::{NAMED_TWICE, Refusal, text, times, told};
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

/// A name or an id, as a request has it.
type Key<'a> = (Option<&'a str>, Uuid);

/// A topic to delete, or the answer why it is not.
type Found = Result<Arc<Topic>, DeletableTopicResult>;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let by_name = request.topic_names.into_iter();
    let named = by_name.map(|name| DeleteTopicState { name: Some(name), ..Default::default() });
    let asked: Vec<_> = request.topics.into_iter().chain(named).collect();
    let mut responses = Vec::new();
    // All are found before the first is deleted: what is named twice must not be gone by then.
    for found in find_all(call, &asked) {
        responses.push(match found {
            Ok(topic) => delete(call, &topic).await,
            Err(refused) => refused,
        });
    }
    DeleteTopicsResponse { responses, ..Default::default() }
}

fn key(asked: &DeleteTopicState) -> Key<'_> {
    (asked.name.as_deref(), asked.topic_id)
}

fn find_all(call: &Call, asked: &[DeleteTopicState]) -> Vec<Found> {
    let times = times(asked.iter().map(key));
    let mut seen = HashSet::new();
    let invalid = |one: &DeleteTopicState, message: &str| {
        let refusal = (ErrorCode::InvalidRequest, message.to_owned());
        Some(Err(refused(one.name.clone(), one.topic_id, refusal)))
    };
    let find = |one| match key(one) {
        (None, id) if id.is_nil() => invalid(one, "neither a name nor an id of a topic"),
        (Some(_), id) if !id.is_nil() => invalid(one, "a name and an id: expected one of them"),
        again if !seen.insert(again) => None,
        again if times[&again] > 1 => invalid(one, NAMED_TWICE),
        (Some(name), _) => Some(find_named(call, name, &times)),
        (None, id) => find_by_id(call, id, &times),
    };
    asked.iter().filter_map(find).collect()
}

fn find_named(call: &Call, name: &str, times: &HashMap<Key<'_>, usize>) -> Found {
    let refuse = |id, refusal| Err(refused(Some(text(name)), id, refusal));
    if let Err(refusal) = may_delete(call, name) {
        return refuse(Uuid::nil(), refusal);
    }
    let Some(topic) = call.door.broker.topic(name) else {
        return refuse(Uuid::nil(), missing(ErrorCode::UnknownTopicOrPartition));
    };
    let id = topic.id.0;
    if times.contains_key(&(None, id)) {
        let message = "the request has the id of this topic as well".to_owned();
        return refuse(id, (ErrorCode::InvalidRequest, message));
    }
    Ok(topic)
}

/// None if the topic is named as well: that has the answer for both.
fn find_by_id(call: &Call, id: Uuid, times: &HashMap<Key<'_>, usize>) -> Option<Found> {
    let refuse = |refusal| Some(Err(refused(None, id, refusal)));
    let Some(topic) = call.door.broker.topic_by_id(TopicId(id)) else {
        return refuse(missing(ErrorCode::UnknownTopicId));
    };
    let name = topic.name.as_str();
    if let Err(refusal) = may_delete(call, name) {
        return refuse(refusal);
    }
    // A name that comes twice is refused by itself, as by Kafka; the id is still good.
    let is_named = times.get(&(Some(name), Uuid::nil())) == Some(&1);
    (!is_named).then_some(Ok(topic))
}

fn may_delete(call: &Call, name: &str) -> Result<(), Refusal> {
    let refused = |error| (error, "DELETE of this topic is not allowed".to_owned());
    call.may_with_topic(Operation::Delete, name).map_err(refused)
}

fn missing(error: ErrorCode) -> Refusal {
    (error, "there is no such topic".to_owned())
}

async fn delete(call: &Call, topic: &Topic) -> DeletableTopicResult {
    let (name, topic_id) = (Some(text(topic.name.as_str())), topic.id.0);
    match call.door.broker.delete_topic(&call.caller.author(), &topic.name).await {
        Ok(_) => DeletableTopicResult { name, topic_id, ..Default::default() },
        Err(error) => refused(name, topic_id, (errors::admin(&error), error.to_string())),
    }
}

fn refused(name: Option<Str>, topic_id: Uuid, (error, message): Refusal) -> DeletableTopicResult {
    let (error_code, error_message) = (error.code(), Some(told(&message)));
    DeletableTopicResult { name, topic_id, error_code, error_message }
}

//! DeleteTopics (20): deletes topics with their records and committed offsets.
//!
//! * 5: error messages. 6: topics by name or id.

use factum_event::access::Operation;
use factum_event::{TopicId, TopicName};
use factum_wire::ErrorCode;
use factum_wire::messages::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};

use super::{Refusal, text};
use crate::kafka::dispatch::Call;
use crate::kafka::errors;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let by_name = request.topic_names.into_iter();
    let named = by_name.map(|name| DeleteTopicState { name: Some(name), ..Default::default() });
    let mut responses = Vec::new();
    for asked in request.topics.into_iter().chain(named) {
        responses.push(result(call, asked).await);
    }
    DeleteTopicsResponse { responses, ..Default::default() }
}

async fn result(call: &Call, asked: DeleteTopicState) -> DeletableTopicResult {
    let (name, topic_id) = (asked.name.as_ref().map(|name| text(&**name)), asked.topic_id);
    match delete(call, &asked).await {
        Ok((name, id)) => {
            DeletableTopicResult { name: Some(text(name)), topic_id: id.0, ..Default::default() }
        }
        Err((error, message)) => DeletableTopicResult {
            name,
            topic_id,
            error_code: error.code(),
            error_message: Some(text(message)),
        },
    }
}

async fn delete(call: &Call, asked: &DeleteTopicState) -> Result<(TopicName, TopicId), Refusal> {
    let broker = &call.door.broker;
    let topic = match &asked.name {
        Some(name) => broker.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition),
        None => broker.topic_by_id(TopicId(asked.topic_id)).ok_or(ErrorCode::UnknownTopicId),
    };
    let refused = |error| (error, "DELETE of this topic is not allowed".to_owned());
    match (&asked.name, &topic) {
        (Some(name), _) => call.may_with_topic(Operation::Delete, name).map_err(refused)?,
        (None, Ok(topic)) => {
            call.may_with_topic(Operation::Delete, topic.name.as_str()).map_err(refused)?;
        }
        (None, Err(_)) => {}
    }
    let topic = topic.map_err(|error| (error, "there is no such topic".to_owned()))?;
    let deleted = broker.delete_topic(&call.caller.author(), &topic.name).await;
    deleted.map_err(|error| (errors::admin(&error), error.to_string()))?;
    Ok((topic.name.clone(), topic.id))
}

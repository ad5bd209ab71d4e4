//! DeleteTopics, API 20.
//!
//! * 4: flexible. 5: a message with the error (KIP-599).
//! * 6: topics by name or id (KIP-516): `topics` takes the place of `topic_names`.

use uuid::Uuid;

use crate::Str;
use crate::table::message;

message! {
    /// Asks to delete topics.
    pub struct DeleteTopicsRequest {
        /// The topics.
        topics: Vec<DeleteTopicState> [6..];
        /// The topics to delete, by name.
        topic_names: Vec<Str> [0..=5];
        /// How long the broker may take.
        timeout_ms: i32 [0..];
    }

    /// A topic to delete, by name or id.
    pub struct DeleteTopicState {
        /// The topic's name; null if it is named by id.
        name: Option<Str> [6..];
        /// The topic's id.
        topic_id: Uuid [6..];
    }

    /// Tells which topics were deleted.
    pub struct DeleteTopicsResponse {
        /// How long the client was, or shall be, held back by a quota.
        throttle_time_ms: i32 [0..];
        /// What became of each topic.
        responses: Vec<DeletableTopicResult> [0..];
    }

    /// What became of one topic.
    pub struct DeletableTopicResult {
        /// The topic's name; null if only its unknown id was named.
        name: Option<Str> [0..] null [6..];
        /// The topic's id.
        topic_id: Uuid [6..];
        /// What went wrong, or 0.
        error_code: i16 [0..];
        /// What went wrong, in words.
        error_message: Option<Str> [5..];
    }
}

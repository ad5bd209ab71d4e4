//! ListConfigResources (74): what has settings.
//!
//! * 0: only subscriptions to client metrics; there are none.
//! * 1: topics, the broker and groups that set something, or those of the types that are asked for
//!   (KIP-1142). Brokers' own logs (8) have no settings here. An unknown type is `UNSUPPORTED_VERSION`.

use factum_event::access::Operation;
use factum_wire::ErrorCode;
use factum_wire::messages::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use super::describe_configs::{BROKER, GROUP, TOPIC};
use super::text;
use crate::kafka::NODE_ID;
use crate::kafka::dispatch::Call;

const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    if let Err(error) = call.may_with_cluster(Operation::DescribeConfigs) {
        let error_code = error.code();
        return ListConfigResourcesResponse { error_code, ..Default::default() };
    }
    if call.version() == 0 {
        return ListConfigResourcesResponse::default();
    }
    let asked = &request.resource_types;
    let known = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
    if !asked.iter().all(|asked| known.contains(asked)) {
        let error_code = ErrorCode::UnsupportedVersion.code();
        return ListConfigResourcesResponse { error_code, ..Default::default() };
    }
    let wanted = |resource_type| asked.is_empty() || asked.contains(&resource_type);
    let mut config_resources = Vec::new();
    if wanted(BROKER) {
        let resource_name = text(NODE_ID.to_string());
        config_resources.push(ConfigResource { resource_name, resource_type: BROKER });
    }
    if wanted(TOPIC) {
        let topics = call.door.broker.all_topics();
        config_resources.extend(topics.iter().map(|topic| ConfigResource {
            resource_name: text(&topic.name),
            resource_type: TOPIC,
        }));
    }
    if wanted(GROUP) {
        let groups = call.door.broker.configured_groups();
        config_resources.extend(
            groups
                .iter()
                .map(|group| ConfigResource { resource_name: text(group), resource_type: GROUP }),
        );
    }
    ListConfigResourcesResponse { config_resources, ..Default::default() }
}

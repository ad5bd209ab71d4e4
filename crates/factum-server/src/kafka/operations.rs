//! What a client may do with a resource, as the bit sets of KIP-430.

use factum_event::access::Resource;

use super::dispatch::Call;

/// What is answered to who did not ask.
const NOT_ASKED: i32 = i32::MIN;

impl Call {
    /// The operations that the caller may do with a resource, if it has asked for them.
    pub(super) fn operations(&self, is_asked: bool, resource: Resource<'_>) -> i32 {
        if !is_asked {
            return NOT_ASKED;
        }
        let broker = &self.door.broker;
        let operations = resource.resource_type.operations().iter();
        operations
            .filter(|operation| broker.may(&self.caller.client, **operation, resource))
            .fold(0, |set, operation| set | 1 << operation.code())
    }
}

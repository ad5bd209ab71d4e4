//! Whom quotas are about, as the protocol says it.

use std::fmt;

use factum_event::access::{QuotaEntity, QuotaName};
use factum_wire::messages::QuotaEntityPart;
use factum_wire::{ErrorCode, Str};

use super::api::Refusal;

/// What an entity may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum EntityType {
    User,
    ClientId,
    /// Known, but nothing has a quota: connections are not limited by their rate here.
    Ip,
}

impl EntityType {
    pub(super) fn parse(name: &str) -> Result<Self, Refusal> {
        match name {
            "user" => Ok(Self::User),
            "client-id" => Ok(Self::ClientId),
            "ip" => Ok(Self::Ip),
            _ => {
                let expected = "expected user, client-id or ip";
                let reason = format!("{name:?} is nothing that quotas are about; {expected}");
                Err((ErrorCode::UnsupportedVersion, reason))
            }
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ClientId => "client-id",
            Self::Ip => "ip",
        }
    }
}

impl fmt::Display for EntityType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The entity that a request means.
pub(super) fn entity(parts: &[QuotaEntityPart]) -> Result<QuotaEntity, Refusal> {
    let invalid = |reason: String| (ErrorCode::InvalidRequest, reason);
    let (mut user, mut client_id) = (None, None);
    for part in parts {
        let entity_type =
            EntityType::parse(&part.entity_type).map_err(|(_, reason)| invalid(reason))?;
        let place = match entity_type {
            EntityType::User => &mut user,
            EntityType::ClientId => &mut client_id,
            EntityType::Ip => {
                let reason = "connections of an ip are not limited here; limit a user or a client";
                return Err(invalid(reason.to_owned()));
            }
        };
        let named = |name: &Str| QuotaName::Name((**name).to_owned());
        let name = part.entity_name.as_ref().map_or(QuotaName::Default, named);
        if place.replace(name).is_some() {
            return Err(invalid(format!("{entity_type} is given twice")));
        }
    }
    QuotaEntity::new(user, client_id).map_err(|error| invalid(error.to_string()))
}

/// The same, told.
pub(super) fn parts(entity: &QuotaEntity) -> Vec<QuotaEntityPart> {
    let part = |entity_type: EntityType, name: &QuotaName| QuotaEntityPart {
        entity_type: Str::from_static(entity_type.as_str()),
        entity_name: match name {
            QuotaName::Default => None,
            QuotaName::Name(name) => Some(Str::from(name.as_str())),
        },
    };
    let user = entity.user().map(|name| part(EntityType::User, name));
    let client_id = entity.client_id().map(|name| part(EntityType::ClientId, name));
    user.into_iter().chain(client_id).collect()
}

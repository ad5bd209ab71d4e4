//! UpdateFeatures (57): changes which features are in use (KIP-584).
//!
//! * Those in use are a matter of this version of Factum ([`FINALIZED`]): an update to the level
//!   that a feature has changes nothing, and every other one is refused. One refused update
//!   refuses all.
//! * 0 and 1: where nothing is refused, every feature has its own result. 1: checking only, and
//!   kinds of changes by number (KIP-778): 1 to 3.

use factum_event::access::Operation;
use factum_wire::ErrorCode;
use factum_wire::messages::{
    FeatureUpdateKey, UpdatableFeatureResult, UpdateFeaturesRequest, UpdateFeaturesResponse,
};

use super::{text, told};
use crate::kafka::dispatch::Call;
use crate::kafka::features::{FINALIZED, Finalized};

/// The kinds of changes.
const UPGRADE_TYPES: std::ops::RangeInclusive<i8> = 1..=3;

pub(in crate::kafka) async fn handle(
    call: &Call,
    request: UpdateFeaturesRequest,
) -> UpdateFeaturesResponse {
    if let Err(error) = call.may_with_cluster(Operation::Alter) {
        let error_code = error.code();
        return UpdateFeaturesResponse { error_code, ..Default::default() };
    }
    let mut updates = request.feature_updates.iter();
    if let Err(message) = updates.try_for_each(|update| check(FINALIZED, update)) {
        return UpdateFeaturesResponse {
            error_code: ErrorCode::InvalidUpdateVersion.code(),
            error_message: Some(told(&message)),
            ..Default::default()
        };
    }
    let result = |update: &FeatureUpdateKey| UpdatableFeatureResult {
        feature: text(&*update.feature),
        ..Default::default()
    };
    let results = request.feature_updates.iter().map(result).collect();
    UpdateFeaturesResponse { results, ..Default::default() }
}

/// Whether a feature has the level already; if not, why it cannot have it.
fn check(finalized: &[Finalized], update: &FeatureUpdateKey) -> Result<(), String> {
    let (feature, level) = (&*update.feature, update.max_version_level);
    if !UPGRADE_TYPES.contains(&update.upgrade_type) {
        return Err(format!("{feature}: upgrade type {} is not 1, 2 or 3", update.upgrade_type));
    }
    match finalized.iter().find(|known| known.name == feature) {
        Some(known) if known.level == level => Ok(()),
        Some(known) => Err(format!(
            "{feature}: level {level} is refused; this version of Factum has level {}",
            known.level
        )),
        None => Err(format!("there is no feature {feature:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_may_be_asked_to_stay_as_it_is_and_nothing_else() {
        let finalized = [Finalized { name: "known", level: 2 }];
        let ask = |feature: &str, max_version_level, upgrade_type| {
            let feature = text(feature);
            let allow_downgrade = false;
            let update =
                FeatureUpdateKey { feature, max_version_level, allow_downgrade, upgrade_type };
            check(&finalized, &update)
        };
        for upgrade_type in UPGRADE_TYPES {
            assert_eq!(ask("known", 2, upgrade_type), Ok(()));
        }
        for level in [i16::MIN, -1, 0, 1, 3, i16::MAX] {
            assert!(ask("known", level, 1).is_err_and(|why| why.contains("level 2")), "{level}");
        }
        assert!(ask("unknown", 2, 1).is_err_and(|why| why.contains("no feature")));
        for upgrade_type in [0, 4, -1] {
            assert!(ask("known", 2, upgrade_type).is_err_and(|why| why.contains("upgrade type")));
        }
    }
}

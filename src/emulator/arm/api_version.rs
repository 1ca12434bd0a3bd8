//! The `api-version` query parameter, which ARM looks at before it looks at the token. Pure.

use super::{error::ArmError, route::Call};

/// For APIM: `az apim` sends the first, current SDKs and this project the second.
const APIM: &[&str] = &["2022-08-01", "2024-05-01"];
/// For `/subscriptions`.
const SUBSCRIPTIONS: &[&str] =
    &["2016-06-01", "2019-06-01", "2020-01-01", "2021-01-01", "2022-09-01", "2022-12-01"];
/// For `/metadata/endpoints`: before 2022-09-01 the answer was an array.
const METADATA: &[&str] = &["2022-09-01"];

/// Checks the version that a call names.
pub(super) fn check(call: &Call, version: Option<&str>) -> Result<(), ArmError> {
    let Some(version) = version.filter(|version| !version.is_empty()) else {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        return Err(ArmError::new(400, "MissingApiVersionParameter", message));
    };
    let supported = match (&call.service, call.operation.id) {
        (Some(_), _) => APIM,
        (None, "Metadata_Endpoints") => METADATA,
        (None, _) => SUBSCRIPTIONS,
    };
    if supported.contains(&version) {
        return Ok(());
    }
    let message = format!(
        "The api-version '{version}' is invalid. The supported versions are '{}'.",
        supported.iter().rev().copied().collect::<Vec<_>>().join(",")
    );
    Err(ArmError::new(400, "InvalidApiVersionParameter", message))
}

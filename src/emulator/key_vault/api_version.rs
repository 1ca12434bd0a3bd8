//! The `api-version` query parameter. Pure.

use super::error::VaultError;

/// The versions that the emulator knows, oldest first: `az` sends 7.4, Rust and JavaScript 2025-07-01, Python 2026-04-01.
const SUPPORTED: [&str; 9] = ["7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01", "2026-04-01"];

/// The first version in which the value of a certificate can be asked for as PEM (`outContentType`).
const CONVERTS: &str = "2025-07-01";

/// A version that the emulator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ApiVersion(usize);

impl ApiVersion {
    /// Reads the parameter.
    pub(super) fn read(version: Option<&str>) -> Result<Self, VaultError> {
        let Some(version) = version.filter(|version| !version.is_empty()) else {
            // The wording is ours.
            return Err(VaultError::bad_parameter("api-version must be specified"));
        };
        SUPPORTED.iter().position(|known| *known == version).map(Self).ok_or_else(|| {
            let latest = SUPPORTED[SUPPORTED.len() - 1];
            VaultError::bad_parameter(format!(
                "The specified version ({version}) is not recognized. Consider using the latest supported version \
                 ({latest})."
            ))
        })
    }

    /// As it stands in a query.
    pub(super) fn text(self) -> &'static str {
        SUPPORTED[self.0]
    }

    /// Whether it has `outContentType`. Earlier ones do not look at that parameter.
    pub(super) fn converts(self) -> bool {
        Self::read(Some(CONVERTS)).is_ok_and(|first| self >= first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_known_or_refused_with_the_latest() {
        for known in SUPPORTED {
            assert_eq!(ApiVersion::read(Some(known)).unwrap().text(), known);
        }
        for missing in [None, Some("")] {
            assert_eq!(ApiVersion::read(missing).unwrap_err().code, "BadParameter");
        }
        let refused = ApiVersion::read(Some("7.9")).unwrap_err();
        assert_eq!((refused.status, refused.code), (400, "BadParameter"));
        assert_eq!(
            refused.message,
            "The specified version (7.9) is not recognized. Consider using the latest supported version (2026-04-01)."
        );
    }

    #[test]
    fn conversion_came_with_the_dates() {
        let converts = |version| ApiVersion::read(Some(version)).unwrap().converts();
        assert!(!converts("7.0") && !converts("7.6"));
        assert!(converts("2025-07-01") && converts("2026-04-01"));
    }
}

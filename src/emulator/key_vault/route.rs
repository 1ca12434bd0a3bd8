//! The operations, by the names of the official description (7.5), and which of them a request addresses. Pure.

use crate::emulator::template::names;
use http::Method;

/// One operation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Operation {
    /// Its `operationId`.
    pub(super) id: &'static str,
    method: &'static str,
    /// The path; `*` stands for a name or version.
    path: &'static str,
    /// The data action that it needs; `None`: the emulator does not implement it.
    pub(super) action: Option<&'static str>,
}

const fn known(id: &'static str, method: &'static str, path: &'static str) -> Operation {
    Operation { id, method, path, action: None }
}

const fn done(id: &'static str, method: &'static str, path: &'static str, action: &'static str) -> Operation {
    Operation { id, method, path, action: Some(action) }
}

/// Data actions, as the built-in roles list them.
mod action {
    pub(super) const GET_SECRET: &str = "Microsoft.KeyVault/vaults/secrets/getSecret/action";
    pub(super) const SECRET_METADATA: &str = "Microsoft.KeyVault/vaults/secrets/readMetadata/action";
    pub(super) const SET_SECRET: &str = "Microsoft.KeyVault/vaults/secrets/setSecret/action";
    pub(super) const UPDATE_SECRET: &str = "Microsoft.KeyVault/vaults/secrets/update/action";
    pub(super) const DELETE_SECRET: &str = "Microsoft.KeyVault/vaults/secrets/delete";
    pub(super) const RECOVER_SECRET: &str = "Microsoft.KeyVault/vaults/secrets/recover/action";
    pub(super) const PURGE_SECRET: &str = "Microsoft.KeyVault/vaults/secrets/purge/action";
    pub(super) const READ_CERTIFICATE: &str = "Microsoft.KeyVault/vaults/certificates/read";
    pub(super) const IMPORT_CERTIFICATE: &str = "Microsoft.KeyVault/vaults/certificates/import/action";
    pub(super) const UPDATE_CERTIFICATE: &str = "Microsoft.KeyVault/vaults/certificates/update/action";
    pub(super) const DELETE_CERTIFICATE: &str = "Microsoft.KeyVault/vaults/certificates/delete";
    pub(super) const RECOVER_CERTIFICATE: &str = "Microsoft.KeyVault/vaults/certificates/recover/action";
    pub(super) const PURGE_CERTIFICATE: &str = "Microsoft.KeyVault/vaults/certificates/purge/action";
}

/// Fixed words stand before the names that they could be taken for. A version that is left out is the current one:
/// clients send `/secrets/NAME/`, whose last slash does not count.
const OPERATIONS: &[Operation] = &[
    done("GetSecrets", "GET", "/secrets", action::SECRET_METADATA),
    known("RestoreSecret", "POST", "/secrets/restore"),
    known("BackupSecret", "POST", "/secrets/*/backup"),
    done("GetSecretVersions", "GET", "/secrets/*/versions", action::SECRET_METADATA),
    done("GetSecret", "GET", "/secrets/*", action::GET_SECRET),
    done("GetSecret", "GET", "/secrets/*/*", action::GET_SECRET),
    done("SetSecret", "PUT", "/secrets/*", action::SET_SECRET),
    done("UpdateSecret", "PATCH", "/secrets/*", action::UPDATE_SECRET),
    done("UpdateSecret", "PATCH", "/secrets/*/*", action::UPDATE_SECRET),
    done("DeleteSecret", "DELETE", "/secrets/*", action::DELETE_SECRET),
    done("GetDeletedSecrets", "GET", "/deletedsecrets", action::SECRET_METADATA),
    done("GetDeletedSecret", "GET", "/deletedsecrets/*", action::SECRET_METADATA),
    done("PurgeDeletedSecret", "DELETE", "/deletedsecrets/*", action::PURGE_SECRET),
    done("RecoverDeletedSecret", "POST", "/deletedsecrets/*/recover", action::RECOVER_SECRET),
    done("GetCertificates", "GET", "/certificates", action::READ_CERTIFICATE),
    known("SetCertificateContacts", "PUT", "/certificates/contacts"),
    known("GetCertificateContacts", "GET", "/certificates/contacts"),
    known("DeleteCertificateContacts", "DELETE", "/certificates/contacts"),
    known("GetCertificateIssuers", "GET", "/certificates/issuers"),
    known("SetCertificateIssuer", "PUT", "/certificates/issuers/*"),
    known("UpdateCertificateIssuer", "PATCH", "/certificates/issuers/*"),
    known("GetCertificateIssuer", "GET", "/certificates/issuers/*"),
    known("DeleteCertificateIssuer", "DELETE", "/certificates/issuers/*"),
    known("RestoreCertificate", "POST", "/certificates/restore"),
    known("CreateCertificate", "POST", "/certificates/*/create"),
    done("ImportCertificate", "POST", "/certificates/*/import", action::IMPORT_CERTIFICATE),
    known("BackupCertificate", "POST", "/certificates/*/backup"),
    known("MergeCertificate", "POST", "/certificates/*/pending/merge"),
    known("GetCertificateOperation", "GET", "/certificates/*/pending"),
    known("UpdateCertificateOperation", "PATCH", "/certificates/*/pending"),
    known("DeleteCertificateOperation", "DELETE", "/certificates/*/pending"),
    done("GetCertificatePolicy", "GET", "/certificates/*/policy", action::READ_CERTIFICATE),
    known("UpdateCertificatePolicy", "PATCH", "/certificates/*/policy"),
    done("GetCertificateVersions", "GET", "/certificates/*/versions", action::READ_CERTIFICATE),
    done("GetCertificate", "GET", "/certificates/*", action::READ_CERTIFICATE),
    done("GetCertificate", "GET", "/certificates/*/*", action::READ_CERTIFICATE),
    done("UpdateCertificate", "PATCH", "/certificates/*", action::UPDATE_CERTIFICATE),
    done("UpdateCertificate", "PATCH", "/certificates/*/*", action::UPDATE_CERTIFICATE),
    done("DeleteCertificate", "DELETE", "/certificates/*", action::DELETE_CERTIFICATE),
    done("GetDeletedCertificates", "GET", "/deletedcertificates", action::READ_CERTIFICATE),
    done("GetDeletedCertificate", "GET", "/deletedcertificates/*", action::READ_CERTIFICATE),
    done("PurgeDeletedCertificate", "DELETE", "/deletedcertificates/*", action::PURGE_CERTIFICATE),
    done("RecoverDeletedCertificate", "POST", "/deletedcertificates/*/recover", action::RECOVER_CERTIFICATE),
];

/// What a request addresses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// The operation.
    pub(super) operation: &'static Operation,
    /// The name and version in the path, percent-decoded, as far as they are there.
    pub(super) names: Vec<String>,
}

/// The ids of all operations, each once.
pub(super) fn ids() -> Vec<&'static str> {
    let mut ids: Vec<_> = OPERATIONS.iter().map(|operation| operation.id).collect();
    ids.dedup();
    ids
}

/// The operation that `method` on `path` (percent-encoded, without a query) addresses, if it is known.
pub(super) fn find(method: &Method, path: &str) -> Option<Call> {
    let parts = segments(path);
    OPERATIONS.iter().filter(|operation| operation.method == method.as_str()).find_map(|operation| {
        let names = names(&segments(operation.path), &parts)?;
        Some(Call { operation, names })
    })
}

fn segments(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(method: &Method, path: &str) -> Option<&'static str> {
        find(method, path).map(|call| call.operation.id)
    }

    #[test]
    fn fixed_words_are_no_names_and_a_last_slash_is_nothing() {
        for path in ["/secrets/a", "/secrets/a/", "/Secrets/a"] {
            let call = find(&Method::GET, path).unwrap();
            assert_eq!((call.operation.id, &call.names[..]), ("GetSecret", &["a".to_owned()][..]), "{path}");
        }
        assert_eq!(find(&Method::GET, "/secrets/a/0f/").unwrap().names, ["a", "0f"]);
        assert_eq!(id(&Method::GET, "/secrets/a/versions"), Some("GetSecretVersions"));
        assert_eq!(id(&Method::GET, "/certificates/contacts"), Some("GetCertificateContacts"));
        assert_eq!(id(&Method::GET, "/certificates/a/pending"), Some("GetCertificateOperation"));
        assert_eq!(id(&Method::GET, "/certificates/a/0f"), Some("GetCertificate"));
        assert_eq!(id(&Method::GET, "/keys/a"), None);
        assert_eq!(id(&Method::PUT, "/secrets/a/0f"), None);
    }

    #[test]
    fn every_operation_can_be_reached() {
        for operation in OPERATIONS {
            let method: Method = operation.method.parse().unwrap();
            assert_eq!(id(&method, &operation.path.replace('*', "x")), Some(operation.id));
        }
        let ids = ids();
        assert_eq!(ids.len(), ids.iter().collect::<std::collections::HashSet<_>>().len());
    }
}

//! What cannot be made to happen from outside: a write that fails half-way.

use super::*;
use crate::lease::{Part, Value};
use std::io::ErrorKind;

fn item(value: &Value) -> Item<'_> {
    Item { name: "partner", env: "PARTNER", value }
}

#[test]
fn a_write_that_fails_half_way_leaves_nothing_behind() {
    let ram = tempfile::Builder::new().prefix("apim-agent-test-").tempdir_in("/dev/shm").expect("a tmpfs");
    let dir = Arc::new(RuntimeDir::open(Some(ram.path()), None, "acme/payments").expect("opens"));
    let mut sink = EnvFile::new(Arc::clone(&dir), "https://contoso.azure-api.net".to_owned(), Vec::new());
    let part = |extension| Part { extension, content: Secret::new("before".to_owned()) };
    let value = Value::Files(vec![part("crt"), part("key")]);
    let set = Set { generation: 1, expires_at: None, items: vec![item(&value)], missing: Vec::new() };
    sink.publish(&set).expect("published");
    let error = sink
        .stage("partner.key", b"after", |file, text| {
            file.write_all(&text[..2])?;
            Err(ErrorKind::StorageFull.into())
        })
        .map(|staged| staged.name)
        .expect_err("half-way");
    assert!(error.is_transient() && error.to_string().contains("partner.key"), "{error}");
    let names = std::fs::read_dir(dir.path()).expect("a folder").count();
    assert_eq!(names, 3, "the env file and the pair");
    let key = std::fs::read_to_string(dir.path().join("partner.key")).expect("there");
    assert_eq!(key, "before");
}

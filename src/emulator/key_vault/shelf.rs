//! Versioned objects of one kind, live and deleted. Pure: the caller holds the lock and knows the time.

use super::{
    body::{Attributes, RETENTION, Tags},
    error::{Kind, VaultError},
};
use std::{collections::BTreeMap, time::SystemTime};

/// One version.
pub(super) struct Version<T> {
    /// 32 lower-case hexadecimal digits.
    pub(super) id: String,
    pub(super) attributes: Attributes,
    pub(super) tags: Tags,
    pub(super) content: T,
}

/// An object with all its versions.
pub(super) struct Item<T> {
    /// As it was first written; names are compared without regard to case.
    pub(super) name: String,
    /// Oldest first; never empty.
    versions: Vec<Version<T>>,
}

impl<T> Item<T> {
    /// The newest version.
    pub(super) fn current(&self) -> &Version<T> {
        &self.versions[self.versions.len() - 1]
    }

    /// All versions in the order of their ids, which says nothing of their age: no client may rely on another one.
    pub(super) fn versions(&self) -> Vec<&Version<T>> {
        let mut versions: Vec<_> = self.versions.iter().collect();
        versions.sort_by(|a, b| a.id.cmp(&b.id));
        versions
    }

    /// The version with that id, or the newest; its index.
    fn find(&self, kind: Kind, version: Option<&str>) -> Result<usize, VaultError> {
        match version {
            None => Ok(self.versions.len() - 1),
            Some(id) => self
                .versions
                .iter()
                .position(|version| version.id.eq_ignore_ascii_case(id))
                .ok_or_else(|| VaultError::not_found(kind, &format!("{}/{id}", self.name))),
        }
    }
}

/// An object that is deleted and can come back.
pub(super) struct Deleted<T> {
    pub(super) item: Item<T>,
    pub(super) since: SystemTime,
}

impl<T> Deleted<T> {
    /// When the vault will have forgotten it.
    pub(super) fn purged_at(&self) -> SystemTime {
        self.since + RETENTION
    }
}

/// All objects of one kind. Deletion takes effect at once; the real vault takes some seconds to show what is deleted.
pub(super) struct Shelf<T> {
    kind: Kind,
    /// By the name in lower case; ordered, so that pages are stable.
    live: BTreeMap<String, Item<T>>,
    deleted: BTreeMap<String, Deleted<T>>,
}

impl<T> Shelf<T> {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, live: BTreeMap::new(), deleted: BTreeMap::new() }
    }

    /// Refuses what is no name (`^[0-9a-zA-Z-]{1,127}$`), and a name that something deleted still holds.
    pub(super) fn check_name(&self, name: &str) -> Result<(), VaultError> {
        let fits = (1..=127).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !fits {
            return Err(VaultError::bad_parameter(format!(
                "The request URI contains an invalid name: {name}"
            )));
        }
        if self.deleted.contains_key(&key(name)) {
            return Err(VaultError::deleted_but_recoverable(self.kind, name));
        }
        Ok(())
    }

    /// Whether such an object is there.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.live.contains_key(&key(name))
    }

    /// Adds a version, which becomes the current one, to an object that is there or begins with it.
    pub(super) fn add(&mut self, name: &str, version: Version<T>) {
        let begin = || Item { name: name.to_owned(), versions: Vec::new() };
        self.live.entry(key(name)).or_insert_with(begin).versions.push(version);
    }

    /// An object.
    pub(super) fn item(&self, name: &str) -> Result<&Item<T>, VaultError> {
        self.live.get(&key(name)).ok_or_else(|| VaultError::not_found(self.kind, name))
    }

    /// A version of an object: that one, or the current one.
    pub(super) fn get(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<(&Item<T>, &Version<T>), VaultError> {
        let item = self.live.get(&key(name)).ok_or_else(|| missing(self.kind, name, version))?;
        Ok((item, &item.versions[item.find(self.kind, version)?]))
    }

    /// The same, to change.
    pub(super) fn get_mut(
        &mut self,
        name: &str,
        version: Option<&str>,
    ) -> Result<&mut Version<T>, VaultError> {
        let kind = self.kind;
        let item = self.live.get_mut(&key(name)).ok_or_else(|| missing(kind, name, version))?;
        let index = item.find(kind, version)?;
        Ok(&mut item.versions[index])
    }

    /// All that is there, with its key, in the order of the keys.
    pub(super) fn items(&self) -> impl Iterator<Item = (&str, &Item<T>)> {
        self.live.iter().map(|(key, item)| (key.as_str(), item))
    }

    /// All that is deleted, likewise.
    pub(super) fn deleted_items(&self) -> impl Iterator<Item = (&str, &Deleted<T>)> {
        self.deleted.iter().map(|(key, deleted)| (key.as_str(), deleted))
    }

    /// Deletes an object.
    pub(super) fn delete(&mut self, name: &str, now: SystemTime) -> Result<&Deleted<T>, VaultError> {
        let item = self.live.remove(&key(name)).ok_or_else(|| VaultError::not_found(self.kind, name))?;
        self.deleted.insert(key(name), Deleted { item, since: now });
        self.deleted(name)
    }

    /// A deleted object.
    pub(super) fn deleted(&self, name: &str) -> Result<&Deleted<T>, VaultError> {
        self.deleted.get(&key(name)).ok_or_else(|| VaultError::deleted_not_found(self.kind, name))
    }

    /// Brings a deleted object back.
    pub(super) fn recover(&mut self, name: &str) -> Result<&Item<T>, VaultError> {
        let deleted =
            self.deleted.remove(&key(name)).ok_or_else(|| VaultError::deleted_not_found(self.kind, name))?;
        self.live.insert(key(name), deleted.item);
        self.item(name)
    }

    /// Forgets a deleted object.
    pub(super) fn purge(&mut self, name: &str) -> Result<(), VaultError> {
        self.deleted
            .remove(&key(name))
            .map(drop)
            .ok_or_else(|| VaultError::deleted_not_found(self.kind, name))
    }

    /// Forgets what was deleted too long ago.
    pub(super) fn expire(&mut self, now: SystemTime) {
        self.deleted.retain(|_, deleted| now < deleted.purged_at());
    }
}

fn key(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn missing(kind: Kind, name: &str, version: Option<&str>) -> VaultError {
    let id = version.map_or_else(|| name.to_owned(), |version| format!("{name}/{version}"));
    VaultError::not_found(kind, &id)
}

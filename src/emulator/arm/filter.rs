//! `$filter` of `Subscription_List`: comparisons and text functions joined by `and`. Pure.
//!
//! The description allows `OData`; `or`, `not` and parentheses around conditions get a loud 501 here rather than a
//! guess. Text is compared without regard to case, as APIM's own store does.

use super::error::ArmError;
use crate::emulator::store::Subscription;

/// All conditions must hold.
#[derive(Debug, Default)]
pub(super) struct Filter(Vec<Condition>);

#[derive(Debug)]
struct Condition {
    field: Field,
    test: Test,
    /// In lower case.
    literal: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    DisplayName,
    StateComment,
    OwnerId,
    UserId,
    Scope,
    ProductId,
    State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Eq,
    Ne,
    Ge,
    Le,
    Gt,
    Lt,
    Contains,
    StartsWith,
    EndsWith,
}

impl Filter {
    /// Reads the value of `$filter`.
    pub(super) fn parse(text: &str) -> Result<Self, ArmError> {
        let conditions = split(text, " and ").into_iter().map(str::trim);
        Ok(Self(conditions.map(condition).collect::<Result<_, _>>()?))
    }

    /// Whether a subscription passes.
    pub(super) fn keeps(&self, subscription: &Subscription) -> bool {
        self.0.iter().all(|condition| condition.holds(subscription))
    }
}

impl Condition {
    fn holds(&self, subscription: &Subscription) -> bool {
        let value = self.field.of(subscription).to_lowercase();
        let literal = self.literal.as_str();
        match self.test {
            Test::Eq => value == literal,
            Test::Ne => value != literal,
            Test::Ge => value.as_str() >= literal,
            Test::Le => value.as_str() <= literal,
            Test::Gt => value.as_str() > literal,
            Test::Lt => value.as_str() < literal,
            Test::Contains => value.contains(literal),
            Test::StartsWith => value.starts_with(literal),
            Test::EndsWith => value.ends_with(literal),
        }
    }
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "name" => Self::Name,
            "displayName" => Self::DisplayName,
            "stateComment" => Self::StateComment,
            "ownerId" => Self::OwnerId,
            "userId" => Self::UserId,
            "scope" => Self::Scope,
            "productId" => Self::ProductId,
            "state" => Self::State,
            _ => return None,
        })
    }

    fn of(self, subscription: &Subscription) -> String {
        let owner = subscription.owner_id.clone().unwrap_or_default();
        match self {
            Self::Name => subscription.sid.clone(),
            Self::DisplayName => subscription.display_name.clone(),
            Self::StateComment => subscription.state_comment.clone().unwrap_or_default(),
            Self::OwnerId => owner,
            Self::UserId => owner.trim_start_matches("/users/").to_owned(),
            Self::Scope => subscription.scope.clone(),
            Self::ProductId => subscription.scope.strip_prefix("/products/").unwrap_or_default().to_owned(),
            Self::State => format!("{:?}", subscription.state),
        }
    }
}

fn condition(source: &str) -> Result<Condition, ArmError> {
    let (name, test, literal) = function(source).or_else(|| comparison(source)).ok_or_else(|| {
        // The wording is ours: what APIM says of a filter that it does not understand is not known.
        ArmError::not_implemented(&format!("this part of $filter: {source}"))
    })?;
    let unknown =
        || ArmError::field("$filter", format!("'{name}' is not a property that can be filtered by."));
    let field = Field::named(name).ok_or_else(unknown)?;
    if field == Field::State && test != Test::Eq {
        return Err(ArmError::field("$filter", "'state' can only be compared with eq."));
    }
    Ok(Condition { field, test, literal: literal.to_lowercase() })
}

/// `contains(displayName,'x')`; `substringof('x',displayName)` has its operands the other way round.
fn function(source: &str) -> Option<(&str, Test, String)> {
    let (function, rest) = source.split_once('(')?;
    let arguments = split(rest.strip_suffix(')')?, ",");
    let [first, second] = arguments[..] else { return None };
    let (name, test, quoted) = match function.trim() {
        "contains" => (first, Test::Contains, second),
        "startswith" => (first, Test::StartsWith, second),
        "endswith" => (first, Test::EndsWith, second),
        "substringof" => (second, Test::Contains, first),
        _ => return None,
    };
    Some((name.trim(), test, literal(quoted)?))
}

/// `displayName eq 'x'`
fn comparison(source: &str) -> Option<(&str, Test, String)> {
    let (name, rest) = source.split_once(' ')?;
    let (operator, quoted) = rest.trim_start().split_once(' ')?;
    let test = match operator {
        "eq" => Test::Eq,
        "ne" => Test::Ne,
        "ge" => Test::Ge,
        "le" => Test::Le,
        "gt" => Test::Gt,
        "lt" => Test::Lt,
        _ => return None,
    };
    Some((name, test, literal(quoted)?))
}

/// `'it''s'`
fn literal(text: &str) -> Option<String> {
    let inner = text.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    let plain = inner.replace("''", "");
    (!plain.contains('\'')).then(|| inner.replace("''", "'"))
}

/// Splits at `separator` outside of quotes.
fn split<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let (mut parts, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, character) in text.char_indices() {
        quoted ^= character == '\'';
        if !quoted && at >= start && text[at..].starts_with(separator) {
            parts.push(&text[start..at]);
            start = at + separator.len();
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::store::State;

    fn keeps(filter: &str) -> bool {
        let subscription = Subscription {
            sid: "ws-1".to_owned(),
            scope: "/products/starter".to_owned(),
            display_name: "Ann's, and Bob's".to_owned(),
            state: State::Active,
            owner_id: Some("/users/7".to_owned()),
            allow_tracing: None,
            primary_key: "p".to_owned(),
            secondary_key: "s".to_owned(),
            created_at: std::time::SystemTime::UNIX_EPOCH,
            expiration_date: None,
            state_comment: None,
            etag: String::new(),
        };
        Filter::parse(filter).unwrap().keeps(&subscription)
    }

    #[test]
    fn conditions_are_read_and_joined() {
        for yes in [
            "name eq 'WS-1'",
            "startswith(name,'ws-') and state eq 'active'",
            "substringof('bob', displayName)",
            "displayName eq 'Ann''s, and Bob''s'",
            "contains(displayName, ', and') and name ge 'ws-0'",
            "productId eq 'starter' and userId eq '7' and scope ne '/apis'",
            "endswith(ownerId,'/7')",
        ] {
            assert!(keeps(yes), "{yes}");
        }
        for no in [
            "name eq 'ws-2'",
            "state eq 'submitted'",
            "startswith(name,'s')",
            "name eq 'ws-1' and name lt 'ws-1'",
        ] {
            assert!(!keeps(no), "{no}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let status = |filter: &str| Filter::parse(filter).err().map(|error| error.status);
        for loud in
            ["name eq 'a' or name eq 'b'", "not name eq 'a'", "(name eq 'a')", "name", "", "name eq 7"]
        {
            assert_eq!(status(loud), Some(501), "{loud}");
        }
        assert_eq!(status("primaryKey eq 'a'"), Some(400));
        assert_eq!(status("state ne 'active'"), Some(400));
    }
}

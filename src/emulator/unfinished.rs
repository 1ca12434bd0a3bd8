//! Stands in for a service that is not there yet: answers 501 to everything.

use super::wire::{Request, Response, Service};
use async_trait::async_trait;

/// A service of that name with no operations.
pub(super) struct Unfinished(pub(super) &'static str);

#[async_trait]
impl Service for Unfinished {
    fn name(&self) -> &'static str {
        self.0
    }

    fn operation(&self, _request: &Request) -> Option<&'static str> {
        None
    }

    async fn answer(&self, operation: &'static str, _request: &Request) -> Response {
        Response::new(501, operation)
    }
}

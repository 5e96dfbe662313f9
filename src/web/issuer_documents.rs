//! The built-in issuer's documents, as this room serves them.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use super::{Documents, Unavailable};
use crate::issuer::Issuer;

/// What the built-in issuer publishes.
#[derive(Debug)]
pub struct IssuerDocuments {
    issuer: Arc<Issuer>,
}

impl IssuerDocuments {
    /// The documents of `issuer`.
    pub const fn new(issuer: Arc<Issuer>) -> Self {
        Self { issuer }
    }
}

#[async_trait]
impl Documents for IssuerDocuments {
    fn authorization_server(&self) -> Value {
        value(&self.issuer.metadata())
    }

    fn openid_configuration(&self) -> Value {
        value(&self.issuer.metadata())
    }

    fn protected_resource(&self) -> Value {
        value(&self.issuer.protected_resource())
    }

    fn jwks_path(&self) -> &str {
        Issuer::JWKS_PATH
    }

    async fn jwks(&self) -> Result<Value, Unavailable> {
        self.issuer.jwks().map(|keys| value(&keys)).map_err(|_| Unavailable)
    }
}

/// Structs of texts and lists always have a JSON form.
fn value(document: &impl Serialize) -> Value {
    serde_json::to_value(document).unwrap_or_default()
}

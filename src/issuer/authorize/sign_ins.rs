use std::sync::Arc;

use crate::{directory::PasswordCheck, limits::SignInConfig};

/// Who knows the passwords, and what holds guessing down.
#[derive(Default)]
pub(in crate::issuer) struct SignIns {
    directory: Option<Arc<dyn PasswordCheck>>,
    config: SignInConfig,
}

impl SignIns {
    pub(super) fn new(directory: Arc<dyn PasswordCheck>, config: &SignInConfig) -> Self {
        Self { directory: Some(directory), config: config.clone() }
    }
}

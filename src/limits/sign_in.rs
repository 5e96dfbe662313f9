/// Limits of signing in with a password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignInConfig {
    /// No penalties for loopback addresses.
    pub exempt_loopback: bool,
}

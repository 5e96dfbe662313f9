//! The admin socket.

use std::path::PathBuf;

/// `[admin]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The Unix socket, mode 0600.
    pub socket: PathBuf,
}

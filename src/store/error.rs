use thiserror::Error;

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// What was to be created exists already.
    #[error("{0} exists already")]
    Conflict(String),
    /// A row or the file is not what was once written. The operator must act.
    #[error(
        "the store is damaged: {0}; run `bearward store check`, and restore a backup if it confirms this"
    )]
    Corrupt(String),
    /// The grant takes no more tokens: unknown, revoked, or past its end, or of a client that is denied.
    #[error("the grant has ended")]
    GrantEnded,
    /// A later version of this program has changed the store.
    #[error(
        "the store was written by a newer version of bearward ({0}); install that version, or restore a backup"
    )]
    Newer(String),
    /// It cannot be asked now: locked, full, unreadable, gone.
    #[error("the store cannot be used now: {0}")]
    Unavailable(String),
}

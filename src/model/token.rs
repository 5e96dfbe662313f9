use std::fmt;

/// The row's key of a token in the store: an HKDF output of the token, and no key to anything else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// From its 32 octets.
    pub const fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// Its octets, as stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Shows as much as tells two rows apart in a log.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "TokenHash({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// What an opaque token is for. A token of one kind is never taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// An access token (RFC 6749 §1.4).
    Access,
    /// A refresh token (RFC 6749 §1.5).
    Refresh,
    /// An authorization code (RFC 6749 §1.3.1).
    Code,
    /// A device code (RFC 8628 §3.2).
    Device,
    /// A client secret (RFC 6749 §2.3.1).
    ClientSecret,
    /// A registration access token (RFC 7592 §3).
    Registration,
    /// An initial access token (RFC 7591 §1.2).
    InitialAccess,
    /// A pushed authorization request (RFC 9126 §2.2).
    Pushed,
    /// What ties the pages of one sign-in to one browser.
    Browser,
    /// A password for one program, which a person carries over by hand. Its text has a form of its own.
    AppPassword,
}

impl TokenKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Access,
        Self::Refresh,
        Self::Code,
        Self::Device,
        Self::ClientSecret,
        Self::Registration,
        Self::InitialAccess,
        Self::Pushed,
        Self::Browser,
        Self::AppPassword,
    ];

    /// Its name in the store and in derivation labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
            Self::Code => "code",
            Self::Device => "device",
            Self::ClientSecret => "client secret",
            Self::Registration => "registration",
            Self::InitialAccess => "initial access",
            Self::Pushed => "pushed",
            Self::Browser => "browser",
            Self::AppPassword => "app password",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What a sealed credential is, once opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// The mailbox password.
    Password,
}

impl CredentialKind {
    /// Its name in the store and in the associated data of the sealing.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        (name == Self::Password.as_str()).then_some(Self::Password)
    }
}

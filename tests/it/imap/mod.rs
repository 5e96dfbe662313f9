//! IMAP until login. What a client says is tried at every split of it.

mod bearer;
mod client;
mod commands;
mod dummy_response;
mod greeting;
mod guard;
mod guard_model;
mod hostile_upstream;
mod literals;
mod login;
mod oracle;
mod splits;
mod start_tls;
mod upstream;

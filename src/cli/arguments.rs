//! What may be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::model::SessionId;

/// Lets mail clients sign in to unmodified mail servers with OAuth bearer tokens.
#[derive(Debug, Parser)]
#[command(name = "bearward", version, disable_help_subcommand = true)]
pub(super) struct Arguments {
    /// Configuration file [default: /etc/bearward/bearward.toml, then config/bearward.toml]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print one JSON document instead of text for people
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the default file, the schema, or what is in effect
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show or close the live sessions of the running server
    #[command(subcommand)]
    Session(SessionCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// A commented file that holds every key with its default
    Default,
    /// The JSON Schema of the configuration
    Schema,
    /// What is in effect, secrets masked
    Show,
}

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// The live sessions
    List {
        /// Only of this user
        #[arg(long)]
        user: Option<String>,
    },
    /// Close sessions
    Kill {
        /// Names of sessions, as `session list` and the log show them
        #[arg(required = true, value_name = "SESSION")]
        sessions: Vec<SessionId>,
    },
}

//! What may be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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

//! The command line: one file per command.
//!
//! A command parses, calls the room that knows, and prints: for people by default, one JSON document with `--json`.
//! Exit status: 0 done, 1 it failed, 2 wrong usage or configuration. Only [`output`] writes to standard output, so
//! that a closed pipe is no fault and nothing else is mixed in.

mod app_password;
mod arguments;
mod backend;
mod check;
mod client;
mod config;
mod device;
mod explain;
mod failure;
mod grant;
mod key;
mod mailbox;
mod open;
mod output;
mod secret;
mod serve;
mod session;
mod store;
mod table;
mod token;
mod trial;
mod user;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, error::ErrorKind};

use self::{
    arguments::{Arguments, Command},
    failure::Failure,
    output::Output,
};

/// Runs the command that `arguments` (the program's name first) ask for.
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Known before the arguments are understood, because an error in them is answered in JSON too.
    let output = Output { json: arguments.iter().any(|argument| argument == "--json") };
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            output.text(&error.render().to_string());
            return ExitCode::SUCCESS;
        }
        Err(error) => return output.failure(&Failure::from(error)),
    };
    match Box::pin(dispatch(parsed, output)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.failure(&failure),
    }
}

async fn dispatch(arguments: Arguments, output: Output) -> Result<(), Failure> {
    let file = arguments.config.as_deref();
    match arguments.command {
        Command::AppPassword(command) => app_password::run(command, file, output).await,
        Command::Check { offline } => check::run(offline, file, output).await,
        Command::Explain(command) => explain::run(command, file, output).await,
        Command::Grant(command) => grant::run(command, file, output).await,
        Command::Serve(command) => serve::run(command, file, output).await,
        Command::Store(command) => store::run(command, file, output).await,
        Command::Token(command) => token::run(command, file, output).await,
        Command::Try(command) => trial::run(command, output).await,
        Command::Config(command) => config::run(command, file, output),
        Command::Backend(command) => backend::run(command, file, output).await,
        Command::Session(command) => session::run(command, file, output).await,
        Command::Client(command) => client::run(command, file, output).await,
        Command::Secret(command) => secret::run(command, file, output).await,
        Command::Key(command) => key::run(command, file, output).await,
        Command::User(command) => user::run(command, file, output).await,
    }
}

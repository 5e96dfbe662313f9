use std::path::Path;

use super::{Failure, Output, arguments::ConfigCommand};
use crate::config;

pub(super) fn run(command: ConfigCommand, file: Option<&Path>, output: Output) -> Result<(), Failure> {
    match command {
        ConfigCommand::Default if output.json => {
            let text = config::reference();
            let defaults = config::parse(&text, Path::new("bearward.toml"), [])?;
            output.document(&defaults.to_json());
        }
        ConfigCommand::Default => output.text(&config::reference()),
        ConfigCommand::Schema => output.document(&config::schema()),
        ConfigCommand::Show => {
            let loaded = config::load(file)?;
            if output.json {
                output.document(&loaded.to_json());
            } else {
                output.text(&loaded.to_toml());
            }
        }
    }
    Ok(())
}

use std::path::Path;

use super::{Failure, Output, arguments::Serve};
use crate::{app, config, telemetry};

pub(super) async fn run(command: Serve, file: Option<&Path>, _: Output) -> Result<(), Failure> {
    let loaded = match (command.hostname, command.upstream) {
        (Some(_), Some(_)) if file.is_some() => {
            return Err(Failure::usage(
                "--hostname and --upstream stand in place of a file, and -c names one",
            ));
        }
        (Some(hostname), Some(upstream)) => config::from_flags(&hostname, &upstream, std::env::vars_os())?,
        _ => config::load(file)?,
    };
    let _log = telemetry::init(&loaded.config.telemetry).map_err(Failure::failed)?;
    app::serve(loaded.config, || {}).await.map_err(Failure::failed)
}

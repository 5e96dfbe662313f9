//! Arguments, runtime, application.

use std::process::ExitCode;

fn main() -> ExitCode {
    // An error only says that a provider is installed already.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(bearward::cli::run(std::env::args_os())),
        Err(error) => {
            eprintln!("bearward: cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}

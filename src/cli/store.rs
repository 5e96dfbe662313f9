use std::path::Path;

use super::{Failure, Output, arguments::StoreCommand, check, open};
use crate::{app::CheckLine, store::Location};

pub(super) async fn run(command: StoreCommand, file: Option<&Path>, output: Output) -> Result<(), Failure> {
    let config = open::load(file)?;
    // Opening brings the store to this version's form.
    let (store, _) = open::store(&config).await?;
    match command {
        StoreCommand::Migrate => done(output, "the store has the form of this version"),
        StoreCommand::Backup { file } => {
            refuse_copy(&config.store.location, &file)?;
            store.backup(&file).await.map_err(Failure::failed)?;
            done(output, &format!("written to {}; keep the server key apart from it", file.display()));
        }
        StoreCommand::Check => {
            let items = store.check().await.map_err(Failure::failed)?;
            let line = |item: crate::store::CheckItem| CheckLine {
                what: item.what.to_owned(),
                ok: item.ok,
                detail: item.detail,
            };
            return check::print(&items.into_iter().map(line).collect::<Vec<_>>(), output);
        }
    }
    Ok(())
}

/// PostgreSQL's own tool fits the server's version, asks for the password by itself, and can write elsewhere.
fn refuse_copy(location: &Location, file: &Path) -> Result<(), Failure> {
    let Location::Postgres(address) = location else { return Ok(()) };
    let file = file.display();
    Err(Failure::failed("a PostgreSQL store is copied by PostgreSQL's own tools").help(format!(
        "run pg_dump --format=custom --file={file} {address}, and keep the server key apart from it"
    )))
}

fn done(output: Output, sentence: &str) {
    if output.json {
        output.document(&serde_json::json!({ "detail": sentence }));
    } else {
        output.text(sentence);
    }
}

//! Secrets that stand in a file of their own: every secret `x` may be given as `x_file`.

use std::{fs::File, io::Read, path::Path};

use zeroize::Zeroizing;

use super::{ConfigError, document::Document};

/// Longest secret file in octets; more is surely the wrong file.
const MAX: u64 = 64 << 10;

/// The secret at `path`, written there or in the file that `path` + `_file` names.
///
/// # Errors
/// Both are given, or the file cannot be read, is empty, too long or not UTF-8.
pub(super) fn resolve(
    document: &Document<'_>,
    path: &str,
    written: Option<&str>,
    file: Option<&Path>,
) -> Result<Option<Zeroizing<String>>, ConfigError> {
    let file_key = format!("{path}_file");
    match (written, file) {
        (Some(_), Some(_)) => Err(document
            .error(&file_key, format!("stands beside `{}`", path.rsplit('.').next().unwrap_or(path)))
            .help("keep one of the two")),
        (Some(""), None) => Err(document.error(path, "is empty")),
        (Some(written), None) => Ok(Some(Zeroizing::new(written.to_owned()))),
        (None, Some(file)) => read(file).map(Some).map_err(|message| document.error(&file_key, message)),
        (None, None) => Ok(None),
    }
}

fn read(file: &Path) -> Result<Zeroizing<String>, String> {
    let shown = file.display();
    let opened = File::open(file).map_err(|error| format!("cannot open {shown}: {error}"))?;
    // One buffer of the final size: a growing one would leave copies behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX).unwrap_or_default() + 1));
    opened.take(MAX + 1).read_to_end(&mut octets).map_err(|error| format!("cannot read {shown}: {error}"))?;
    if u64::try_from(octets.len()).is_ok_and(|length| length > MAX) {
        return Err(format!("{shown} is longer than 64 KiB, which no secret is"));
    }
    let text = std::str::from_utf8(&octets).map_err(|_| format!("{shown} is not UTF-8"))?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        return Err(format!("{shown} is empty"));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

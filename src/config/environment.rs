//! `BEARWARD_SECTION__KEY` on top of the file.
//!
//! Two underscores part the names: `BEARWARD_LIMITS__PER_IP`, `BEARWARD_BACKEND__MAIN__LOGIN`. A number picks
//! an element of a list, and the number behind the last adds one: `BEARWARD_LISTENER__0__BIND`. A list may be
//! written as TOML (`["a", "b"]`) or with commas (`a,b`), a table as an inline table of TOML.

use std::{collections::BTreeMap, ffi::OsString};

use zeroize::Zeroizing;

use super::{
    ConfigError,
    document::{Node, Origin, Value},
    reader::nearest,
};

const PREFIX: &str = "BEARWARD_";

/// Puts every variable of ours into the tree. `top` names the keys that may stand without a section.
///
/// # Errors
/// A variable that is not UTF-8, one that leads through something that is neither table nor list, and one
/// without `__` that looks like a misspelt key. Other names without `__` are left alone, because service
/// managers make such (`BEARWARD_SERVICE_HOST`).
pub(super) fn overlay(
    root: &mut Node,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    top: &[&str],
) -> Result<(), ConfigError> {
    let mut ours = BTreeMap::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let Ok(value) = value.into_string() else {
            let mut error = ConfigError::new("is not UTF-8");
            error.key = Some(name.to_owned());
            return Err(error);
        };
        ours.insert(name.to_owned(), Zeroizing::new(value));
    }
    for (name, value) in ours {
        let path = name.trim_start_matches(PREFIX).to_ascii_lowercase();
        let steps: Vec<&str> = path.split("__").collect();
        if let [only] = steps.as_slice()
            && !top.contains(only)
        {
            let Some(meant) = nearest(only, top) else { continue };
            let mut error = ConfigError::new("names no key of the configuration")
                .help(format!("did you mean {PREFIX}{}?", meant.to_ascii_uppercase()));
            error.key = Some(name);
            return Err(error);
        }
        if !set(root, &steps, &value, &Origin::Variable(name.clone())) {
            let mut error = ConfigError::new("leads through a key that holds no table and no list");
            error.key = Some(name);
            return Err(error);
        }
    }
    Ok(())
}

/// Sets the value at `steps`, making tables on the way; `false` when something else is in the way.
fn set(node: &mut Node, steps: &[&str], text: &Zeroizing<String>, origin: &Origin) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        let inline = Node::inline(text, origin).map(Box::new);
        *node = Node { origin: origin.clone(), value: Value::Untyped(text.clone(), inline) };
        return true;
    };
    if let Value::Untyped(_, inner) = &mut node.value {
        let Some(inner) = inner.take() else { return false };
        *node = *inner;
    }
    // A number where there is nothing yet begins a list.
    if step.parse::<usize>().is_ok()
        && let Value::Table(table) = &node.value
        && table.is_empty()
    {
        node.value = Value::Array(Vec::new());
    }
    match &mut node.value {
        Value::Table(table) => {
            let written = table.keys().find(|key| key.eq_ignore_ascii_case(step)).cloned();
            let key = written.unwrap_or_else(|| (*step).to_owned());
            set(table.entry(key).or_insert_with(|| Node::empty(origin.clone())), rest, text, origin)
        }
        Value::Array(items) => {
            let Ok(index) = step.parse::<usize>() else { return false };
            if index == items.len() {
                items.push(Node::empty(origin.clone()));
            }
            items.get_mut(index).is_some_and(|item| set(item, rest, text, origin))
        }
        Value::Boolean(_) | Value::Integer(_) | Value::Other(_) | Value::Text(_) | Value::Untyped(..) => {
            false
        }
    }
}

//! The configuration as a tree that knows where each value came from.

use std::{collections::BTreeMap, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use zeroize::Zeroizing;

use super::ConfigError;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// The line of the file, from 1.
    Line(usize),
    /// The environment variable of that name.
    Variable(String),
    /// Neither: a default, or the command line.
    BuiltIn,
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// A value. Texts are wiped when dropped, because any of them may be a password.
#[derive(Clone)]
pub(super) enum Value {
    Array(Vec<Node>),
    Boolean(bool),
    Integer(i64),
    /// A float or a date: no key takes one.
    Other(&'static str),
    Table(BTreeMap<String, Node>),
    Text(Zeroizing<String>),
    /// Text from the environment, whose kind depends on the key; beside it, what it is when read as TOML.
    Untyped(Zeroizing<String>, Option<Box<Node>>),
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())
    }
}

impl Value {
    /// What it is, for messages.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Array(_) => "a list",
            Self::Boolean(_) => "true or false",
            Self::Integer(_) => "a number",
            Self::Other(kind) => kind,
            Self::Table(_) => "a table",
            Self::Text(_) | Self::Untyped(..) => "a text",
        }
    }
}

impl Node {
    /// An empty table.
    pub(super) const fn empty(origin: Origin) -> Self {
        Self { origin, value: Value::Table(BTreeMap::new()) }
    }

    pub(super) fn text(origin: Origin, text: &str) -> Self {
        Self { origin, value: Value::Text(Zeroizing::new(text.to_owned())) }
    }

    /// A value written as TOML, as in an environment variable; `None` when it is no list and no table.
    pub(super) fn inline(text: &str, origin: &Origin) -> Option<Self> {
        if !text.trim_start().starts_with(['[', '{']) {
            return None;
        }
        let document = Zeroizing::new(format!("x = {text}"));
        let mut table = DeTable::parse(&document).ok()?.into_inner();
        if table.len() != 1 {
            return None;
        }
        let (_, value) = table.iter_mut().next()?;
        Some(Self::build(value, &mut |_| origin.clone()))
    }

    fn build(value: &Spanned<DeValue<'_>>, origin: &mut impl FnMut(usize) -> Origin) -> Self {
        let at = origin(value.span().start);
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(Zeroizing::new(text.to_string())),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Value::Other("a number out of range"), Value::Integer),
            DeValue::Float(_) => Value::Other("a fraction"),
            DeValue::Boolean(flag) => Value::Boolean(*flag),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Array(items) => {
                Value::Array(items.iter().map(|item| Self::build(item, origin)).collect())
            }
            DeValue::Table(table) => Value::Table(Self::build_table(table, origin)),
        };
        Self { origin: at, value }
    }

    fn build_table(table: &DeTable<'_>, origin: &mut impl FnMut(usize) -> Origin) -> BTreeMap<String, Self> {
        table
            .iter()
            .map(|(key, value)| {
                let mut node = Self::build(value, origin);
                // A key is where people look; its value may begin on a later line.
                node.origin = origin(key.span().start);
                (key.get_ref().to_string(), node)
            })
            .collect()
    }
}

/// A whole configuration: the tree, and the file it was read from.
#[derive(Clone, Debug)]
pub(super) struct Document<'a> {
    pub(super) root: Node,
    pub(super) file: Option<&'a Path>,
}

impl<'a> Document<'a> {
    /// Reads TOML.
    pub(super) fn parse(text: &str, file: &'a Path) -> Result<Self, ConfigError> {
        let lines = Lines::new(text);
        let table = DeTable::parse(text).map_err(|error| {
            let line = lines.of(error.span().map_or(0, |span| span.start));
            ConfigError::new(format!("not valid TOML: {}", error.message())).in_file(file).on_line(line)
        })?;
        let root = Node {
            origin: Origin::BuiltIn,
            value: Value::Table(Node::build_table(table.get_ref(), &mut |offset| {
                Origin::Line(lines.of(offset))
            })),
        };
        Ok(Self { root, file: Some(file) })
    }

    /// Where the value at `path` came from, or the nearest table around it that was written.
    pub(super) fn origin(&self, path: &str) -> Origin {
        let mut node = &self.root;
        for step in steps(path) {
            match child(node, &step) {
                Some(next) => node = next,
                None => break,
            }
        }
        node.origin.clone()
    }

    /// Whether the key at `path` was written.
    pub(super) fn has(&self, path: &str) -> bool {
        steps(path).iter().try_fold(&self.root, |node, step| child(node, step)).is_some()
    }

    /// An error about the value at `path`.
    pub(super) fn error(&self, path: &str, message: impl Into<String>) -> ConfigError {
        ConfigError::new(message).at(path, &self.origin(path), self.file)
    }
}

fn child<'a>(node: &'a Node, step: &str) -> Option<&'a Node> {
    match &node.value {
        Value::Table(table) => table.get(step),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        Value::Untyped(_, Some(inner)) => child(inner, step),
        Value::Boolean(_)
        | Value::Integer(_)
        | Value::Other(_)
        | Value::Text(_)
        | Value::Untyped(_, None) => None,
    }
}

/// `listener[2].bind` is `listener`, `2`, `bind`.
fn steps(path: &str) -> Vec<String> {
    path.split(['.', '[']).map(|step| step.trim_end_matches(']').to_owned()).collect()
}

/// From octet offsets to line numbers.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, octet)| *octet == b'\n').map(|(at, _)| at).collect())
    }

    fn of(&self, offset: usize) -> usize {
        self.0.partition_point(|newline| *newline < offset) + 1
    }
}

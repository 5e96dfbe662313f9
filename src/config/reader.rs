//! From the tree to the raw structures: a serde deserializer whose errors know file, line and key, name the
//! nearest known key, and never repeat a value, which could be a password.

use std::{collections::btree_map, fmt, path::Path, slice};

use serde::{
    Deserialize,
    de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};

use super::{
    ConfigError,
    document::{Document, Node, Value},
};

/// Reads the whole tree.
pub(super) fn read<'de, T: Deserialize<'de>>(document: &Document<'_>) -> Result<T, ConfigError> {
    T::deserialize(Reader { node: &document.root, path: String::new(), file: document.file })
}

/// The known name nearest to `name`, when one is near enough to be meant.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

impl de::Error for ConfigError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let kind = match unexpected {
            de::Unexpected::Bool(_) => "true or false",
            de::Unexpected::Unsigned(_) | de::Unexpected::Signed(_) => "a number",
            de::Unexpected::Float(_) => "a fraction",
            de::Unexpected::Char(_) | de::Unexpected::Str(_) => "a text",
            de::Unexpected::Seq => "a list",
            de::Unexpected::Map | de::Unexpected::Enum | de::Unexpected::StructVariant => "a table",
            de::Unexpected::Bytes(_)
            | de::Unexpected::Unit
            | de::Unexpected::Option
            | de::Unexpected::NewtypeStruct
            | de::Unexpected::UnitVariant
            | de::Unexpected::NewtypeVariant
            | de::Unexpected::TupleVariant
            | de::Unexpected::Other(_) => "that",
        };
        Self::new(format!("must be {}, not {kind}", plain(&expected.to_string())))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("must be {}", plain(&expected.to_string())))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::new(format!("must be one of {}", listed(known)))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        let error = Self::new(format!("unknown key `{}`", field.escape_debug()));
        match nearest(field, known) {
            Some(meant) => error.help(format!("did you mean `{meant}`?")),
            None if known.is_empty() => error.help("nothing may stand here"),
            None => error.help(format!("known here: {}", known.join(", "))),
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("`{field}` is missing")).help(format!("write {field} = …"))
    }
}

/// serde's word for what it wants, in words of the configuration.
fn plain(expected: &str) -> &str {
    match expected {
        "a string" | "path string" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more and not too large",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

fn listed(known: &[&str]) -> String {
    known.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// One value being read.
struct Reader<'a> {
    node: &'a Node,
    path: String,
    file: Option<&'a Path>,
}

impl<'a> Reader<'a> {
    fn locate(&self, error: ConfigError) -> ConfigError {
        error.at(&self.path, &self.node.origin, self.file)
    }

    fn wrong(&self, expected: &dyn de::Expected) -> ConfigError {
        let message = format!("must be {}, not {}", plain(&expected.to_string()), self.node.value.kind());
        self.locate(ConfigError::new(message))
    }

    fn below(&self, node: &'a Node, step: &str) -> Self {
        let path = if self.path.is_empty() { step.to_owned() } else { format!("{}.{step}", self.path) };
        Self { node, path, file: self.file }
    }

    /// Reads this value; what its type finds wrong after reading is located here too.
    fn deserialize<'de, T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ConfigError> {
        let here = Reader { node: self.node, path: self.path.clone(), file: self.file };
        seed.deserialize(self).map_err(|error| here.locate(error))
    }

    fn visit_number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        let number = match &self.node.value {
            Value::Integer(number) => *number,
            Value::Untyped(text, _) => text.trim().parse().map_err(|_| self.wrong(&visitor))?,
            Value::Array(_) | Value::Boolean(_) | Value::Other(_) | Value::Table(_) | Value::Text(_) => {
                return Err(self.wrong(&visitor));
            }
        };
        visitor.visit_i64(number).map_err(|error| self.locate(error))
    }

    fn visit_list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match &self.node.value {
            Value::Array(items) => {
                let list = List { reader: &self, items: items.iter(), next: 0 };
                visitor.visit_seq(list).map_err(|error| self.locate(error))
            }
            Value::Untyped(_, Some(inner)) => {
                Reader { node: inner, path: self.path, file: self.file }.visit_list(visitor)
            }
            Value::Untyped(text, None) => {
                let items: Vec<Node> = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| Node::text(self.node.origin.clone(), item))
                    .collect();
                let list = List { reader: &self, items: items.iter(), next: 0 };
                visitor.visit_seq(list).map_err(|error| self.locate(error))
            }
            Value::Boolean(_) | Value::Integer(_) | Value::Other(_) | Value::Table(_) | Value::Text(_) => {
                Err(self.wrong(&visitor))
            }
        }
    }

    fn visit_table<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match &self.node.value {
            Value::Table(table) => {
                let entries = Entries { reader: &self, entries: table.iter(), value: None };
                visitor.visit_map(entries).map_err(|error| self.locate(error))
            }
            Value::Untyped(_, Some(inner)) => {
                Reader { node: inner, path: self.path, file: self.file }.visit_table(visitor)
            }
            Value::Array(_)
            | Value::Boolean(_)
            | Value::Integer(_)
            | Value::Other(_)
            | Value::Text(_)
            | Value::Untyped(_, None) => Err(self.wrong(&visitor)),
        }
    }

    fn as_text(&self, expected: &dyn de::Expected) -> Result<&'a str, ConfigError> {
        match &self.node.value {
            Value::Text(text) | Value::Untyped(text, _) => Ok(text),
            Value::Array(_) | Value::Boolean(_) | Value::Integer(_) | Value::Other(_) | Value::Table(_) => {
                Err(self.wrong(expected))
            }
        }
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
            self.visit_number(visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Reader<'_> {
    type Error = ConfigError;

    numbers! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        match &self.node.value {
            Value::Array(_) => self.visit_list(visitor),
            Value::Boolean(_) => self.deserialize_bool(visitor),
            Value::Integer(_) => self.visit_number(visitor),
            Value::Other(_) => Err(self.wrong(&visitor)),
            Value::Table(_) => self.visit_table(visitor),
            Value::Text(_) | Value::Untyped(..) => self.deserialize_str(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        let flag = match &self.node.value {
            Value::Boolean(flag) => *flag,
            Value::Untyped(text, _) => match text.trim() {
                "true" => true,
                "false" => false,
                _ => return Err(self.wrong(&visitor)),
            },
            Value::Array(_) | Value::Integer(_) | Value::Other(_) | Value::Table(_) | Value::Text(_) => {
                return Err(self.wrong(&visitor));
            }
        };
        visitor.visit_bool(flag).map_err(|error| self.locate(error))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        let text = self.as_text(&visitor)?;
        visitor.visit_str(text).map_err(|error| self.locate(error))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        self.visit_list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ConfigError> {
        self.visit_table(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        self.visit_table(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ConfigError> {
        let text = self.as_text(&listed(known).as_str())?;
        visitor
            .visit_enum(IntoDeserializer::<ConfigError>::into_deserializer(text))
            .map_err(|error| self.locate(error))
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct List<'r, 'a> {
    reader: &'r Reader<'a>,
    items: slice::Iter<'r, Node>,
    next: usize,
}

impl<'de> SeqAccess<'de> for List<'_, '_> {
    type Error = ConfigError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ConfigError> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let step = format!("[{}]", self.next);
        self.next += 1;
        let path = format!("{}{step}", self.reader.path);
        Reader { node: item, path, file: self.reader.file }.deserialize(seed).map(Some)
    }
}

struct Entries<'r, 'a> {
    reader: &'r Reader<'a>,
    entries: btree_map::Iter<'r, String, Node>,
    value: Option<Reader<'r>>,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = ConfigError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ConfigError> {
        let Some((key, node)) = self.entries.next() else { return Ok(None) };
        let value = self.reader.below(node, key);
        let read = seed
            .deserialize(IntoDeserializer::<ConfigError>::into_deserializer(key.as_str()))
            .map_err(|error| value.locate(error))?;
        self.value = Some(value);
        Ok(Some(read))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ConfigError> {
        match self.value.take() {
            Some(value) => value.deserialize(seed),
            None => Err(de::Error::custom("a key without a value")),
        }
    }
}

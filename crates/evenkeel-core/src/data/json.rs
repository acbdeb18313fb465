//! JSON values read strictly: a repeated key is an error here, where serde_json would keep the last one in silence.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::fault::Fault;

/// The one JSON value in `text`. Syntax errors name the column; a repeated key names the key.
pub(crate) fn parse(text: &str) -> Result<Value, Fault> {
    let repeated = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { repeated: &repeated }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| match repeated.into_inner() {
        Some(key) => Fault::new(key, "stands twice in this row", "keep one of the two, so that it is clear which is meant"),
        None => syntax_fault(&error),
    })
}

fn syntax_fault(error: &serde_json::Error) -> Fault {
    let (problem, remedy) = if error.is_eof() {
        ("the row ends inside its JSON".to_owned(), "write each row on one line, or the whole file as one JSON array")
    } else {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        (
            format!("not valid JSON at column {}: {message}", error.column()),
            "write each row as one JSON object with double quotes and no trailing comma",
        )
    };
    Fault::new("", problem, remedy)
}

/// Builds a [`Value`] and remembers the first repeated key.
#[derive(Clone, Copy)]
struct Strict<'a> {
    repeated: &'a RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value_seed(self)?;
            if map.contains_key(&key) {
                self.repeated.borrow_mut().get_or_insert(key);
                return Err(A::Error::custom("repeated key"));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// What a value is, in words for a message.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

//! Typed reading of a JSON object with errors that name the key. `null` counts as absent, as in transformers.

use serde_json::{Map, Value};

use crate::{Error, Result};

/// No dimension of a model that fits a machine is larger; keeps products far from overflow.
const LARGEST_SIZE: u64 = 1 << 24;

/// The keys of one JSON object, read by type.
pub struct Fields<'a> {
    place: &'a str,
    object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// `place` names the file in errors.
    pub fn new(place: &'a str, object: &'a Map<String, Value>) -> Self {
        Self { place, object }
    }

    /// Where `key` stands, for errors.
    pub fn at(&self, key: &str) -> String {
        format!("{}: {key}", self.place)
    }

    /// An error at `key`.
    pub fn problem(&self, key: &str, problem: &str, remedy: &str) -> Error {
        Error::input(self.at(key), problem, remedy)
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|v| !v.is_null())
    }

    fn wrong(&self, key: &str, value: &Value, expected: &str) -> Error {
        let shown: String = value.to_string().chars().take(60).collect();
        self.problem(key, &format!("`{shown}` is not {expected}"), &format!("give {expected}"))
    }

    pub fn present(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub fn object(&self, key: &str) -> Result<Option<&'a Map<String, Value>>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(self.wrong(key, other, "an object")),
        }
    }

    pub fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.as_u64() {
            Some(n) if (1..=LARGEST_SIZE).contains(&n) => Ok(Some(n as usize)),
            _ => Err(self.wrong(key, value, "a whole number from 1 to 16777216")),
        }
    }

    pub fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        Ok(self.optional_size(key)?.unwrap_or(default))
    }

    pub fn size(&self, key: &str) -> Result<usize> {
        self.optional_size(key)?.ok_or_else(|| self.problem(key, "is missing", "give the config.json of a Hugging Face model"))
    }

    pub fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.as_f64() {
            Some(x) if x.is_finite() && x >= 0.0 => Ok(Some(x)),
            _ => Err(self.wrong(key, value, "a number of at least 0")),
        }
    }

    pub fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        Ok(self.optional_number(key)?.unwrap_or(default))
    }

    pub fn number(&self, key: &str) -> Result<f64> {
        self.optional_number(key)?.ok_or_else(|| self.problem(key, "is missing", "give a number"))
    }

    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(b)) => Ok(*b),
            Some(other) => Err(self.wrong(key, other, "true or false")),
        }
    }

    /// Refuses any value of `key` but `supported`.
    pub fn only_flag(&self, key: &str, supported: bool) -> Result<()> {
        if self.flag_or(key, supported)? == supported {
            return Ok(());
        }
        Err(self.problem(key, &format!("{} is not supported", !supported), &format!("only {supported} is")))
    }

    pub fn optional_string(&self, key: &str) -> Result<Option<String>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(s)) => Ok(Some(s.clone())),
            Some(other) => Err(self.wrong(key, other, "a string")),
        }
    }

    /// Refuses any value of `key` outside `supported`; an absent key counts as `default`.
    pub fn only(&self, key: &str, default: &str, supported: &[&str]) -> Result<()> {
        let value = self.optional_string(key)?.unwrap_or_else(|| default.to_owned());
        if supported.contains(&value.as_str()) {
            return Ok(());
        }
        Err(self.problem(key, &format!("`{value}` is not supported"), &format!("supported: {}", supported.join(", "))))
    }

    /// A list of strings; empty when absent.
    pub fn strings(&self, key: &str) -> Result<Vec<String>> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let list = value.as_array().map(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
        match list {
            Some(Some(strings)) => Ok(strings),
            _ => Err(self.wrong(key, value, "a list of strings")),
        }
    }

    /// A token id, or the first of a list.
    pub fn token(&self, key: &str) -> Result<Option<u32>> {
        Ok(self.tokens(key)?.first().copied())
    }

    /// A token id or a list of them. Negative ids (some configurations write −1 for none) count as absent.
    pub fn tokens(&self, key: &str) -> Result<Vec<u32>> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let items = match value {
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let ids: Option<Vec<i64>> = items.iter().map(Value::as_i64).collect();
        let ids = ids.ok_or_else(|| self.wrong(key, value, "a token id or a list of them"))?;
        Ok(ids.into_iter().filter_map(|id| u32::try_from(id).ok()).collect())
    }
}

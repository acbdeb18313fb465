//! Messages to and from JavaScript: plain objects, the same shape as their JSON.

use serde::{Serialize, de::DeserializeOwned};
use serde_wasm_bindgen::Serializer;
use wasm_bindgen::JsValue;

/// The message as a plain JavaScript object, ready for `postMessage`; bytes are a `Uint8Array`.
pub fn to_js<T: Serialize>(message: &T) -> JsValue {
    message
        .serialize(&Serializer::json_compatible().serialize_bytes_as_arrays(false))
        .expect("messages hold only strings, numbers and lists of them")
}

/// The message that `value` is, or a sentence that quotes what it was instead.
pub fn from_js<T: DeserializeOwned>(value: JsValue) -> Result<T, String> {
    let quoted = js_sys::JSON::stringify(&value).map(String::from).unwrap_or_else(|_| format!("{value:?}"));
    serde_wasm_bindgen::from_value(value).map_err(|error| format!("a message is not one of evenkeel's: {quoted} ({error})"))
}

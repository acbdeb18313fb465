//! The few things of the browser that a worker needs, called by name: web-sys's features for them would have every crate below burn
//! compiled anew.

use js_sys::{Array, Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use wasm_bindgen_futures::JsFuture;

/// A property of `object`; undefined where it has none.
pub fn get(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// Calls a method.
///
/// # Errors
/// What it threw, as a sentence.
pub fn call(object: &JsValue, method: &str, args: &[JsValue]) -> Result<JsValue, String> {
    let function: Function = get(object, method).dyn_into().map_err(|_| format!("this browser has no {method}"))?;
    function.apply(object, &args.iter().collect::<Array>()).map_err(said)
}

/// Calls a method and waits for the promise that it gives.
///
/// # Errors
/// As [`call`].
pub async fn ask(object: &JsValue, method: &str, args: &[JsValue]) -> Result<JsValue, String> {
    JsFuture::from(Promise::resolve(&call(object, method, args)?)).await.map_err(said)
}

/// Seconds since the worker began.
pub fn seconds() -> f64 {
    let performance = get(&js_sys::global(), "performance");
    call(&performance, "now", &[]).ok().and_then(|now| now.as_f64()).unwrap_or(0.0) / 1e3
}

/// Bytes that a run may take: what the browser says of the machine, which it rounds and caps, and on the CPU no more than WebAssembly
/// can address. `None` where it says nothing.
pub fn memory(on_cpu: bool) -> Option<u64> {
    const GIB: f64 = (1u64 << 30) as f64;
    const ADDRESSABLE: u64 = 4 << 30;
    let machine = get(&get(&js_sys::global(), "navigator"), "deviceMemory").as_f64().map(|gib| (gib * GIB) as u64);
    if on_cpu { Some(machine.map_or(ADDRESSABLE, |bytes| bytes.min(ADDRESSABLE))) } else { machine }
}

/// Lets the event loop go round: messages that wait are heard, and `seconds` pass.
pub async fn rest(seconds: f64) {
    let promise = Promise::new(&mut |resolve, _| {
        call(&js_sys::global(), "setTimeout", &[resolve.into(), (seconds * 1e3).into()]).expect("every worker has a timer");
    });
    JsFuture::from(promise).await.expect("a timer does not fail");
}

/// Calls `work` every `seconds`, as long as the worker lives.
pub fn every(seconds: f64, work: impl FnMut() + 'static) {
    let closure = Closure::<dyn FnMut()>::new(work);
    let args = [closure.as_ref().clone(), (seconds * 1e3).into()];
    call(&js_sys::global(), "setInterval", &args).expect("every worker has a timer");
    closure.forget();
}

fn said(error: JsValue) -> String {
    let message = get(&error, "message").as_string();
    message.unwrap_or_else(|| js_sys::JSON::stringify(&error).map(String::from).unwrap_or_else(|_| format!("{error:?}")))
}

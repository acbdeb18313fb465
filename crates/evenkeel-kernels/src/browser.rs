//! Subgroups in a browser. wgpu 30 neither reports nor requests them there, so the request is completed on its way to the browser.

use std::cell::Cell;

use js_sys::{Array, Function, Proxy, Reflect, Set};
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};

thread_local! {
    static REQUESTED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a device was requested with subgroups.
pub(crate) fn subgroups_were_requested() -> bool {
    REQUESTED.get()
}

/// From now on every adapter that has subgroups is asked for a device that has them too. Where WebGPU is missing nothing changes.
pub(crate) fn request_subgroups() {
    let found = || -> Result<(JsValue, JsValue), JsValue> {
        let prototype = Reflect::get(&Reflect::get(&js_sys::global(), &"GPUAdapter".into())?, &"prototype".into())?;
        let request = Reflect::get(&prototype, &"requestDevice".into())?;
        Ok((prototype, request))
    };
    let Ok((prototype, request)) = found() else { return };
    let complete =
        Closure::<dyn FnMut(Function, JsValue, Array) -> Result<JsValue, JsValue>>::new(|request: Function, adapter, args: Array| {
            add_subgroups(&adapter, &args.get(0));
            request.apply(&adapter, &args)
        });
    let handler = js_sys::Object::new();
    let completed = Reflect::set(&handler, &"apply".into(), complete.as_ref())
        .and_then(|_| Reflect::set(&prototype, &"requestDevice".into(), &Proxy::new(&request, &handler)));
    debug_assert!(completed.is_ok(), "a plain object and a prototype take a property");
    complete.forget(); // lives as long as the prototype
}

/// Adds the feature to a `GPUDeviceDescriptor`.
fn add_subgroups(adapter: &JsValue, descriptor: &JsValue) {
    let get = |object: &JsValue, name: &str| Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED);
    let has_them = get(adapter, "features").unchecked_into::<Set>().has(&"subgroups".into());
    if let (true, Ok(features)) = (has_them, get(descriptor, "requiredFeatures").dyn_into::<Array>()) {
        features.push(&"subgroups".into());
        REQUESTED.set(true);
    }
}

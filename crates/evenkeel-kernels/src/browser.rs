//! What wgpu 30 does not ask of a browser, asked on its calls' way there: subgroups, which it neither reports nor requests, and pipelines
//! that are compiled asynchronously.

use std::cell::{Cell, RefCell};
use std::future::Future;

use burn::cubecl::dry_run::DryRun;
use js_sys::{Array, Function, Object, Promise, Proxy, Reflect, Set};
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use wasm_bindgen_futures::JsFuture;

thread_local! {
    static REQUESTED: Cell<bool> = const { Cell::new(false) };
    /// What is compiled ahead; `None`: pipelines are compiled as they are asked for.
    static AHEAD: RefCell<Option<Vec<Compiling>>> = const { RefCell::new(None) };
    static STANDS_IN: Cell<bool> = const { Cell::new(false) };
}

/// What a stand-in holds once it is compiled.
const PIPELINE: &str = "pipeline";

/// A pipeline on its way, what stands in for it, and the call that was made for it.
struct Compiling {
    promise: Promise,
    stand_in: Object,
    call: (Function, JsValue, Array),
}

/// Whether a device was requested with subgroups.
pub(crate) fn subgroups_were_requested() -> bool {
    REQUESTED.get()
}

/// From now on every adapter that has subgroups is asked for a device that has them too. Where WebGPU is missing nothing changes.
pub(crate) fn request_subgroups() {
    intercept("GPUAdapter", "requestDevice", |request, adapter, args| {
        add_subgroups(&adapter, &args.get(0));
        request.apply(&adapter, &args)
    });
}

/// Has `instead` called in the place of a method: with the method, its object and its arguments. Where there is no such class nothing
/// changes.
fn intercept(class: &str, method: &str, instead: impl FnMut(Function, JsValue, Array) -> Result<JsValue, JsValue> + 'static) {
    let found = || -> Result<(JsValue, JsValue), JsValue> {
        let prototype = Reflect::get(&Reflect::get(&js_sys::global(), &class.into())?, &"prototype".into())?;
        let native = Reflect::get(&prototype, &method.into())?;
        Ok((prototype, native))
    };
    let Ok((prototype, native)) = found() else { return };
    let closure = Closure::<dyn FnMut(Function, JsValue, Array) -> Result<JsValue, JsValue>>::new(instead);
    let handler = Object::new();
    set(&handler, "apply", closure.as_ref());
    set(&prototype, method, &Proxy::new(&native, &handler));
    closure.forget(); // lives as long as the prototype
}

fn get(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

fn set(object: &JsValue, name: &str, value: &JsValue) {
    Reflect::set(object, &name.into(), value).expect("plain objects and prototypes take any property");
}

/// Adds the feature to a `GPUDeviceDescriptor`.
fn add_subgroups(adapter: &JsValue, descriptor: &JsValue) {
    let has_them = get(adapter, "features").unchecked_into::<Set>().has(&"subgroups".into());
    if let (true, Ok(features)) = (has_them, get(descriptor, "requiredFeatures").dyn_into::<Array>()) {
        features.push(&"subgroups".into());
        REQUESTED.set(true);
    }
}

/// See [`crate::ahead::compile_ahead`]. wgpu asks for pipelines in the way that holds up the GPU's commands until they are compiled; here it
/// gets stand-ins, in whose place the pipelines go to the browser.
pub(crate) async fn compile_ahead<W: Future>(work: W, tell: &mut dyn FnMut(usize, usize)) -> Option<W::Output> {
    if !STANDS_IN.replace(true) {
        intercept("GPUDevice", "createComputePipeline", create);
        intercept("GPUComputePassEncoder", "setPipeline", |native, pass, args| {
            let real = get(&args.get(0), PIPELINE);
            if real.is_undefined() { native.apply(&pass, &args) } else { native.call1(&pass, &real) }
        });
    }
    AHEAD.replace(Some(Vec::new()));
    let output = {
        let _dry_run = DryRun::new();
        work.await
    };
    let ahead = AHEAD.take().expect("it was put there");
    let count = ahead.len();
    for (done, Compiling { promise, stand_in, call: (native, device, args) }) in ahead.into_iter().enumerate() {
        tell(done, count);
        let compiled = match JsFuture::from(promise).await {
            // Asked for in the other way it is told of by the device, as it would be without all this.
            Err(_) => native.apply(&device, &args),
            compiled => compiled,
        };
        set(&stand_in, PIPELINE, &compiled.expect("a device gives pipelines, sound or not"));
    }
    tell(count, count);
    Some(output)
}

fn create(native: Function, device: JsValue, args: Array) -> Result<JsValue, JsValue> {
    AHEAD.with_borrow_mut(|ahead| {
        let Some(ahead) = ahead else { return native.apply(&device, &args) };
        let asynchronous: Function = get(&device, "createComputePipelineAsync").dyn_into()?;
        let promise: Promise = asynchronous.apply(&device, &args)?.dyn_into()?;
        let stand_in = Object::new();
        let of = stand_in.clone();
        let layout = Closure::<dyn FnMut(JsValue) -> Result<JsValue, JsValue>>::new(move |group: JsValue| {
            let pipeline = get(&of, PIPELINE);
            get(&pipeline, "getBindGroupLayout").dyn_into::<Function>()?.call1(&pipeline, &group)
        });
        set(&stand_in, "getBindGroupLayout", layout.as_ref());
        layout.forget(); // lives as long as the pipeline, which cubecl keeps
        ahead.push(Compiling { promise, stand_in: stand_in.clone(), call: (native, device, args) });
        Ok(stand_in.into())
    })
}

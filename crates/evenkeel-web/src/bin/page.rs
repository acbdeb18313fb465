//! The page's side of the worker: spawns it, sends commands and hands its events to `web/main.js`. Computes nothing.

#[cfg(target_family = "wasm")]
fn main() {
    console_error_panic_hook::set_once();
}

#[cfg(not(target_family = "wasm"))]
fn main() {
    eprintln!("This program runs in a browser: build it with `trunk build`.");
}

#[cfg(target_family = "wasm")]
mod session {
    use evenkeel_web::{
        protocol::{FromWorker, ToWorker},
        wire,
    };
    use js_sys::Function;
    use wasm_bindgen::{
        JsCast, JsValue,
        prelude::{Closure, wasm_bindgen},
    };
    use web_sys::{ErrorEvent, MessageEvent, Worker, WorkerOptions, WorkerType};

    /// The file that trunk's loader shim for `bin/worker.rs` is written to.
    const WORKER_SCRIPT: &str = "./worker_loader.js";

    /// One worker and the function that hears from it.
    #[wasm_bindgen]
    pub struct Session {
        worker: Worker,
        _on_message: Closure<dyn FnMut(MessageEvent)>,
        _on_error: Closure<dyn FnMut(ErrorEvent)>,
    }

    #[wasm_bindgen]
    impl Session {
        /// Spawns the worker; `on_event` gets every event as an object with a field `event`.
        #[wasm_bindgen(constructor)]
        pub fn new(on_event: Function) -> Result<Session, JsValue> {
            let options = WorkerOptions::new();
            options.set_type(WorkerType::Module);
            let worker = Worker::new_with_options(WORKER_SCRIPT, &options)?;

            let hear = on_event.clone();
            let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
                let event = wire::from_js(message.data()).unwrap_or_else(|message| FromWorker::Failed { message });
                tell(&hear, &event);
            });
            worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));

            let on_error = Closure::<dyn FnMut(ErrorEvent)>::new(move |error: ErrorEvent| {
                let message = format!("The worker stopped ({}). Reload the page to start it again.", error.message());
                tell(&on_event, &FromWorker::Failed { message });
            });
            worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));

            Ok(Session { worker, _on_message: on_message, _on_error: on_error })
        }

        /// Asks the worker to compare a kernel with its CPU twin.
        pub fn self_check(&self) -> Result<(), JsValue> {
            self.worker.post_message(&wire::to_js(&ToWorker::SelfCheck))
        }
    }

    fn tell(on_event: &Function, event: &FromWorker) {
        if let Err(error) = on_event.call1(&JsValue::NULL, &wire::to_js(event)) {
            wasm_bindgen::throw_val(error);
        }
    }
}

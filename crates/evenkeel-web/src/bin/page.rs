//! The page's side of the worker: spawns it, sends commands and hands its events to `web/page/main.js`. Computes nothing.

#![forbid(unsafe_code)]

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
    use std::rc::Rc;

    use js_sys::{Function, Object, Reflect};
    use wasm_bindgen::{
        JsCast, JsValue,
        prelude::{Closure, wasm_bindgen},
    };
    use web_sys::{ErrorEvent, MessageEvent, Worker, WorkerOptions, WorkerType};

    /// The file that trunk's loader shim for `bin/worker.rs` is written to.
    const WORKER_SCRIPT: &str = "./worker_loader.js";

    /// A worker and the function that hears from it.
    #[wasm_bindgen]
    pub struct Session {
        worker: Worker,
        on_message: Rc<Closure<dyn FnMut(MessageEvent)>>,
        on_error: Rc<Closure<dyn FnMut(ErrorEvent)>>,
    }

    #[wasm_bindgen]
    impl Session {
        /// Spawns the worker; `on_event` gets every event as an object with a field `event`.
        #[wasm_bindgen(constructor)]
        pub fn new(on_event: Function) -> Result<Session, JsValue> {
            let hear = on_event.clone();
            // Events are the worker's own and are handed on as they are.
            let on_message = Rc::new(Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| tell(&hear, &message.data())));
            let on_error = Rc::new(Closure::<dyn FnMut(ErrorEvent)>::new(move |error: ErrorEvent| {
                let message = format!("The worker stopped ({}).", error.message());
                tell(&on_event, &lost(&message));
            }));
            Ok(Session { worker: spawn(&on_message, &on_error)?, on_message, on_error })
        }

        /// Sends a command, an object with a field `command`; the worker answers what is none with a warning.
        pub fn send(&self, command: &JsValue) -> Result<(), JsValue> {
            self.worker.post_message(command)
        }

        /// Ends the worker, whatever it does, and starts another one.
        pub fn restart(&mut self) -> Result<(), JsValue> {
            self.worker.terminate();
            self.worker = spawn(&self.on_message, &self.on_error)?;
            Ok(())
        }
    }

    impl Drop for Session {
        fn drop(&mut self) {
            self.worker.terminate();
        }
    }

    fn spawn(on_message: &Closure<dyn FnMut(MessageEvent)>, on_error: &Closure<dyn FnMut(ErrorEvent)>) -> Result<Worker, JsValue> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(WORKER_SCRIPT, &options)?;
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        Ok(worker)
    }

    /// `evenkeel_core::event::Event::Lost`, which the worker can no longer say itself. The core is not used for it: it would bring burn into
    /// the page.
    fn lost(message: &str) -> JsValue {
        let event = Object::new();
        for (name, value) in [("event", "lost"), ("message", message)] {
            Reflect::set(&event, &name.into(), &value.into()).expect("a plain object takes any property");
        }
        event.into()
    }

    fn tell(on_event: &Function, event: &JsValue) {
        if let Err(error) = on_event.call1(&JsValue::NULL, event) {
            wasm_bindgen::throw_val(error);
        }
    }
}

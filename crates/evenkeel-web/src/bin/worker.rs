//! The dedicated worker: owns the WebGPU device and does all the computing. Follows `protocol.rs`.

#[cfg(target_family = "wasm")]
fn main() {
    worker::start();
}

#[cfg(not(target_family = "wasm"))]
fn main() {
    eprintln!("This program runs in a browser: build it with `trunk build`.");
}

#[cfg(target_family = "wasm")]
mod worker {
    use evenkeel_web::{
        protocol::{FromWorker, ToWorker},
        selfcheck, wire,
    };
    use wasm_bindgen::{JsCast, prelude::Closure};
    use wasm_bindgen_futures::spawn_local;
    use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

    /// Listens, then says so.
    pub fn start() {
        console_error_panic_hook::set_once();
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(|message: MessageEvent| match wire::from_js::<ToWorker>(message.data()) {
            Ok(command) => spawn_local(async { post(&answer(command).await) }),
            Err(message) => post(&FromWorker::Failed { message }),
        });
        scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        on_message.forget(); // lives as long as the worker
        post(&FromWorker::Ready);
    }

    async fn answer(command: ToWorker) -> FromWorker {
        match command {
            ToWorker::SelfCheck => match selfcheck::token_logprob_agrees().await {
                Ok(agreement) => FromWorker::SelfCheckPassed { device: agreement.device, max_error: agreement.max_error },
                Err(message) => FromWorker::Failed { message },
            },
        }
    }

    fn post(event: &FromWorker) {
        scope().post_message(&wire::to_js(event)).expect("a plain object can always be posted");
    }

    fn scope() -> DedicatedWorkerGlobalScope {
        js_sys::global().dyn_into().expect("worker.wasm is loaded by a dedicated worker")
    }
}

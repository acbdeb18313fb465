//! The browser's shell of [`Bench`]: a page of `tools/peers` asks, and gets the lines of JSON that the native program writes.

use wasm_bindgen::{JsError, prelude::wasm_bindgen};

use crate::Bench;

#[wasm_bindgen]
extern "C" {
    /// Milliseconds since the page began.
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;

    #[wasm_bindgen(js_namespace = console)]
    fn error(message: &str);
}

/// A [`Bench`] on the browser's adapter.
#[wasm_bindgen]
pub struct Contender(Bench<fn() -> f64>);

#[wasm_bindgen]
impl Contender {
    /// # Errors
    /// Without an adapter.
    pub async fn open() -> Result<Contender, JsError> {
        construct();
        std::panic::set_hook(Box::new(|panic| error(&panic.to_string())));
        Ok(Self(Bench::new(now as fn() -> f64).await.map_err(|problem| JsError::new(&problem))?))
    }

    pub async fn answer(&mut self, command: String) -> String {
        self.0.answer(&command).await
    }
}

/// Runs the constructors of burn's crates once, as evenkeel does: where nobody names the linker's function, the linker has every call from
/// JavaScript run all of them.
fn construct() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    static ONCE: std::sync::Once = std::sync::Once::new();
    // SAFETY: it takes nothing, and constructors of `inventory` may run at any time.
    ONCE.call_once(|| unsafe { __wasm_call_ctors() });
}

//! Pipelines that a browser compiles ahead of their first use: beside each other, and without holding up what else its GPU does.
//!
//! Natively a pipeline is compiled where it is first launched, which waits for nothing but itself.

use std::future::Future;

/// Has the browser compile the pipelines of the launches that `work` makes; nothing is computed, and whatever `work` reads means
/// nothing. `tell` hears how many there are and how many of them are compiled. → what `work` gives; `None` where nothing is compiled ahead,
/// and then `work` is not begun
pub async fn compile_ahead<W: Future>(work: W, tell: &mut dyn FnMut(usize, usize)) -> Option<W::Output> {
    #[cfg(target_family = "wasm")]
    return crate::browser::compile_ahead(work, tell).await;
    #[cfg(not(target_family = "wasm"))]
    {
        let _ = (work, tell);
        None
    }
}

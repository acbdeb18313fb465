//! Compiling before the first step what it will launch.

use super::run::Trainer;
use super::state::Mark;
use crate::Result;
use crate::event::Event;

/// Where pipelines are compiled ahead ([`evenkeel_kernels::compile_ahead`]), compiles those of a step of `trainer`, which is afterwards as it
/// was.
///
/// # Errors
/// As [`Trainer::rehearse`].
pub(crate) async fn compile_ahead<T: Trainer>(trainer: &mut T, say: &mut dyn FnMut(Event)) -> Result<()> {
    let mark = Mark::of(trainer);
    // Held on to, they are not updated in place.
    let kept: Vec<_> = (trainer.parts().into_iter())
        .map(|(_, model, optimizer)| {
            let weights: Vec<_> = model.params.segments().iter().map(|segment| segment.value.clone()).collect();
            (weights, optimizer.clone())
        })
        .collect();
    let tell = &mut |done, total| say(Event::Compiling { done, total });
    let Some(rehearsed) = evenkeel_kernels::compile_ahead(trainer.rehearse(), tell).await else { return Ok(()) };
    rehearsed?;
    for ((_, model, optimizer), (weights, before)) in trainer.parts().into_iter().zip(kept) {
        *optimizer = before;
        for (segment, weights) in model.params.segments_mut().iter_mut().zip(weights) {
            segment.value = weights;
        }
    }
    mark.restore(trainer);
    Ok(())
}

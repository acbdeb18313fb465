//! What to say of a number that is not finite: the first tensor that holds one, and the rows of the batch that bring it about.

use burn::tensor::Tensor;

use super::forward::read;
use super::optimizer::GradientSum;
use super::run::Trainer;
use crate::error::{Error, Result};
use crate::model::Params;

/// A row of a batch, to be trained on by itself.
pub struct Alone<'a> {
    /// Its place among the rows trained on, from 0.
    row: usize,
    backward: Backward<'a>,
}

/// Adds the row's gradient; its loss `[1]`, `None` where nothing of it is trained on.
type Backward<'a> = Box<dyn FnOnce(&mut GradientSum) -> Option<Tensor<1>> + 'a>;

impl<'a> Alone<'a> {
    /// `backward` adds the row's gradient and gives its loss.
    pub fn new(row: usize, backward: impl FnOnce(&mut GradientSum) -> Option<Tensor<1>> + 'a) -> Self {
        Self { row, backward: Box::new(backward) }
    }
}

/// `error`, a number that is not finite, with all that can be found out about it: each row of the step goes through the weights as they are.
/// Any other error as it is.
///
/// # Errors
/// [`Error::Device`].
pub async fn explain<T: Trainer>(trainer: &mut T, error: Error) -> Result<Error> {
    let Error::NonFinite { step, mut what, mut rows, moved } = error else { return Ok(error) };
    if let Some(name) = bad_weight(trainer).await? {
        return Ok(Error::NonFinite { step, what: format!("weight {name}"), rows, moved });
    }
    let mut first = None;
    for alone in trainer.alone(step) {
        let mut gradient = GradientSum::default();
        let Some(loss) = (alone.backward)(&mut gradient) else { continue };
        let loss = read(vec![loss]).await?;
        let found = match is_finite(&loss[0]) {
            true => bad_gradient(&trainer.model().params, &gradient).await?.map(|name| format!("the gradient of {name}")),
            false => Some("the loss".to_owned()),
        };
        if found.is_some() {
            rows.push(alone.row + 1);
            first = first.or(found);
        }
    }
    rows.sort_unstable();
    rows.dedup();
    what = first.unwrap_or(what);
    Ok(Error::NonFinite { step, what, rows, moved })
}

fn is_finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}

/// The first weight of what is trained that is not finite, `part: name` where there are several models.
async fn bad_weight<T: Trainer>(trainer: &mut T) -> Result<Option<String>> {
    let parts = trainer.parts();
    let several = parts.len() > 1;
    for (part, model, _) in parts {
        let weights = model.params.segments().iter().map(|segment| segment.value.clone()).collect();
        if let Some(name) = bad_part(&model.params, &read(weights).await?) {
            return Ok(Some(if several { format!("{part}: {name}") } else { name }));
        }
    }
    Ok(None)
}

/// The first parameter whose gradient is not finite.
async fn bad_gradient(params: &Params, gradient: &GradientSum) -> Result<Option<String>> {
    let present: Vec<Tensor<1>> = gradient.segments().iter().flatten().cloned().collect();
    let mut values = read(present).await?.into_iter();
    let zeros = |segment: usize| vec![0.0; params.segments()[segment].value.dims()[0]];
    let segments: Vec<Vec<f32>> = gradient
        .segments()
        .iter()
        .enumerate()
        .map(|(i, sum)| sum.as_ref().and_then(|_| values.next()).unwrap_or_else(|| zeros(i)))
        .collect();
    Ok(bad_part(params, &segments))
}

fn bad_part(params: &Params, segments: &[Vec<f32>]) -> Option<String> {
    params.parts(segments).find(|(_, values)| !is_finite(values)).map(|(param, _)| param.name.clone())
}

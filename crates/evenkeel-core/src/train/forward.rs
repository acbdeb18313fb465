//! From a batch to what the losses eat: log-probabilities per token, sums per sequence, scores at the last token.
//!
//! N predictions, S sequences, D model.

use burn::tensor::{Device, Int, Tensor, TensorData, Transaction};
use evenkeel_kernels::{Rows, TokenStats, gather, scatter_sum};

use crate::data::batch::Batch;
use crate::error::Result;
use crate::model::{Input, Model, device_error};

/// A batch on a device: all that forward passes and losses read of it. Uploaded before the first launch, because an upload between
/// launches ends a submission to the GPU.
#[derive(Debug, Clone)]
pub struct Placed {
    input: Input,
    predictors: Rows,
    targets: Tensor<1, Int>,
    /// The sequence of each prediction.
    sequences: Rows,
}

impl Placed {
    /// For `model`, and for any other of its family, vocabulary and context.
    ///
    /// # Panics
    /// When the batch predicts nothing.
    pub fn new(batch: &Batch, model: &Model) -> Self {
        let device = model.device();
        let sequences: Vec<i32> = (0..).zip(&batch.predictions).flat_map(|(s, &count)| vec![s; count]).collect();
        Self {
            input: input(batch, model),
            predictors: Rows::new(&batch.predictors, batch.ids.len(), &device),
            targets: ints(&batch.targets, &device),
            sequences: Rows::new(&sequences, batch.predictions.len(), &device),
        }
    }

    /// The final hidden states of every token, [B·T, D]. Computed once, read by any number of heads.
    pub fn hidden(&self, model: &Model) -> Tensor<2> {
        model.hidden(&self.input)
    }

    /// The hidden states from which the batch predicts a trained token, [N, D].
    pub fn predictors(&self, hidden: Tensor<2>) -> Tensor<2> {
        gather(hidden, &self.predictors)
    }

    /// Log-probability, entropy and whether greedy decoding is right, for each prediction, all `[N]`; from the states of
    /// [`Placed::predictors`].
    pub fn stats(&self, model: &Model, states: Tensor<2>, temperature: f64) -> TokenStats {
        model.token_stats(states, self.targets.clone(), temperature)
    }

    /// As [`Placed::stats`], from the model alone.
    pub fn token_stats(&self, model: &Model, temperature: f64) -> TokenStats {
        self.stats(model, self.predictors(self.hidden(model)), temperature)
    }

    /// Sum over each sequence's predictions: values `[N]` → `[S]`.
    pub fn sequence_sums(&self, values: Tensor<1>) -> Tensor<1> {
        column_sum(values, &self.sequences)
    }
}

/// The tokens of a batch on the model's device.
fn input(batch: &Batch, model: &Model) -> Input {
    let device = model.device();
    let gathered = model.gathered(&batch.ids, &batch.positions);
    let [ids, positions, first, last] = [&batch.ids, &batch.positions, &batch.first, &batch.last].map(Clone::clone);
    Input { gathered, ..Input::new(ids, positions, first, last, batch.rows, batch.time, &device) }
}

/// [`scatter_sum`] of a vector.
fn column_sum(values: Tensor<1>, rows: &Rows) -> Tensor<1> {
    let sums = scatter_sum(values.unsqueeze_dim::<2>(1), rows);
    let count = sums.dims()[0];
    sums.reshape([count])
}

/// Log-probability, entropy and whether greedy decoding is right, for each prediction of the batch, all `[N]`.
pub fn token_stats(model: &Model, batch: &Batch, temperature: f64) -> TokenStats {
    Placed::new(batch, model).token_stats(model, temperature)
}

/// Summed log-probability of each sequence's predictions, `[S]`.
pub fn sequence_logprobs(model: &Model, batch: &Batch) -> Tensor<1> {
    let placed = Placed::new(batch, model);
    placed.sequence_sums(placed.token_stats(model, 1.0).logprob)
}

/// The score head at each sequence's last token that is not the model's padding token, `[S]`: where transformers' and TRL's
/// `*ForSequenceClassification` read it, also when the end token doubles as padding and the score stands before it.
pub fn end_scores(model: &Model, batch: &Batch) -> Tensor<1> {
    let (input, ends) = (input(batch, model), batch.ends_before(model.config.pad));
    let ends = Rows::new(&ends, batch.ids.len(), &model.device());
    model.scores(gather(model.hidden(&input), &ends))
}

/// Host integers on `device`, `[len]`.
pub fn ints(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// Host floats on `device`, `[len]`.
pub fn floats(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// Reads tensors back in one transaction.
///
/// # Errors
/// [`crate::Error::Device`] when the device failed since the last read.
pub async fn read(tensors: Vec<Tensor<1>>) -> Result<Vec<Vec<f32>>> {
    let mut transaction = Transaction::default();
    for tensor in tensors {
        transaction = transaction.register(tensor.inner());
    }
    let data = transaction.execute_async().await.map_err(device_error)?;
    data.into_iter().map(|d| d.try_into_vec::<f32>().map_err(device_error)).collect()
}

/// Mean of the values, 0 of none.
pub fn mean(values: &[f32]) -> f64 {
    let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
    if values.is_empty() { 0.0 } else { sum / values.len() as f64 }
}

//! From a batch to what the losses eat: log-probabilities per token, sums per sequence, scores at the last token.

use burn::tensor::{Int, Tensor, TensorData, Transaction};
use evenkeel_kernels::{Rows, TokenStats, gather};

use crate::data::batch::Batch;
use crate::error::{Error, Result};
use crate::model::{Input, Model};

/// The final hidden states of a batch, [B·T, D]. Computed once, read by any number of heads.
pub fn hidden(model: &Model, batch: &Batch) -> Tensor<2> {
    let device = model.device();
    let gathered = model.gathered(&batch.ids, &batch.positions);
    let input =
        Input::new(batch.ids.clone(), batch.positions.clone(), batch.first.clone(), batch.last.clone(), batch.rows, batch.time, &device);
    model.hidden(&Input { gathered, ..input })
}

/// The hidden states from which the batch predicts a trained token, [N, D].
pub fn predictors(batch: &Batch, hidden: Tensor<2>) -> Tensor<2> {
    let [states, _] = hidden.dims();
    let rows = Rows::new(&batch.predictors, states, &hidden.device());
    gather(hidden, &rows)
}

/// Log-probability, entropy and whether greedy decoding is right, for each prediction of the batch, all `[N]`; from the states
/// of [`predictors`].
pub fn predictions(model: &Model, batch: &Batch, states: Tensor<2>, temperature: f64) -> TokenStats {
    model.token_stats(states, ints(&batch.targets, &model.device()), temperature)
}

/// As [`predictions`], from the batch alone.
pub fn token_stats(model: &Model, batch: &Batch, temperature: f64) -> TokenStats {
    predictions(model, batch, predictors(batch, hidden(model, batch)), temperature)
}

/// Sum over each sequence's predictions: values `[N]` → `[S]`.
pub fn sequence_sums(batch: &Batch, values: Tensor<1>) -> Tensor<1> {
    let (cells, width) = batch.grid();
    let device = values.device();
    let sequences = batch.predictions.len();
    let padded = Tensor::cat(vec![values, Tensor::zeros([1], &device)], 0);
    padded.select(0, ints(&cells, &device)).reshape([sequences, width]).sum_dim(1).reshape([sequences])
}

/// The score head at each sequence's last token that is not the model's padding token, `[S]`: where transformers' and TRL's
/// `*ForSequenceClassification` read it, also when the end token doubles as padding and the score stands before it.
pub fn end_scores(model: &Model, batch: &Batch) -> Tensor<1> {
    let ends = batch.ends_before(model.config.pad);
    model.scores(hidden(model, batch).select(0, ints(&ends, &model.device())))
}

/// Host integers on `device`, `[len]`.
pub fn ints(values: &[i32], device: &burn::tensor::Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// Host floats on `device`, `[len]`.
pub fn floats(values: &[f32], device: &burn::tensor::Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// Reads tensors back in one transaction.
///
/// # Errors
/// [`Error::Device`] when the device failed since the last read.
pub async fn read(tensors: Vec<Tensor<1>>) -> Result<Vec<Vec<f32>>> {
    let mut transaction = Transaction::default();
    for tensor in tensors {
        transaction = transaction.register(tensor.inner());
    }
    let data = transaction.execute_async().await.map_err(|e| Error::Device(e.to_string()))?;
    data.into_iter().map(|d| d.try_into_vec::<f32>().map_err(|e| Error::Device(format!("{e:?}")))).collect()
}

/// Mean of the values, 0 of none.
pub fn mean(values: &[f32]) -> f64 {
    let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
    if values.is_empty() { 0.0 } else { sum / values.len() as f64 }
}

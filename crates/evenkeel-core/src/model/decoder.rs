//! The forward pass of every supported family, from tokens to final hidden states. The blocks are `evenkeel_kernels::block`.
//!
//! Shape letters: B batch, T time, N = B·T, D model.

use burn::tensor::{Int, Tensor};
use evenkeel_kernels::{Positions, Rows, block, block_cached, gather, layer_norm, rms_norm};

use super::Model;
use super::cache::KvCache;
use super::config::Arch;
use super::input::Input;

/// Hidden states after the final norm. → [N, D].
pub fn hidden(model: &Model, input: &Input, mut cache: Option<&mut KvCache>) -> Tensor<2> {
    let shape = model.config.block();
    let positions = positions(model.turns.as_ref(), input);
    let mut x_nd = embed(model, input);
    for layer in 0..model.config.num_layers {
        let weights = model.params.segments()[model.config.block_segment(layer)].value.clone();
        x_nd = match cache.as_deref_mut() {
            None => block(x_nd, weights, &positions, &shape, model.gradient_checkpointing),
            Some(cache) => {
                let start = cache.len();
                cache.update(layer, |kept| block_cached(x_nd, weights, &positions, kept, start, &shape))
            }
        };
    }
    if let Some(cache) = cache {
        cache.advance(input.time);
    }
    let eps = shape.eps;
    match model.config.arch {
        Arch::Gpt2 => {
            let [weight, bias] = ["weight", "bias"].map(|name| model.params.vector(&format!("transformer.ln_f.{name}")));
            layer_norm(x_nd, weight, bias, eps)
        }
        _ => rms_norm(x_nd, model.params.vector("model.norm.weight"), eps),
    }
}

fn embed(model: &Model, input: &Input) -> Tensor<2> {
    let rows_of = |table: &str, rows: Option<&Rows>, indices: &Tensor<2, Int>| {
        let table = model.params.matrix(table);
        match rows {
            Some(rows) => gather(table, rows),
            None => table.select(0, indices.clone().reshape([input.batch * input.time])),
        }
    };
    let gathered = input.gathered.as_ref();
    let ids = gathered.map(|gathered| &gathered.ids);
    match model.config.arch {
        Arch::Gpt2 => {
            let positions = gathered.and_then(|gathered| gathered.positions.as_ref());
            rows_of("transformer.wte.weight", ids, &input.ids) + rows_of("transformer.wpe.weight", positions, &input.positions)
        }
        _ => rows_of("model.embed_tokens.weight", ids, &input.ids),
    }
}

/// What the blocks read besides weights. GPT-2 learns its positions and reads no angles.
fn positions(turns: Option<&Tensor<2>>, input: &Input) -> Positions {
    let turns = turns.cloned().unwrap_or_else(|| Tensor::from_data([[0.0f32]], &input.ids.device()));
    Positions { turns, at: input.positions.clone(), first: input.first.clone(), last: input.last.clone() }
}

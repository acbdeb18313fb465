//! What PyTorch computes on the golden models, on WebGPU: the SFT loss, every gradient, greedy tokens.

use std::collections::HashMap;

use burn::tensor::Tensor;
use evenkeel_core::data::Sequence;
use evenkeel_core::data::batch::Batch;
use evenkeel_core::model::{NamedFiles, Sampling, generate, load};
use evenkeel_core::train::forward::{read, token_stats};
use safetensors::SafeTensors;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::cases::gpu;

include!(concat!(env!("OUT_DIR"), "/golden_files.rs"));

/// As the native parity tests.
const LOSS: f64 = 1e-5;
/// By norm, each parameter by itself; and for gradients that cancel exactly.
const GRADIENT: f64 = 1e-4;
const GRADIENT_ABSOLUTE: f64 = 1e-7;
/// Of each prompt and completion in `greedy_ids`.
const PROMPT_TOKENS: usize = 8;

#[wasm_bindgen_test]
async fn losses_gradients_and_greedy_tokens_equal_pytorch() {
    let gpu = gpu().await;
    if GOLDEN.is_empty() {
        wasm_bindgen_test::console_log!("skipped losses_gradients_and_greedy_tokens_equal_pytorch: no ../shared");
    }
    for (name, config, weights, values) in GOLDEN {
        let files = vec![("config.json".to_string(), config.to_vec()), ("model.safetensors".to_string(), weights.to_vec())];
        let model = load(&NamedFiles { place: (*name).to_string(), files }, &gpu.device).unwrap().model;
        let golden = SafeTensors::deserialize(values).unwrap();

        let trained = model.trainable();
        let loss = -token_stats(&trained, &batch(&golden), 1.0).logprob.mean();
        let gradients = loss.backward();
        let mut wanted = vec![loss];
        wanted.extend(trained.params.segments().iter().map(|segment| Tensor::<1>::from_inner(segment.value.grad(&gradients).unwrap())));
        let mut got = read(wanted).await.unwrap();
        let (loss, want) = (f64::from(got.remove(0)[0]), f64::from(floats(&golden, "sft_loss")[0]));
        assert!((loss - want).abs() <= LOSS + LOSS * want, "{name}: loss {loss}, not {want}");
        let got: HashMap<_, _> = trained.params.parts(&got).map(|(param, values)| (param.name.as_str(), values)).collect();
        let mut compared = 0;
        for parameter in golden.names().into_iter().filter_map(|tensor| tensor.strip_prefix("grad.")) {
            let want = floats(&golden, &format!("grad.{parameter}"));
            let (mut distance, mut norm) = (0.0, 0.0);
            for (&got, &want) in got[parameter].iter().zip(&want) {
                distance += f64::from(got - want).powi(2);
                norm += f64::from(want).powi(2);
            }
            let tolerance = GRADIENT * norm.sqrt() + GRADIENT_ABSOLUTE;
            assert!(distance.sqrt() <= tolerance, "{name}: the gradient of {parameter} is {:e} away", distance.sqrt());
            compared += 1;
        }
        assert_eq!(compared, trained.params.len(), "{name}: every parameter has a golden gradient");

        let want: Vec<u32> = rows(&golden, "greedy_ids")[0].iter().map(|&id| id as u32).collect();
        let (prompt, completion) = want.split_at(PROMPT_TOKENS);
        let sampling = Sampling::greedy(completion.len(), Vec::new());
        let written = generate(&model, &[prompt.to_vec()], &sampling, &[0], &mut |_, _| {}).await.unwrap();
        assert_eq!(written[0].ids, completion, "{name}");
    }
}

/// The golden rows without their padding.
fn batch(golden: &SafeTensors) -> Batch {
    let (ids, mask, labels) = (rows(golden, "input_ids"), rows(golden, "attention_mask"), rows(golden, "labels"));
    let sequence = |b: usize| {
        let real: Vec<usize> = (0..ids[b].len()).filter(|&t| mask[b][t] == 1).collect();
        let ids: Vec<u32> = real.iter().map(|&t| ids[b][t] as u32).collect();
        Sequence { mask: (0..ids.len()).map(|t| t > 0 && labels[b][t] != -100).collect(), ids }
    };
    let sequences: Vec<Sequence> = (0..ids.len()).map(sequence).collect();
    Batch::padded(&sequences.iter().collect::<Vec<_>>())
}

fn floats(golden: &SafeTensors, name: &str) -> Vec<f32> {
    golden.tensor(name).unwrap().data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn rows(golden: &SafeTensors, name: &str) -> Vec<Vec<i64>> {
    let view = golden.tensor(name).unwrap();
    let values: Vec<i64> = view.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect();
    values.chunks_exact(view.shape()[1]).map(<[i64]>::to_vec).collect()
}

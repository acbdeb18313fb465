//! What PyTorch computes on tiny models (`golden/README.md`): logits, log-probs, losses, every gradient, greedy tokens.
//!
//! Everything goes the trainers' way: `data::batch`, `train::forward`, the kernels and `train::maths`.
//! Shape letters: B batch, V vocabulary, N predictions.

use std::collections::HashMap;

use burn::tensor::{Device, Gradients, Tensor};
use evenkeel_core::data::Sequence;
use evenkeel_core::data::batch::Batch;
use evenkeel_core::model::{Model, Sampling, generate};
use evenkeel_core::recipe::{Dpo, DpoLoss};
use evenkeel_core::train::forward::{Placed, end_scores, floats, sequence_logprobs, token_stats};
use evenkeel_core::train::maths::{bradley_terry, dpo_loss};
use evenkeel_kernels::{PairLoss, pair_loss};

use crate::support::{Golden, MODELS, assert_close, devices, distance_and_norm, load, shared};

/// Reference in f64, ours in f32 through two layers: 1e-4 relative, and what f32 leaves of a logit near zero.
const VALUE_RELATIVE: f64 = 1e-4;
const VALUE_ABSOLUTE: f64 = 1e-5;
const LOSS: f64 = 1e-5;
/// By norm, each parameter by itself.
const GRADIENT: f64 = 1e-4;
/// For gradients that cancel exactly, such as a bias before the difference of two scores.
const GRADIENT_ABSOLUTE: f64 = 1e-7;
/// Of each prompt and completion in `greedy_ids`.
const PROMPT_TOKENS: usize = 8;

#[test]
fn sft_equals_pytorch() {
    each("sft_equals_pytorch", |name, _, golden_of, model_of| {
        let golden = golden_of("sft");
        let model = model_of("").trainable();
        assert_logits(name, &model, &golden);
        let labels = golden.rows("labels");
        let batch = padded(&golden, "input_ids", "attention_mask", |b, t| labels[b][t] != -100);
        let loss = -token_stats(&model, &batch, 1.0).logprob.mean();
        assert_loss(name, "sft_loss", &loss, &golden);
        assert_gradients(name, &model, &loss.backward(), &golden);
    });
}

#[test]
fn dpo_equals_pytorch() {
    each("dpo_equals_pytorch", |name, device, golden_of, model_of| {
        let golden = golden_of("dpo");
        let (policy, reference) = (model_of("").trainable(), model_of("-ref"));
        let side = |side: &str| {
            let completion = golden.rows(&format!("{side}_completion_mask"));
            let batch = padded(&golden, &format!("{side}_ids"), &format!("{side}_mask"), |b, t| completion[b][t] == 1);
            let sum = |model: &Model, what: &str| {
                let logps_b = sequence_logprobs(model, &batch);
                assert_values(name, &format!("{what}_{side}_logps"), &logps_b, &golden);
                logps_b
            };
            let (policy_b, reference_b) = (sum(&policy, "policy"), sum(&reference, "ref"));
            let rewards_b = (policy_b.clone() - reference_b.clone()) * Dpo::default().beta;
            assert_values(name, &format!("rewards_{side}"), &rewards_b, &golden);
            let lengths: Vec<f32> = batch.predictions.iter().map(|&n| n as f32).collect();
            [policy_b, reference_b, floats(&lengths, device)]
        };
        let sides = side("chosen").into_iter().zip(side("rejected"));
        let both: Vec<Tensor<1>> = sides.map(|(chosen, rejected)| Tensor::cat(vec![chosen, rejected], 0)).collect();
        let loss = |loss_type, label_smoothing| mean_loss(&both, &dpo_loss(&Dpo { loss_type, label_smoothing, ..Dpo::default() }));
        assert_loss(name, "loss.hinge", &loss(DpoLoss::Hinge, 0.0), &golden);
        assert_loss(name, "loss.ipo", &loss(DpoLoss::Ipo, 0.0), &golden);
        assert_loss(name, "loss.sigmoid_smooth_0.1", &loss(DpoLoss::Sigmoid, 0.1), &golden);
        let sigmoid = loss(DpoLoss::Sigmoid, 0.0);
        assert_loss(name, "loss.sigmoid", &sigmoid, &golden);
        assert_gradients(name, &policy, &sigmoid.backward(), &golden);
    });
}

#[test]
fn reward_equals_pytorch() {
    each("reward_equals_pytorch", |name, device, golden_of, model_of| {
        let golden = golden_of("reward");
        let model = model_of("-rm").trainable();
        let scores = |side: &str| {
            let batch = padded(&golden, &format!("{side}_ids"), &format!("{side}_mask"), |_, _| false);
            let scores_b = end_scores(&model, &batch);
            assert_values(name, &format!("scores_{side}"), &scores_b, &golden);
            scores_b
        };
        let (chosen, rejected) = (scores("chosen"), scores("rejected"));
        let margins: Vec<f32> = golden.floats("margin").iter().map(|&x| x as f32).collect();
        let none = vec![0.0; margins.len()];
        let scores = Tensor::cat(vec![chosen, rejected], 0);
        let loss = |margins: &[f32], centring: f64| {
            let base = floats(&[margins, &none].concat(), device);
            mean_loss(&[scores.clone(), base, scores.ones_like()], &bradley_terry(centring))
        };
        assert_loss(name, "loss_margin", &loss(&margins, 0.0), &golden);
        assert_loss(name, "loss_centered_0.01", &loss(&none, 0.01), &golden);
        let loss = loss(&none, 0.0);
        assert_loss(name, "loss", &loss, &golden);
        assert_gradients(name, &model, &loss.backward(), &golden);
    });
}

/// The mean over the pairs; x, base and lengths \[2P\] each.
fn mean_loss(both: &[Tensor<1>], loss: &PairLoss) -> Tensor<1> {
    let [x, base, lengths] = both else { panic!("three tensors") };
    let weight = x.ones_like().chunk(2, 0).remove(0);
    pair_loss(x.clone(), base.clone(), lengths.clone(), weight, loss).mean()
}

#[test]
fn greedy_tokens_equal_pytorch() {
    each("greedy_tokens_equal_pytorch", |name, _, golden_of, model_of| {
        let want: Vec<u32> = golden_of("sft").rows("greedy_ids")[0].iter().map(|&id| id as u32).collect();
        let (prompt, completion) = want.split_at(PROMPT_TOKENS);
        let sampling = Sampling::greedy(completion.len(), Vec::new());
        let (model, prompts) = (model_of(""), [prompt.to_vec()]);
        let written = pollster::block_on(generate(&model, &prompts, &sampling, &[0], &mut |_, _| {})).unwrap();
        assert_eq!(written[0].ids, completion, "{name}");
    });
}

/// Runs `check` for each model on each device, with readers of its golden files and models.
fn each(test: &str, check: impl Fn(&str, &Device, &dyn Fn(&str) -> Golden, &dyn Fn(&str) -> Model)) {
    let Some(shared) = shared(test) else { return };
    let golden = shared.join("golden");
    for (device_name, device) in devices(test) {
        for name in MODELS {
            let golden_of = |kind: &str| Golden::read(golden.join(format!("{name}.{kind}.safetensors")));
            let model_of = |suffix: &str| load(golden.join(format!("{name}{suffix}")), &device).model;
            check(&format!("{name} on {device_name}"), &device, &golden_of, &model_of);
        }
    }
}

/// The rows of a golden file without their padding as a batch; `trained(b, t)` says which tokens are targets.
fn padded(golden: &Golden, ids: &str, mask: &str, trained: impl Fn(usize, usize) -> bool) -> Batch {
    let rows = golden.sequences(ids, mask).into_iter().enumerate();
    let sequence = |(b, ids): (usize, Vec<u32>)| Sequence { mask: (0..ids.len()).map(|t| t > 0 && trained(b, t)).collect(), ids };
    let sequences: Vec<Sequence> = rows.map(sequence).collect();
    Batch::padded(&sequences.iter().collect::<Vec<_>>())
}

/// Logits and log-probs of every token that another real token follows, and logits of the last.
fn assert_logits(name: &str, model: &Model, golden: &Golden) {
    let batch = padded(golden, "input_ids", "attention_mask", |_, _| true);
    let v = model.config.vocab_size;
    let logits = values(model.logits(Placed::new(&batch, model).hidden(model)));
    for &n in batch.predictors.iter().chain(&batch.ends) {
        let row = n as usize * v..(n as usize + 1) * v;
        let want = &golden.floats("logits")[row.clone()];
        assert_close(&format!("{name} logits {n}"), &logits[row], want, VALUE_RELATIVE, VALUE_ABSOLUTE);
    }
    // Golden log-probs are [B, T − 1]: one fewer a row than the batch's cells.
    let column = |&n: &i32| n as usize - n as usize / batch.time;
    let want: Vec<f64> = batch.predictors.iter().map(|n| golden.floats("token_logprobs")[column(n)]).collect();
    let logprobs = values(token_stats(model, &batch, 1.0).logprob);
    assert_close(&format!("{name} token_logprobs"), &logprobs, &want, VALUE_RELATIVE, VALUE_ABSOLUTE);
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().into_data().try_into_vec::<f32>().unwrap()
}

fn assert_values(name: &str, what: &str, got: &Tensor<1>, golden: &Golden) {
    assert_close(&format!("{name} {what}"), &values(got.clone()), golden.floats(what), VALUE_RELATIVE, VALUE_ABSOLUTE);
}

fn assert_loss(name: &str, what: &str, loss: &Tensor<1>, golden: &Golden) {
    assert_close(&format!("{name} {what}"), &values(loss.clone()), &[golden.scalar(what)], LOSS, LOSS);
}

fn assert_gradients(name: &str, model: &Model, gradients: &Gradients, golden: &Golden) {
    let segments: Vec<Vec<f32>> = model.params.segments().iter().map(|s| values(s.value.grad(gradients).expect("a gradient"))).collect();
    let got: HashMap<_, _> = model.params.parts(&segments).map(|(param, values)| (param.name.as_str(), values)).collect();
    let mut compared = 0;
    for (parameter, want) in golden.gradients() {
        let got = got.get(parameter).unwrap_or_else(|| panic!("{name}: no parameter {parameter}"));
        let (distance, norm) = distance_and_norm(got, want);
        let tolerance = GRADIENT * norm + GRADIENT_ABSOLUTE;
        assert!(distance <= tolerance, "{name}: gradient of {parameter} is {distance:e} away from one of norm {norm:e}");
        compared += 1;
    }
    assert_eq!(compared, model.params.len(), "{name}: every parameter has a golden gradient");
}

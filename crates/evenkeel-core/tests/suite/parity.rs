//! What PyTorch computes on tiny models (`golden/README.md`): logits, log-probs, losses, every gradient, greedy tokens.
//!
//! Shape letters: B batch, T time, V vocabulary, N = B·T.

use burn::tensor::{Device, Gradients, Int, Tensor, TensorData, activation};
use evenkeel_core::model::{Input, Model, Sampling, generate};

use crate::support::{Golden, MODELS, assert_close, devices, distance_and_norm, load, shared};

/// Reference in f64, ours in f32 through two layers: 1e-4 relative, and what f32 leaves of a logit near zero.
const VALUE_RELATIVE: f64 = 1e-4;
const VALUE_ABSOLUTE: f64 = 1e-5;
const LOSS: f64 = 1e-5;
/// By norm, each parameter by itself.
const GRADIENT: f64 = 1e-4;
/// For gradients that cancel exactly, such as a bias before the difference of two scores.
const GRADIENT_ABSOLUTE: f64 = 1e-7;
/// manifest.json
const DPO_BETA: f64 = 0.1;

#[test]
fn sft_equals_pytorch() {
    each("sft_equals_pytorch", |name, device, golden_of, model_of| {
        let golden = golden_of("sft");
        let model = model_of("").trainable();
        let rows = golden.sequences("input_ids", "attention_mask");
        let batch = Batch::new(&rows, device);
        let logits_nv = model.logits(model.hidden(&batch.input));
        let (want, v) = (golden.floats("logits"), model.config.vocab_size);
        let got = values(logits_nv.clone());
        for n in batch.real_positions() {
            assert_close(&format!("{name} logits {n}"), &got[n * v..][..v], &want[n * v..][..v], VALUE_RELATIVE, VALUE_ABSOLUTE);
        }
        let logprobs_bt = batch.logprobs(logits_nv);
        let got = values(logprobs_bt.clone() * batch.real_targets());
        assert_close(&format!("{name} logprobs"), &got, golden.floats("token_logprobs"), VALUE_RELATIVE, VALUE_ABSOLUTE);
        let trained = shifted(&golden.rows("labels"), |label| label != -100);
        let count: f32 = trained.iter().sum();
        let loss = (logprobs_bt * batch.targets(trained)).sum().neg() / count;
        assert_loss(name, "sft_loss", &loss, &golden);
        assert_gradients(name, &model, &loss.backward(), &golden);
    });
}

#[test]
fn dpo_equals_pytorch() {
    each("dpo_equals_pytorch", |name, device, golden_of, model_of| {
        let golden = golden_of("dpo");
        let policy = model_of("").trainable();
        let reference = model_of("-ref");
        let logps = |model: &Model, side: &str| completion_logps(model, &golden, side, device);
        let (pc, pr) = (logps(&policy, "chosen"), logps(&policy, "rejected"));
        let (rc, rr) = (logps(&reference, "chosen"), logps(&reference, "rejected"));
        let sums = [("policy_chosen", &pc), ("policy_rejected", &pr), ("ref_chosen", &rc), ("ref_rejected", &rr)];
        for (what, sum) in sums {
            let want = golden.floats(&format!("{what}_logps"));
            assert_close(&format!("{name} {what}"), &values(sum.clone()), want, VALUE_RELATIVE, 0.0);
        }
        let (chosen, rejected) = (pc - rc, pr - rr);
        for (what, ratio) in [("rewards_chosen", &chosen), ("rewards_rejected", &rejected)] {
            let got = values(ratio.clone() * DPO_BETA);
            assert_close(&format!("{name} {what}"), &got, golden.floats(what), VALUE_RELATIVE, VALUE_ABSOLUTE);
        }
        let margin = (chosen.clone() - rejected.clone()) * DPO_BETA;
        let lose = |x: Tensor<1>| activation::log_sigmoid(x).neg().mean();
        let smooth = lose(margin.clone()) * 0.9 + lose(margin.clone().neg()) * 0.1;
        let hinge = activation::relu(margin.clone().neg() + 1.0).mean();
        let per_token = |ratio: Tensor<1>, side: &str| ratio / lengths(&golden, side, device);
        let normed = per_token(chosen, "chosen") - per_token(rejected, "rejected");
        let ipo = (normed - 1.0 / (2.0 * DPO_BETA)).square().mean();
        let loss = lose(margin);
        let losses = [("loss.sigmoid", &loss), ("loss.sigmoid_smooth_0.1", &smooth), ("loss.hinge", &hinge), ("loss.ipo", &ipo)];
        for (what, value) in losses {
            assert_loss(name, what, value, &golden);
        }
        assert_gradients(name, &policy, &loss.backward(), &golden);
    });
}

#[test]
fn reward_equals_pytorch() {
    each("reward_equals_pytorch", |name, device, golden_of, model_of| {
        let golden = golden_of("reward");
        let model = model_of("-rm").trainable();
        let scores = |side: &str| {
            let rows = golden.sequences(&format!("{side}_ids"), &format!("{side}_mask"));
            let batch = Batch::new(&rows, device);
            let hidden_bd = model.hidden(&batch.input).select(0, batch.last_positions());
            model.scores(hidden_bd)
        };
        let (chosen, rejected) = (scores("chosen"), scores("rejected"));
        for (what, score) in [("scores_chosen", &chosen), ("scores_rejected", &rejected)] {
            assert_close(&format!("{name} {what}"), &values(score.clone()), golden.floats(what), VALUE_RELATIVE, VALUE_ABSOLUTE);
        }
        let margins: Vec<f32> = golden.floats("margin").iter().map(|&x| x as f32).collect();
        let margins = vector(margins, device);
        let difference = chosen.clone() - rejected.clone();
        let lose = |x: Tensor<1>| activation::log_sigmoid(x).neg().mean();
        let loss = lose(difference.clone());
        let centred = loss.clone() + (chosen + rejected).square().mean() * 0.01;
        assert_loss(name, "loss_margin", &lose(difference - margins), &golden);
        assert_loss(name, "loss_centered_0.01", &centred, &golden);
        assert_loss(name, "loss", &loss, &golden);
        assert_gradients(name, &model, &loss.backward(), &golden);
    });
}

#[test]
fn greedy_tokens_equal_pytorch() {
    each("greedy_tokens_equal_pytorch", |name, _, golden_of, model_of| {
        let want: Vec<u32> = golden_of("sft").rows("greedy_ids")[0].iter().map(|&id| id as u32).collect();
        let (prompt, completion) = want.split_at(8);
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

/// Rows padded on the right, and where their tokens are.
struct Batch<'a> {
    rows: &'a [Vec<u32>],
    input: Input,
    device: Device,
}

impl<'a> Batch<'a> {
    fn new(rows: &'a [Vec<u32>], device: &Device) -> Self {
        Self { rows, input: Input::causal(rows, 0, device), device: device.clone() }
    }

    /// Flat positions of real tokens.
    fn real_positions(&self) -> Vec<usize> {
        let time = self.input.time;
        let row = |(b, row): (usize, &Vec<u32>)| (0..row.len()).map(move |t| b * time + t).collect::<Vec<_>>();
        self.rows.iter().enumerate().flat_map(row).collect()
    }

    /// Flat position of each row's last real token.
    fn last_positions(&self) -> Tensor<1, Int> {
        let last = |(b, row): (usize, &Vec<u32>)| (b * self.input.time + row.len() - 1) as i32;
        let at: Vec<i32> = self.rows.iter().enumerate().map(last).collect();
        Tensor::from_data(TensorData::new(at, [self.rows.len()]), &self.device)
    }

    /// log p of the next token. logits [N, V] → [B, T − 1].
    fn logprobs(&self, logits_nv: Tensor<2>) -> Tensor<2> {
        let (b, t) = (self.input.batch, self.input.time);
        let [_, v] = logits_nv.dims();
        let logits = logits_nv.reshape([b, t, v]).narrow(1, 0, t - 1);
        let targets = self.input.ids.clone().narrow(1, 1, t - 1).unsqueeze_dim(2);
        activation::log_softmax(logits, 2).gather(2, targets).reshape([b, t - 1])
    }

    /// 1 where the target is a real token. → [B, T − 1]
    fn real_targets(&self) -> Tensor<2> {
        let real = |row: &Vec<u32>| (1..self.input.time).map(|t| f32::from(u8::from(t < row.len()))).collect::<Vec<_>>();
        self.targets(self.rows.iter().flat_map(real).collect())
    }

    fn targets(&self, mask: Vec<f32>) -> Tensor<2> {
        Tensor::from_data(TensorData::new(mask, [self.input.batch, self.input.time - 1]), &self.device)
    }
}

/// Σ log p of the completion's tokens. → [B]
fn completion_logps(model: &Model, golden: &Golden, side: &str, device: &Device) -> Tensor<1> {
    let rows = golden.sequences(&format!("{side}_ids"), &format!("{side}_mask"));
    let batch = Batch::new(&rows, device);
    let logprobs_bt = batch.logprobs(model.logits(model.hidden(&batch.input)));
    let mask = shifted(&golden.rows(&format!("{side}_completion_mask")), |m| m == 1);
    (logprobs_bt * batch.targets(mask)).sum_dim(1).squeeze_dim(1)
}

/// Completion tokens of each row. → [B]
fn lengths(golden: &Golden, side: &str, device: &Device) -> Tensor<1> {
    let rows = golden.rows(&format!("{side}_completion_mask"));
    vector(rows.iter().map(|row| row.iter().sum::<i64>() as f32).collect(), device)
}

/// Whether each token after the first counts, row after row.
fn shifted(rows: &[Vec<i64>], counts: impl Fn(i64) -> bool) -> Vec<f32> {
    rows.iter().flat_map(|row| row[1..].iter().map(|&x| f32::from(u8::from(counts(x))))).collect()
}

fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let size = values.len();
    Tensor::from_data(TensorData::new(values, [size]), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().into_data().try_into_vec::<f32>().unwrap()
}

fn assert_loss(name: &str, what: &str, loss: &Tensor<1>, golden: &Golden) {
    assert_close(&format!("{name} {what}"), &values(loss.clone()), &[golden.scalar(what)], LOSS, LOSS);
}

fn assert_gradients(name: &str, model: &Model, gradients: &Gradients, golden: &Golden) {
    let mut compared = 0;
    for (parameter, want) in golden.gradients() {
        let param = model.params.get(parameter).unwrap_or_else(|| panic!("{name}: no parameter {parameter}"));
        let got = values(param.value.grad(gradients).unwrap_or_else(|| panic!("{name}: no gradient of {parameter}")));
        let (distance, norm) = distance_and_norm(&got, want);
        let tolerance = GRADIENT * norm + GRADIENT_ABSOLUTE;
        assert!(distance <= tolerance, "{name}: gradient of {parameter} is {distance:e} away from one of norm {norm:e}");
        compared += 1;
    }
    assert_eq!(compared, model.params.len(), "{name}: every parameter has a golden gradient");
}

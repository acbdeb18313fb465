//! Does this device compute what evenkeel means? Every kernel, forward and backward, against its CPU twin, in one readback.

use burn::tensor::{Device, Int, Tensor, TensorData, Transaction};

use crate::sampling::{Drawing, Settings, Start};
use crate::{
    AdamW, Kl, Layout, Responses, Rows, adamw, attention, clip, compile_ahead, draw, gae, gather, gelu, head_logprob, layer_norm,
    linear_bias, ppo_policy_loss, ppo_value_loss, rewards, rms_norm, rope, swiglu, token_logprob, whiten,
};

/// f32 sums in another order differ by a few units in the last place of numbers of this size.
const ABSOLUTE: f64 = 2e-5;
const RELATIVE: f64 = 2e-5;

/// What was tried, and how it went.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub of: &'static str,
    /// Largest difference, in units of the tolerance; infinite where something was not a number.
    pub error: f64,
}

impl Verdict {
    /// Whether the device may be used.
    pub fn passed(&self) -> bool {
        self.error <= 1.0
    }
}

/// Runs every kernel on `device` and on the CPU, in words as models use them, with sizes that fill no tile. `tell` as in
/// [`compile_ahead`].
///
/// # Errors
/// A sentence, where a device cannot be read.
pub async fn selfcheck(device: &Device, tell: &mut dyn FnMut(usize, usize)) -> Result<Vec<Verdict>, String> {
    compile_ahead(async { drop(outputs(device)) }, tell).await;
    let got = read(outputs(device)).await?;
    let want = read(outputs(&Device::flex())).await?;
    Ok(got.iter().zip(&want).map(|((kernel, got), (_, want))| Verdict { of: kernel, error: error(got, want) }).collect())
}

/// The largest difference, in units of the tolerance.
fn error(got: &[f32], want: &[f32]) -> f64 {
    let error = |(&got, &want): (&f32, &f32)| {
        let (got, want) = (f64::from(got), f64::from(want));
        let error = (got - want).abs() / (ABSOLUTE + RELATIVE * want.abs());
        if error.is_nan() { f64::INFINITY } else { error }
    };
    let same_length = if got.len() == want.len() { 0.0 } else { f64::INFINITY };
    got.iter().zip(want).map(error).fold(same_length, f64::max)
}

/// Every kernel's outputs and gradients.
fn outputs(device: &Device) -> [(&'static str, Tensor<1>); 12] {
    let inputs = Inputs { device: device.clone().autodiff() };
    [
        ("attention", inputs.attention()),
        ("linear", inputs.linear()),
        ("token_logprob", inputs.token_logprob()),
        ("head_logprob", inputs.head_logprob()),
        ("gather", inputs.gather()),
        ("ppo_loss", inputs.ppo_losses()),
        ("advantage", inputs.advantages()),
        ("norm", inputs.norms()),
        ("activation", inputs.activations()),
        ("rope", inputs.rope()),
        ("optim", inputs.adamw()),
        ("sampling", inputs.draw()),
    ]
}

async fn read(outputs: [(&'static str, Tensor<1>); 12]) -> Result<Vec<(&'static str, Vec<f32>)>, String> {
    let read = outputs.iter().fold(Transaction::default(), |read, (_, output)| read.register(output.clone()));
    let data = read.execute_async().await.map_err(|error| format!("the device could not be read: {error:?}"))?;
    let values =
        |data: TensorData| data.try_into_vec::<f32>().map_err(|error| format!("the device gave something that is not f32: {error:?}"));
    outputs.iter().zip(data).map(|((kernel, _), data)| Ok((*kernel, values(data)?))).collect()
}

/// Smooth inputs without a pattern that a wrong index could hide in.
struct Inputs {
    device: Device,
}

impl Inputs {
    /// Tracked; different for every `phase`, in ±`height`.
    fn smooth<const D: usize>(&self, shape: [usize; D], phase: f32, height: f32) -> Tensor<D> {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| height * (i as f32 * 0.7 + phase).sin()).collect();
        Tensor::from_data(TensorData::new(values, shape), &self.device).require_grad()
    }

    fn ints<const D: usize>(&self, shape: [usize; D], value: impl Fn(usize) -> i32) -> Tensor<D, Int> {
        let count = shape.iter().product::<usize>();
        Tensor::from_data(TensorData::new((0..count).map(value).collect::<Vec<_>>(), shape), &self.device)
    }

    /// Grouped heads, causal, the second row padded on the left.
    fn attention(&self) -> Tensor<1> {
        let [b, t, h, kv, d] = [2, 19, 4, 2, 8];
        let (q, k, v) = (self.smooth([b, t, h, d], 0.1, 2.0), self.smooth([b, t, kv, d], 0.2, 2.0), self.smooth([b, t, kv, d], 0.3, 1.0));
        let first = self.ints([b, t], |i| if i < t { 0 } else { (i - t).min(3) as i32 });
        let last = self.ints([b, t], |i| (i % t) as i32);
        let out = attention(q.clone(), k.clone(), v.clone(), first, last, 0.4);
        with_gradients(out, |g| [g.of(&q), g.of(&k), g.of(&v)])
    }

    /// Few rows, and more than a panel of them.
    fn linear(&self) -> Tensor<1> {
        let of = |[n, i, o]: [usize; 3]| {
            let (x, w, b) = (self.smooth([n, i], 0.1, 1.0), self.smooth([o, i], 0.4, 1.0), self.smooth([o], 0.9, 1.0));
            let out = linear_bias(x.clone(), w.clone(), b.clone(), Layout::OutIn);
            with_gradients(out, |g| [g.of(&x), g.of(&w), g.of(&b)])
        };
        Tensor::cat([[37, 20, 68], [70, 132, 68]].map(of).to_vec(), 0)
    }

    /// Logits so high that exp overflows unless the row's maximum is taken off first.
    fn token_logprob(&self) -> Tensor<1> {
        let logits = self.smooth([5, 517], 0.3, 100.0);
        let targets = self.ints([5], |i| (i * 129) as i32);
        with_gradients(token_logprob(logits.clone(), targets, 0.9).logprob, |g| [g.of(&logits)])
    }

    fn head_logprob(&self) -> Tensor<1> {
        let (hidden, weight) = (self.smooth([9, 20], 0.1, 1.0), self.smooth([131, 20], 0.5, 1.0));
        let targets = self.ints([9], |i| (i * 16) as i32);
        let out = head_logprob(hidden.clone(), weight.clone(), targets, 1.0);
        let sum = out.logprob + out.entropy;
        with_gradients(sum, |g| [g.of(&hidden), g.of(&weight)])
    }

    fn gather(&self) -> Tensor<1> {
        let table = self.smooth([11, 12], 0.2, 1.0);
        let rows = Rows::new(&[3, 3, 0, 10, 3, 7], 11, &self.device);
        with_gradients(gather(table.clone(), &rows), |g| [g.of(&table)])
    }

    fn ppo_losses(&self) -> Tensor<1> {
        let [x, old, target] = [0.1, 0.5, 2.0].map(|phase| self.smooth([67], phase, 0.6));
        let (old, target) = (old.detach(), target.detach());
        let policy = ppo_policy_loss(x.clone(), old.clone(), target.clone(), 0.2);
        let value = ppo_value_loss(x.clone(), old, target, 0.2);
        with_gradients(policy + value, |g| [g.of(&x)])
    }

    /// Three responses, one with a step past its last token.
    fn advantages(&self) -> Tensor<1> {
        let responses = Responses::new(&[70, 1, 6], &[70, 2, 6], &self.device);
        let [logprobs, reference] = [0.1, 0.5].map(|phase| self.smooth([77], phase, 1.0));
        let (kl, rewards) = rewards(logprobs, reference, self.smooth([3], 1.0, 2.0), &responses, Kl::K3, 0.1);
        let (advantages, returns) = gae(whiten(rewards.clone(), true), self.smooth([78], 2.0, 1.0), &responses, 0.99, 0.95);
        Tensor::cat(vec![kl, rewards, returns, whiten(advantages, false)], 0)
    }

    fn norms(&self) -> Tensor<1> {
        let (x, w, b) = (self.smooth([7, 72], 0.1, 3.0), self.smooth([72], 0.4, 1.0), self.smooth([72], 0.9, 1.0));
        let out = rms_norm(x.clone(), w.clone(), 1e-5) + layer_norm(x.clone(), w.clone(), b.clone(), 1e-5);
        with_gradients(out, |g| [g.of(&x), g.of(&w), g.of(&b)])
    }

    fn activations(&self) -> Tensor<1> {
        let x = self.smooth([7, 40], 0.1, 4.0);
        let out = Tensor::cat(vec![swiglu(x.clone()), gelu(x.clone())], 1);
        with_gradients(out, |g| [g.of(&x)])
    }

    fn rope(&self) -> Tensor<1> {
        let x = self.smooth([2, 5, 3, 8], 0.1, 1.0);
        let (turns, positions) = (self.smooth([6, 8], 0.2, 1.0).detach(), self.ints([2, 5], |i| (i * 7 % 6) as i32));
        with_gradients(rope(x.clone(), turns, positions), |g| [g.of(&x)])
    }

    /// An update whose gradient is clipped.
    fn adamw(&self) -> Tensor<1> {
        let [param, grad, m] = [0.1, 0.6, 1.4].map(|phase| self.smooth([1037], phase, 1.0).inner());
        let v = self.smooth([1037], 2.0, 1.0).inner().abs();
        let cfg = AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1 };
        let rates = cfg.rates(1e-2, 3, &self.device);
        let (param, m, v) = adamw(param, grad.clone(), m, v, clip(&[grad], 1.0, None), rates, 1000, &cfg);
        Tensor::cat(vec![param, m, v], 0)
    }

    /// Two tokens of three rows, every filter on.
    fn draw(&self) -> Tensor<1> {
        let device = self.device.clone().inner();
        let settings = Settings { samples: true, top_k: 9, top_p: 0.9, min_p: 0.01, inv_temperature: 1.1, penalty: 1.2, context: 64 };
        let starts: Vec<_> = (0..3).map(|row| Start { seed: 7 + row, context: &[1, 5], begins: 0 }).collect();
        let mut drawing = Drawing::new(&starts, &[66], 2, 67, &settings, &device);
        for step in 0..2 {
            drawing = draw(self.smooth([3, 67], step as f32, 3.0).inner(), drawing, step, &settings);
        }
        drawing.tokens.float().flatten(0, 1)
    }
}

/// Gradients of one output.
struct Gradients(burn::tensor::Gradients);

impl Gradients {
    fn of<const D: usize>(&self, input: &Tensor<D>) -> Tensor<1> {
        flat(&input.grad(&self.0).expect("the input is tracked"))
    }
}

/// The output, and the gradients of its sum weighted by 1, 2, … on the inputs.
fn with_gradients<const D: usize, const N: usize>(output: Tensor<D>, gradients: impl Fn(&Gradients) -> [Tensor<1>; N]) -> Tensor<1> {
    let output = flat(&output);
    let count = output.dims()[0];
    let weights = Tensor::<1, Int>::arange(1..count as i64 + 1, &output.device()).float() / count as f64;
    let found = Gradients((output.clone() * weights).sum().backward());
    Tensor::cat([output.inner()].into_iter().chain(gradients(&found)).collect(), 0)
}

fn flat<const D: usize>(tensor: &Tensor<D>) -> Tensor<1> {
    let count = tensor.dims().iter().product::<usize>();
    tensor.clone().reshape([count])
}

//! The table of WGSL kernels, their specialisation by `const` lines, and the launch on a cubecl client.
//!
//! A shader file is complete as it stands; the host may only replace the value of a `const NAME = …u;` line, and widen a kernel's
//! word from one number to four.

use std::cell::{Cell, RefCell};
use std::hash::{Hash, Hasher};

use burn::backend::wgpu::{CubeDim, CubeTensor, KernelSource, SourceKernel, SourceTemplate};
use burn::cubecl::CubeCount;
use burn::cubecl::prelude::KernelId;
use burn::cubecl::server::{KernelArguments, MetadataBindingInfo};

/// WebGPU's default limit of workgroups in one dimension of a dispatch.
pub const MAX_GROUPS: usize = 65_535;

/// One shader file: its name below `shaders/` without `.wgsl`, and its text.
#[derive(Debug)]
pub struct Kernel {
    pub name: &'static str,
    pub source: &'static str,
    /// Name of the twin: module and function below `reference`.
    pub twin: &'static str,
}

impl Kernel {
    /// Whether it reads what may be kept in half precision, see [`Specialised::halved`].
    pub fn reads_kept(&self) -> bool {
        self.source.contains(STORED)
    }

    /// Whether it can be widened, see [`Specialised::with_words_of`].
    pub fn has_words(&self) -> bool {
        self.source.contains(NARROW_WORD)
    }
}

macro_rules! kernels {
    ($($constant:ident = $name:literal, twin $twin:literal;)*) => {
        $(pub const $constant: Kernel = Kernel {
            name: $name,
            source: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shaders/", $name, ".wgsl")),
            twin: $twin,
        };)*

        /// Every kernel there is.
        pub const KERNELS: &[Kernel] = &[$($constant),*];
    };
}

kernels! {
    ADVANTAGE_REWARDS = "advantage/rewards", twin "advantage::rewards";
    ADVANTAGE_GAE = "advantage/gae", twin "advantage::gae";
    ADVANTAGE_WHITEN = "advantage/whiten", twin "advantage::whiten";
    ATTENTION_FORWARD = "attention/forward", twin "attention::forward";
    ATTENTION_FORWARD_SUBGROUP = "attention/forward_subgroup", twin "attention::forward";
    ATTENTION_BACKWARD_Q_SUBGROUP = "attention/backward_q_subgroup", twin "attention::backward";
    ATTENTION_BACKWARD_KV_SUBGROUP = "attention/backward_kv_subgroup", twin "attention::backward";
    ATTENTION_BACKWARD_ROWS = "attention/backward_rows", twin "attention::backward";
    ATTENTION_BACKWARD_Q = "attention/backward_q", twin "attention::backward";
    ATTENTION_BACKWARD_KV = "attention/backward_kv", twin "attention::backward";
    ATTENTION_DECODE = "attention/decode", twin "attention::decode";
    ATTENTION_DECODE_SUBGROUP = "attention/decode_subgroup", twin "attention::decode";
    CACHE_PACK = "cache/pack", twin "cache::pack";
    CACHE_UNPACK = "cache/unpack", twin "cache::unpack";
    CEILING_COPY = "ceiling/copy", twin "ceiling::copy";
    CEILING_FMA = "ceiling/fma", twin "ceiling::fma";
    GATHER_FORWARD = "gather/forward", twin "gather::forward";
    GATHER_BACKWARD = "gather/backward", twin "gather::backward";
    LOGPROB_FORWARD = "logprob/forward", twin "logprob::forward";
    LOGPROB_BACKWARD = "logprob/backward", twin "logprob::backward";
    LOSS_PPO_POLICY = "loss/ppo_policy", twin "loss::ppo_policy";
    LOSS_PPO_VALUE = "loss/ppo_value", twin "loss::ppo_value";
    LOSS_PAIR = "loss/pair", twin "loss::pair";
    LOSS_PAIR_BACKWARD = "loss/pair_backward", twin "loss::pair_backward";
    LOSS_TOTAL = "loss/total", twin "loss::total";
    LOSS_SPREAD = "loss/spread", twin "loss::spread";
    MATMUL_TILED = "matmul/tiled", twin "matmul::matmul";
    MATMUL_SUBGROUP = "matmul/subgroup", twin "matmul::matmul";
    MATMUL_PANEL_SUBGROUP = "matmul/panel_subgroup", twin "matmul::matmul";
    MATMUL_SUM_ROWS = "matmul/sum_rows", twin "matmul::sum_rows";
    NORM_FORWARD = "norm/forward", twin "norm::forward";
    NORM_BACKWARD_X = "norm/backward_x", twin "norm::backward_x";
    NORM_BACKWARD_WEIGHT = "norm/backward_weight", twin "norm::backward_weight";
    ACTIVATION_SWIGLU_FORWARD = "activation/swiglu_forward", twin "activation::swiglu_forward";
    ACTIVATION_SWIGLU_BACKWARD = "activation/swiglu_backward", twin "activation::swiglu_backward";
    ACTIVATION_GELU_FORWARD = "activation/gelu_forward", twin "activation::gelu_forward";
    ACTIVATION_GELU_BACKWARD = "activation/gelu_backward", twin "activation::gelu_backward";
    ROPE_ROTATE = "rope/rotate", twin "rope::rotate";
    ROPE_SPLIT = "rope/split", twin "rope::split";
    ROPE_MERGE = "rope/merge", twin "rope::merge";
    SAMPLING_THRESHOLD = "sampling/threshold", twin "sampling::threshold";
    SAMPLING_DRAW = "sampling/draw", twin "sampling::draw";
    OPTIM_SUM_SQUARES = "optim/sum_squares", twin "optim::sum_squares";
    OPTIM_CLIP = "optim/clip", twin "optim::clip";
    OPTIM_ADAMW = "optim/adamw", twin "optim::adamw";
}

/// Numbers of a wide word.
pub const WIDE: usize = 4;
/// The line that says that a kernel can be widened.
const NARROW_WORD: &str = "alias WORD = f32;";
/// Lines that a wide kernel has in place of those of a narrow one, where it has them.
const WIDENED: &[(&str, &str)] = &[
    (NARROW_WORD, "alias WORD = vec4<f32>;"),
    ("const WIDTH = 1u;", "const WIDTH = 4u;"),
    ("fn across(x: WORD) -> f32 { return x; }", "fn across(x: WORD) -> f32 { return x.x + x.y + x.z + x.w; }"),
    ("fn largest_of(x: WORD) -> f32 { return x; }", "fn largest_of(x: WORD) -> f32 { return max(max(x.x, x.y), max(x.z, x.w)); }"),
    ("fn spread(x: f32) -> WORD { return WORD(x); }", "fn spread(x: f32) -> WORD { return x + vec4(0.0, 1.0, 2.0, 3.0); }"),
];

/// How the line begins that says that a kernel can read what is kept in half precision.
const STORED: &str = "alias STORED = ";
/// Lines that a kernel has in place of others where what it reads is kept in half precision.
const HALVED: &[(&str, &str)] = &[
    ("alias STORED = f32;", "alias STORED = u32;"),
    ("alias STORED = vec4<f32>;", "alias STORED = vec2<u32>;"),
    ("-> f32 { return k[at]; }", "-> f32 { return unpack2x16float(k[at / 2u])[at % 2u]; }"),
    ("-> f32 { return v[at]; }", "-> f32 { return unpack2x16float(v[at / 2u])[at % 2u]; }"),
    ("-> vec4<f32> { return k[at]; }", "-> vec4<f32> { return vec4(unpack2x16float(k[at].x), unpack2x16float(k[at].y)); }"),
    ("-> vec4<f32> { return v[at]; }", "-> vec4<f32> { return vec4(unpack2x16float(v[at].x), unpack2x16float(v[at].y)); }"),
];

/// A kernel with the values of its `const` lines.
#[derive(Clone, Debug)]
pub struct Specialised {
    name: &'static str,
    source: &'static str,
    consts: Vec<(&'static str, u32)>,
    words: Words,
    mutation: Option<Mutation>,
}

/// What stands in a kernel's text for its words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Words {
    wide: bool,
    halved: bool,
}

impl Specialised {
    pub fn new(kernel: &Kernel, consts: &[(&'static str, u32)]) -> Self {
        let mutation = MUTATION.with_borrow(|mutation| mutation.clone()).filter(|m| m.kernel == kernel.name);
        Self { name: kernel.name, source: kernel.source, consts: consts.to_vec(), words: Words::default(), mutation }
    }

    /// With words of four numbers where `width` is [`WIDE`].
    pub fn with_words_of(self, width: usize) -> Self {
        Self { words: Words { wide: width == WIDE, ..self.words }, ..self }
    }

    /// Reading what is kept in half precision, where `halved`.
    pub fn halved(self, halved: bool) -> Self {
        Self { words: Words { halved, ..self.words }, ..self }
    }

    /// The WGSL text with each `const NAME = …u;` line set; in a browser with the directives that subgroups need there, which
    /// native compilers refuse (naga 30).
    ///
    /// # Panics
    /// When a line to be replaced is not there exactly once.
    pub fn wgsl(&self) -> String {
        let mut text = match &self.mutation {
            Some(mutation) => mutation.apply(self.source),
            None => self.source.to_owned(),
        };
        for (constant, value) in &self.consts {
            let head = format!("const {constant} = ");
            let matches = text.lines().filter(|line| line.starts_with(&head)).count();
            assert!(matches == 1, "{}: {matches} lines begin with `{head}`, not one", self.name);
            let lines = text.lines().map(|line| match line.starts_with(&head) {
                true => format!("{head}{value}u;"),
                false => line.to_owned(),
            });
            text = lines.collect::<Vec<_>>().join("\n");
        }
        if self.words.wide {
            assert!(text.contains(NARROW_WORD), "{}: has no words", self.name);
            text = WIDENED.iter().fold(text, |text, (narrow, wide)| text.replace(narrow, wide));
        }
        if self.words.halved {
            assert!(text.contains(STORED), "{}: reads nothing that is kept", self.name);
            text = HALVED.iter().fold(text, |text, (whole, half)| text.replace(whole, half));
        }
        // A workgroup that is one subgroup takes every turn together, which a browser's analysis cannot see.
        let directives = ["enable subgroups;\n", "diagnostic(off, subgroup_uniformity);\n"];
        if cfg!(target_family = "wasm") && self.name.ends_with("subgroup") { directives.concat() + &text } else { text }
    }
}

impl Specialised {
    /// What tells one from another: the text follows from the name, and hashing it would cost as much as a launch.
    fn identity(&self) -> (&'static str, &[(&'static str, u32)], Words, Option<&Mutation>) {
        (self.name, &self.consts, self.words, self.mutation.as_ref())
    }
}

impl PartialEq for Specialised {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Specialised {}

impl Hash for Specialised {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl KernelSource for Specialised {
    fn source(&self) -> SourceTemplate {
        crate::pace::compiles();
        SourceTemplate::new(self.wgsl())
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.clone())
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// Numbers of the words in which rows of these lengths can be read: [`WIDE`] where it divides all of them, else 1.
pub(crate) fn width(lengths: &[usize]) -> usize {
    if lengths.iter().all(|length| length.is_multiple_of(WIDE)) { WIDE } else { 1 }
}

/// Launches `groups` workgroups (spread over x and y) with the tensors as bindings 0, 1, … and `params` as the last one.
///
/// # Panics
/// When a tensor is not contiguous: a shader reads rows.
pub(crate) fn launch(kernel: Specialised, groups: usize, tensors: &[&CubeTensor], params: &[u32]) {
    for tensor in tensors {
        assert!(tensor.is_contiguous(), "{}: a binding is not contiguous", kernel.name);
    }
    let client = tensors[0].client.clone();
    let (x, y) = grid(groups);
    let bindings = tensors.iter().map(|tensor| tensor.handle.clone().binding()).collect();
    let arguments = KernelArguments::new().with_buffers(bindings).with_info(MetadataBindingInfo::custom(pack(params)));
    // The workgroup size is in the shader; this one only has to be a valid description.
    let described = CubeDim::new_1d(1);
    let name = kernel.name;
    crate::profile::named(name, || client.launch(Box::new(SourceKernel::new(kernel, described)), CubeCount::Static(x, y, 1), arguments));
    crate::pace::launched(&client);
}

/// A grid of at least `groups` workgroups within the limit of one dimension; shaders skip the surplus.
fn grid(groups: usize) -> (u32, u32) {
    let y = groups.div_ceil(MAX_GROUPS);
    assert!(y <= MAX_GROUPS, "{groups} workgroups do not fit a two-dimensional dispatch");
    (groups.div_ceil(y.max(1)) as u32, y as u32)
}

/// u32 parameters as the little-endian words of cubecl's info buffer.
fn pack(params: &[u32]) -> Vec<u64> {
    params.chunks(2).map(|pair| u64::from(pair[0]) | u64::from(pair.get(1).copied().unwrap_or(0)) << 32).collect()
}

/// A deliberate defect in a shader's text, to prove that its test would catch it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mutation {
    pub kernel: &'static str,
    pub find: &'static str,
    pub replace: &'static str,
}

impl Mutation {
    fn apply(&self, source: &str) -> String {
        let matches = source.matches(self.find).count();
        assert!(matches == 1, "{}: `{}` is there {matches} times, not once", self.kernel, self.find);
        source.replace(self.find, self.replace)
    }
}

/// Which form of a kernel runs, where there are more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Within WebGPU's default limits.
    Default,
    /// With subgroups of 4 lanes or more.
    Subgroup4,
    /// With subgroups of 8 lanes or more.
    Subgroup8,
}

impl Variant {
    /// Lanes of a workgroup that is one subgroup.
    pub(crate) fn subgroup_lanes(self) -> Option<u32> {
        match self {
            Self::Default => None,
            Self::Subgroup4 => Some(4),
            Self::Subgroup8 => Some(8),
        }
    }
}

/// The form that a thread asks for (tests, benchmarks), else the one that suits the adapter.
pub(crate) fn variant() -> Variant {
    VARIANT.get().unwrap_or_else(crate::device::preferred_form)
}

/// Runs `f` with one form of every kernel that has more than one. The caller has probed the adapter
/// ([`crate::device::subgroup_forms`]).
pub fn with_variant<T>(variant: Variant, f: impl FnOnce() -> T) -> T {
    let _asked = ask_for(variant);
    f()
}

/// As [`with_variant`], until what is returned is dropped.
pub fn ask_for(variant: Variant) -> Asked {
    VARIANT.set(Some(variant));
    Asked(())
}

/// See [`ask_for`].
#[derive(Debug)]
#[must_use]
pub struct Asked(());

impl Drop for Asked {
    fn drop(&mut self) {
        VARIANT.set(None);
    }
}

thread_local! {
    static VARIANT: Cell<Option<Variant>> = const { Cell::new(None) };
    static MUTATION: RefCell<Option<Mutation>> = const { RefCell::new(None) };
    static POISON: Cell<bool> = const { Cell::new(false) };
}

/// What a poisoned output holds before the launch: no result of a test is near it.
pub(crate) const POISONED: f32 = 1e30;

/// Whether fresh outputs are to be filled with [`POISONED`].
pub(crate) fn poisoned() -> bool {
    POISON.get()
}

/// Runs `f` with every fresh output of this thread poisoned, so that a number nobody wrote is noticed.  For tests only.
pub fn with_poison<T>(f: impl FnOnce() -> T) -> T {
    POISON.set(true);
    let result = f();
    POISON.set(false);
    result
}

/// Runs `f` with the defect in every launch from this thread, outputs poisoned.  For tests only.
pub fn with_mutation<T>(mutation: Mutation, f: impl FnOnce() -> T) -> T {
    MUTATION.set(Some(mutation));
    let result = with_poison(f);
    MUTATION.set(None);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_cover_every_workgroup_within_the_limit() {
        for groups in [1, 2, MAX_GROUPS - 1, MAX_GROUPS, MAX_GROUPS + 1, 200_003] {
            let (x, y) = grid(groups);
            assert!(x as usize * y as usize >= groups && x as usize <= MAX_GROUPS, "{groups} → {x} × {y}");
        }
    }

    #[test]
    fn parameters_keep_their_order_in_memory() {
        assert_eq!(bytemuck::cast_slice::<u64, u32>(&pack(&[1, 2, 3])), [1, 2, 3, 0]);
    }

    #[test]
    fn only_the_named_const_line_changes() {
        let text = Specialised::new(&ATTENTION_FORWARD, &[("BLOCK", 8), ("HEAD_DIM", 33)]).wgsl();
        let changed: Vec<_> = text.lines().zip(ATTENTION_FORWARD.source.lines()).filter(|(a, b)| a != b).collect();
        assert_eq!(changed.len(), 2);
        assert!(text.contains("const BLOCK = 8u;") && text.contains("const HEAD_DIM = 33u;"));
    }
}

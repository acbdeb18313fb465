//! Shared by the suite: where the references are, which devices to test on, reading and comparing arrays.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::Device;
use evenkeel_core::model::{self, ModelFiles, Pretrained};
use evenkeel_core::train::run::{Files, Store, collect};
use evenkeel_core::{Error, Result};
use safetensors::tensor::{Dtype, SafeTensors};

/// The golden models: GQA, stretched RoPE with a tied head, q/k/v biases, q/k norms, GPT-2.
pub const MODELS: [&str; 5] = ["llama", "llama3-rope", "qwen2", "qwen3", "gpt2"];

/// The folder of references, or a named skip (a failure in CI).
pub fn shared(test: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("EVENKEEL_SHARED").map_or_else(beside, PathBuf::from);
    if folder.join("golden").is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{test}: CI must have {}", folder.display());
    println!("skipped {test}: no ../shared");
    None
}

/// The CPU backend, and the GPU as EVENKEEL_GPU says: `no`, `yes` (a missing adapter fails) or `auto` (it is a named skip).
pub fn devices(test: &str) -> Vec<(&'static str, Device)> {
    let mut devices = vec![("cpu", Device::flex())];
    let wish = std::env::var("EVENKEEL_GPU").unwrap_or_else(|_| "auto".into());
    if wish == "no" {
        println!("skipped {test} on the GPU: EVENKEEL_GPU=no");
        return devices;
    }
    match pollster::block_on(evenkeel_kernels::select(evenkeel_kernels::DeviceChoice::Gpu)) {
        Ok(gpu) => devices.push(("gpu", gpu.device)),
        Err(error) if wish == "yes" => panic!("{test}: {error}"),
        Err(error) => println!("skipped {test} on the GPU: {error}"),
    }
    devices
}

/// A model's folder on disk.
pub struct Folder(pub PathBuf);

impl ModelFiles for Folder {
    fn place(&self) -> String {
        self.0.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn list(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.0).map_err(|e| Error::Storage(e.to_string()))?;
        Ok(entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        std::fs::read(self.0.join(name)).map_err(|e| Error::Storage(e.to_string()))
    }
}

/// A model's folder in memory.
#[derive(Clone, Default)]
pub struct Memory(pub BTreeMap<String, Vec<u8>>);

impl Memory {
    /// A copy of a folder on disk.
    pub fn of(folder: &Folder) -> Self {
        let names = folder.list().unwrap();
        Self(names.into_iter().map(|name| (name.clone(), folder.read(&name).unwrap())).collect())
    }
}

impl ModelFiles for Memory {
    fn place(&self) -> String {
        "memory".into()
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        Ok(self.0[name].clone())
    }
}

/// Folders in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    pub folders: BTreeMap<String, Vec<(String, Vec<u8>)>>,
    /// What was written and removed, in order.
    pub changes: Vec<String>,
}

impl Store for MemoryStore {
    async fn write(&mut self, name: &str, files: impl Files) -> Result<()> {
        self.folders.insert(name.to_string(), collect(files).await?);
        self.changes.push(format!("write {name}"));
        Ok(())
    }

    async fn read_part(&mut self, folder: &str, file: &str, from: u64, most: usize) -> Result<Option<Vec<u8>>> {
        let file = self.folders.get(folder).and_then(|files| files.iter().find(|f| f.0 == file));
        Ok(file.map(|(_, bytes)| bytes.iter().skip(from as usize).take(most).copied().collect()))
    }

    async fn remove_folder(&mut self, name: &str) -> Result<()> {
        self.folders.remove(name);
        self.changes.push(format!("remove {name}"));
        Ok(())
    }
}

/// Loads a model of `../shared`.
pub fn load(folder: PathBuf, device: &Device) -> Pretrained {
    model::load(&Folder(folder), device).unwrap()
}

/// The arrays of a golden file, as f64 or i64, with their shapes.
pub struct Golden {
    floats: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
    integers: BTreeMap<String, (Vec<usize>, Vec<i64>)>,
}

impl Golden {
    pub fn read(path: PathBuf) -> Self {
        let bytes = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut golden = Self { floats: BTreeMap::new(), integers: BTreeMap::new() };
        for (name, view) in file.tensors() {
            let shape = view.shape().to_vec();
            match view.dtype() {
                Dtype::F32 => {
                    let values = view.data().chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())));
                    golden.floats.insert(name, (shape, values.collect()));
                }
                Dtype::I64 => {
                    let values = view.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()));
                    golden.integers.insert(name, (shape, values.collect()));
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        golden
    }

    pub fn floats(&self, name: &str) -> &[f64] {
        &self.floats[name].1
    }

    pub fn scalar(&self, name: &str) -> f64 {
        self.floats[name].1[0]
    }

    /// Rows of an integer matrix.
    pub fn rows(&self, name: &str) -> Vec<Vec<i64>> {
        let (shape, values) = &self.integers[name];
        values.chunks_exact(shape[1]).map(<[i64]>::to_vec).collect()
    }

    /// Rows of token ids without their padding.
    pub fn sequences(&self, ids: &str, mask: &str) -> Vec<Vec<u32>> {
        let real = |(ids, mask): (Vec<i64>, Vec<i64>)| {
            let kept = ids.into_iter().zip(mask).filter(|(_, m)| *m == 1);
            kept.map(|(id, _)| id as u32).collect()
        };
        self.rows(ids).into_iter().zip(self.rows(mask)).map(real).collect()
    }

    /// Names and values of the gradients.
    pub fn gradients(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.floats.iter().filter_map(|(name, (_, values))| Some((name.strip_prefix("grad.")?, values.as_slice())))
    }
}

/// Asserts |got − want| ≤ absolute + relative·|want| for every element; NaN fails.
pub fn assert_close(what: &str, got: &[f32], want: &[f64], relative: f64, absolute: f64) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(g) - w).abs();
        assert!(error <= absolute + relative * w.abs(), "{what}[{i}]: got {g}, want {w}, error {error:e}");
    }
}

/// ‖got − want‖ and ‖want‖.
pub fn distance_and_norm(got: &[f32], want: &[f64]) -> (f64, f64) {
    assert_eq!(got.len(), want.len(), "length");
    let difference: f64 = got.iter().zip(want).map(|(&g, &w)| (f64::from(g) - w).powi(2)).sum();
    let norm: f64 = want.iter().map(|w| w * w).sum();
    (difference.sqrt(), norm.sqrt())
}

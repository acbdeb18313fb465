//! Run folders in the browser's own storage (origin private file system), written whole or not at all.
//!
//! A folder has two slots and a file `CURRENT` of one byte that names the one in use; a new version is written into the other slot, and
//! only when all of it is there does the byte change. One worker at a time has the storage: two tabs would write over each other.

use evenkeel_core::train::run::{Files, Store};
use evenkeel_core::{Error, Result};
use js_sys::{ArrayBuffer, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use wasm_bindgen_futures::JsFuture;

use crate::browser::{ask, call, get};

const CURRENT: &str = "CURRENT";
const SLOTS: [&str; 2] = ["0", "1"];
/// The lock that the storage's worker holds as long as it lives, and for how long another waits for it: one that ended lets go of it late.
const LOCK: &str = "evenkeel";
const PATIENCE_MS: u32 = 2000;

/// The origin's storage; without one, nothing is kept and nothing is found.
pub struct OpfsStore {
    root: Option<JsValue>,
    /// Why there is none, as a sentence.
    reason: Option<&'static str>,
}

impl OpfsStore {
    /// Opens `evenkeel/` in it.
    pub async fn open() -> Self {
        if !taken().await {
            let reason = "Another tab has this page's storage: a reload of this one loses the run. Close the other tab and reload to go on with what it kept.";
            return Self { root: None, reason: Some(reason) };
        }
        let storage = get(&get(&js_sys::global(), "navigator"), "storage");
        let root = match ask(&storage, "getDirectory", &[]).await {
            Ok(root) => folder(&root, "evenkeel", true).await.ok(),
            Err(_) => None,
        };
        let reason = root.is_none().then_some("This browser gives the page no storage: a reload loses the run.");
        Self { root, reason }
    }

    /// Why nothing can be kept, where that is so.
    pub fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// The handle of a folder such as `models/sft`; `None` where there is none and none is made.
    async fn at(&self, name: &str, make: bool) -> std::result::Result<Option<JsValue>, String> {
        let Some(mut place) = self.root.clone() else { return Ok(None) };
        for part in name.split('/') {
            match folder(&place, part, make).await {
                Ok(inner) => place = inner,
                Err(_) if !make => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(place))
    }

    async fn put(&self, name: &str, mut files: impl Files) -> Result<()> {
        let failed = |problem: String| Error::Storage(format!("{name}: {problem}"));
        let Some(place) = self.at(name, true).await.map_err(failed)? else { return Ok(()) };
        let slot = if current(&place).await.as_deref() == Some(SLOTS[0]) { SLOTS[1] } else { SLOTS[0] };
        remove(&place, slot).await;
        let inner = folder(&place, slot, true).await.map_err(failed)?;
        let mut open: Option<(String, OpenFile)> = None;
        while let Some((file, bytes)) = files.next().await? {
            let mut at = match open.take() {
                Some((last, at)) if last == file => at,
                _ => OpenFile::create(&inner, &file).await.map_err(failed)?,
            };
            at.append(&bytes).map_err(failed)?;
            open = Some((file, at));
        }
        // Closed before the byte changes.
        drop(open);
        write_file(&place, CURRENT, slot.as_bytes()).await.map_err(failed)
    }

    async fn find(&self, name: &str, file: &str, from: u64, most: usize) -> std::result::Result<Option<Vec<u8>>, String> {
        let Some(place) = self.at(name, false).await? else { return Ok(None) };
        let Some(slot) = current(&place).await else { return Ok(None) };
        match folder(&place, &slot, false).await {
            Ok(inner) => Ok(read_file(&inner, file, from, most).await),
            Err(_) => Ok(None),
        }
    }
}

impl Store for OpfsStore {
    async fn write(&mut self, name: &str, files: impl Files) -> Result<()> {
        self.put(name, files).await
    }

    async fn read_part(&mut self, folder: &str, file: &str, from: u64, most: usize) -> Result<Option<Vec<u8>>> {
        self.find(folder, file, from, most).await.map_err(|problem| Error::Storage(format!("{folder}/{file}: {problem}")))
    }

    async fn remove_folder(&mut self, name: &str) -> Result<()> {
        let (parent, last) = name.rsplit_once('/').unwrap_or(("", name));
        let place = if parent.is_empty() { Ok(self.root.clone()) } else { self.at(parent, false).await };
        if let Some(place) = place.map_err(Error::Storage)? {
            remove(&place, last).await;
        }
        Ok(())
    }
}

/// Whether this worker has the storage to itself from now on. A browser without locks cannot say.
async fn taken() -> bool {
    let locks = get(&get(&js_sys::global(), "navigator"), "locks");
    let patience = call(&get(&js_sys::global(), "AbortSignal"), "timeout", &[PATIENCE_MS.into()]);
    let (false, Ok(patience)) = (locks.is_undefined(), patience) else { return true };
    let answer = Promise::new(&mut |resolve, _| {
        let say = move |granted: bool| drop(resolve.call1(&JsValue::NULL, &granted.into()).expect("a promise can be resolved"));
        let (granted, refused) = (say.clone(), say.clone());
        // The lock is held until the promise that this returns is kept: never.
        let hold = Closure::once_into_js(move |_lock: JsValue| {
            granted(true);
            Promise::new(&mut |_, _| {})
        });
        let refused = Closure::once_into_js(move |_timeout: JsValue| refused(false));
        let request = call(&locks, "request", &[LOCK.into(), options("signal", patience.clone()), hold]);
        if request.and_then(|request| call(&request, "catch", &[refused])).is_err() {
            say(true);
        }
    });
    JsFuture::from(answer).await.is_ok_and(|granted| granted.is_truthy())
}

async fn folder(place: &JsValue, name: &str, create: bool) -> std::result::Result<JsValue, String> {
    ask(place, "getDirectoryHandle", &[name.into(), options("create", create)]).await
}

/// The slot in use.
async fn current(place: &JsValue) -> Option<String> {
    read_file(place, CURRENT, 0, 1).await.and_then(|bytes| String::from_utf8(bytes).ok())
}

/// At most `most` bytes of a file, from byte `from` on.
async fn read_file(place: &JsValue, name: &str, from: u64, most: usize) -> Option<Vec<u8>> {
    let handle = ask(place, "getFileHandle", &[name.into()]).await.ok()?;
    let file = ask(&handle, "getFile", &[]).await.ok()?;
    let [from, to] = [from as f64, from as f64 + most as f64].map(JsValue::from);
    let part = call(&file, "slice", &[from, to]).ok()?;
    let buffer: ArrayBuffer = ask(&part, "arrayBuffer", &[]).await.ok()?.dyn_into().ok()?;
    Some(Uint8Array::new(&buffer).to_vec())
}

async fn write_file(place: &JsValue, name: &str, bytes: &[u8]) -> std::result::Result<(), String> {
    OpenFile::create(place, name).await?.append(bytes)
}

/// A file that is being written; closed when it is dropped.
struct OpenFile {
    handle: JsValue,
    length: usize,
}

impl OpenFile {
    /// A new file, or one that is written over: `CURRENT`, which is never empty in between.
    async fn create(place: &JsValue, name: &str) -> std::result::Result<Self, String> {
        let file = ask(place, "getFileHandle", &[name.into(), options("create", true)]).await?;
        Ok(Self { handle: ask(&file, "createSyncAccessHandle", &[]).await?, length: 0 })
    }

    /// Writes and flushes.
    fn append(&mut self, bytes: &[u8]) -> std::result::Result<(), String> {
        call(&self.handle, "write", &[Uint8Array::from(bytes).into(), options("at", self.length as f64)])?;
        self.length += bytes.len();
        call(&self.handle, "flush", &[]).map(drop)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        // What was flushed is written.
        let _ = call(&self.handle, "close", &[]);
    }
}

/// Removes a file or folder that may not be there.
async fn remove(place: &JsValue, name: &str) {
    ask(place, "removeEntry", &[name.into(), options("recursive", true)]).await.ok();
}

/// `{name: value}`
fn options(name: &str, value: impl Into<JsValue>) -> JsValue {
    let object = Object::new();
    Reflect::set(&object, &name.into(), &value.into()).expect("a plain object takes any property");
    object.into()
}

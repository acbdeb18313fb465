//! Run folders in the browser's own storage (origin private file system), written whole or not at all.
//!
//! A folder has two slots and a file `CURRENT` of one byte that names the one in use; a new version is written into the other slot, and
//! only when all of it is there does the byte change.

use evenkeel_core::train::run::Store;
use evenkeel_core::{Error, Result};
use js_sys::{ArrayBuffer, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};

use crate::browser::{ask, call, get};

const CURRENT: &str = "CURRENT";
const SLOTS: [&str; 2] = ["0", "1"];

/// The origin's storage; without one, nothing is kept and nothing is found.
pub struct OpfsStore {
    root: Option<JsValue>,
}

impl OpfsStore {
    /// Opens `evenkeel/` in it.
    pub async fn open() -> Self {
        let storage = get(&get(&js_sys::global(), "navigator"), "storage");
        let root = match ask(&storage, "getDirectory", &[]).await {
            Ok(root) => folder(&root, "evenkeel", true).await.ok(),
            Err(_) => None,
        };
        Self { root }
    }

    /// Whether anything can be kept.
    pub fn keeps(&self) -> bool {
        self.root.is_some()
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

    async fn write(&self, name: &str, files: &[(String, Vec<u8>)]) -> std::result::Result<(), String> {
        let Some(place) = self.at(name, true).await? else { return Ok(()) };
        let slot = if current(&place).await.as_deref() == Some(SLOTS[0]) { SLOTS[1] } else { SLOTS[0] };
        remove(&place, slot).await;
        let inner = folder(&place, slot, true).await?;
        for (file, bytes) in files {
            write_file(&inner, file, bytes).await?;
        }
        write_file(&place, CURRENT, slot.as_bytes()).await
    }

    async fn find(&self, name: &str, file: &str) -> std::result::Result<Option<Vec<u8>>, String> {
        let Some(place) = self.at(name, false).await? else { return Ok(None) };
        let Some(slot) = current(&place).await else { return Ok(None) };
        match folder(&place, &slot, false).await {
            Ok(inner) => Ok(read_file(&inner, file).await),
            Err(_) => Ok(None),
        }
    }
}

impl Store for OpfsStore {
    async fn write_folder(&mut self, name: &str, files: &[(String, Vec<u8>)]) -> Result<()> {
        self.write(name, files).await.map_err(|problem| Error::Storage(format!("{name}: {problem}")))
    }

    async fn read(&mut self, folder: &str, file: &str) -> Result<Option<Vec<u8>>> {
        self.find(folder, file).await.map_err(|problem| Error::Storage(format!("{folder}/{file}: {problem}")))
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

async fn folder(place: &JsValue, name: &str, create: bool) -> std::result::Result<JsValue, String> {
    ask(place, "getDirectoryHandle", &[name.into(), options("create", create)]).await
}

/// The slot in use.
async fn current(place: &JsValue) -> Option<String> {
    read_file(place, CURRENT).await.and_then(|bytes| String::from_utf8(bytes).ok())
}

async fn read_file(place: &JsValue, name: &str) -> Option<Vec<u8>> {
    let handle = ask(place, "getFileHandle", &[name.into()]).await.ok()?;
    let file = ask(&handle, "getFile", &[]).await.ok()?;
    let buffer: ArrayBuffer = ask(&file, "arrayBuffer", &[]).await.ok()?.dyn_into().ok()?;
    Some(Uint8Array::new(&buffer).to_vec())
}

/// Writes and flushes; what a file of the same name held is gone.
async fn write_file(place: &JsValue, name: &str, bytes: &[u8]) -> std::result::Result<(), String> {
    let handle = ask(place, "getFileHandle", &[name.into(), options("create", true)]).await?;
    let file = ask(&handle, "createSyncAccessHandle", &[]).await?;
    let written = (|| {
        call(&file, "write", &[Uint8Array::from(bytes).into(), options("at", 0)])?;
        call(&file, "truncate", &[(bytes.len() as f64).into()])?;
        call(&file, "flush", &[])
    })();
    call(&file, "close", &[])?;
    written.map(|_| ())
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

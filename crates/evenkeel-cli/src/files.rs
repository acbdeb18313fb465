//! Files written whole or not at all, and digests of files read.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use evenkeel_core::Error;
use evenkeel_core::train::run::Files;
use sha2::{Digest, Sha256};

/// Largest file that people or other programs write as text: recipes, records, configurations, tokenizers.
pub const MOST_TEXT: u64 = 256 << 20;
/// Largest log of a run: some ten million steps.
pub const MOST_LOG: u64 = 4 << 30;

/// The bytes of an ordinary file of at most `most` bytes, as a user names one.
///
/// # Errors
/// Bad input, with `remedy`.
pub fn read(path: &Path, most: u64, remedy: &str) -> evenkeel_core::Result<Vec<u8>> {
    let refused = |problem: String| Error::input(path.display().to_string(), problem, remedy);
    let file = open(path).map_err(|e| refused(format!("cannot be read ({e})")))?;
    let size = file.metadata().map_or(0, |about| about.len());
    if size > most {
        return Err(refused(format!("has {size} bytes, more than the {most} that such a file may have")));
    }
    let mut bytes = Vec::new();
    // The size is the file system's word: memory that is not there is an error, not an end.
    bytes.try_reserve_exact(size as usize).map_err(|e| refused(format!("cannot be read ({e})")))?;
    file.take(most).read_to_end(&mut bytes).map_err(|e| refused(format!("cannot be read ({e})")))?;
    Ok(bytes)
}

/// Opens an ordinary file; what is none could keep a reader waiting, or never end.
pub fn open(path: &Path) -> std::io::Result<File> {
    let about = fs::metadata(path)?;
    if about.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if !about.is_file() {
        return Err(std::io::Error::other("not an ordinary file"));
    }
    File::open(path)
}

/// `error`, for which nothing can be written at `path`, which `flag` names: bad input where another path would do, else the machine's failure.
pub fn unwritable(flag: &str, path: &Path, error: anyhow::Error) -> anyhow::Error {
    use ErrorKind::{
        AlreadyExists, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem,
    };
    let other_path_would_do = |error: &&std::io::Error| {
        matches!(
            error.kind(),
            AlreadyExists
                | InvalidFilename
                | InvalidInput
                | IsADirectory
                | NotADirectory
                | NotFound
                | PermissionDenied
                | ReadOnlyFilesystem
        )
    };
    match error.downcast_ref().filter(other_path_would_do) {
        Some(why) => Error::input(format!("{flag} {}", path.display()), format!("cannot be written ({why})"), "choose another path").into(),
        None => error,
    }
}

/// Replaces `path` by `bytes`: a reader, or the next run after a crash, sees the old file or the new one, nothing between.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let temp = beside(path, "part");
    let written = write_synced(&temp, bytes).and_then(|()| rename(&temp, path));
    if written.is_err() {
        discard(&temp);
    }
    written.and_then(|()| sync_folder(parent(path)))
}

/// Creates the folder `path` with these files, or nothing; an existing one is replaced.
pub async fn write_folder_atomic(path: &Path, files: impl Files) -> Result<()> {
    let temp = beside(path, "part");
    // What a write that failed left there is not part of this one.
    discard(&temp);
    let written = write_files(&temp, files).await.and_then(|()| put_in_place(&temp, path));
    sweep(parent(path));
    written
}

async fn write_files(folder: &Path, mut files: impl Files) -> Result<()> {
    create_folder(folder)?;
    let mut folders = BTreeSet::from([folder.to_owned()]);
    let mut open: Option<(String, PathBuf, File)> = None;
    while let Some((name, bytes)) = files.next().await? {
        if open.as_ref().is_none_or(|(last, ..)| *last != name) {
            open.take().map_or(Ok(()), |(_, path, file)| sync(&path, &file))?;
            let path = join_inside(folder, &name).with_context(|| format!("a file cannot be called `{name}`"))?;
            create_folder(parent(&path))?;
            folders.insert(parent(&path).to_owned());
            let file = File::create(&path).with_context(|| cannot("write", &path))?;
            open = Some((name, path, file));
        }
        let (_, path, file) = open.as_mut().expect("it was opened");
        file.write_all(&bytes).with_context(|| cannot("write", path))?;
    }
    open.map_or(Ok(()), |(_, path, file)| sync(&path, &file))?;
    folders.iter().try_for_each(|folder| sync_folder(folder))
}

/// An old folder steps aside first: rename does not replace a folder that holds files.
fn put_in_place(temp: &Path, path: &Path) -> Result<()> {
    if path.exists() {
        let aside = beside(path, "old");
        discard(&aside);
        rename(path, &aside)?;
    }
    rename(temp, path)?;
    sync_folder(parent(path))
}

/// Creates `folder` and what leads to it; each is on the disk when this returns.
pub fn create_folder(folder: &Path) -> Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).collect();
    fs::create_dir_all(folder).with_context(|| cannot("create", folder))?;
    missing.into_iter().try_for_each(|folder| sync_folder(parent(folder)))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).with_context(|| cannot("write", path))?;
    file.write_all(bytes).with_context(|| cannot("write", path))?;
    sync(path, &file)
}

fn sync(path: &Path, file: &File) -> Result<()> {
    file.sync_all().with_context(|| cannot("write", path))?;
    told("sync", path);
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| cannot("write", to))?;
    told("rename to", to);
    Ok(())
}

/// Removes a file or folder that may not be there; what cannot be removed is only untidy.
fn discard(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

/// `.part-NAME` or `.old-NAME` in the same folder: rename works only within one file system.
fn beside(path: &Path, kind: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    parent(path).join(format!(".{kind}-{name}"))
}

/// Tidies up after a killed run: what was being written goes, what had stepped aside for it comes back.
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let home = name.strip_prefix(".old-").map(|n| folder.join(n)).filter(|home| !home.exists());
        match home {
            Some(home) => drop(fs::rename(&path, home)), // what cannot go home now will be asked again
            None if name.starts_with(".old-") || name.starts_with(".part-") => discard(&path),
            None => {}
        }
    }
}

/// SHA-256 of a file in hexadecimal, and its size.
pub fn digest(path: &Path) -> Result<(String, u64)> {
    let mut file = File::open(path).with_context(|| cannot("read", path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        let n = file.read(&mut buffer).with_context(|| cannot("read", path))?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        size += n as u64;
    }
    Ok((hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), size))
}

/// `inside` under `root`, unless it would lead out of it.
pub fn join_inside(root: &Path, inside: &str) -> Option<PathBuf> {
    let plain = Path::new(inside).components().all(|c| matches!(c, std::path::Component::Normal(_)));
    (plain && !inside.is_empty()).then(|| root.join(inside))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn cannot(what: &str, path: &Path) -> String {
    format!("cannot {what} {}", path.display())
}

/// The names in `folder` are on the disk.
#[cfg(unix)]
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).with_context(|| cannot("sync", folder))?;
    told("sync", folder);
    Ok(())
}

#[cfg(not(unix))]
pub fn sync_folder(_folder: &Path) -> Result<()> {
    Ok(()) // a folder cannot be opened as a file there
}

/// Tells the tests in which order things reach the disk.
#[cfg(test)]
fn told(what: &str, path: &Path) {
    tests::TOLD.with_borrow_mut(|told| told.push(format!("{what} {}", path.file_name().unwrap_or_default().display())));
}

#[cfg(not(test))]
fn told(_what: &str, _path: &Path) {}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use pollster::block_on;

    use super::*;

    thread_local! {
        pub static TOLD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    #[cfg(unix)]
    fn a_name_appears_when_everything_behind_it_is_on_the_disk() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run/checkpoints/step-000002");
        let files = |byte| [("a".to_owned(), vec![byte]), ("deep/b".to_owned(), vec![byte])];
        let told = |write: &dyn Fn()| {
            TOLD.take();
            write();
            TOLD.take().join(", ").replace(&root.path().file_name().unwrap().display().to_string(), "root")
        };
        let first = told(&|| block_on(write_folder_atomic(&path, files(1).iter())).unwrap());
        let folders = "sync checkpoints, sync run, sync root";
        let inner = "sync a, sync .part-step-000002, sync b, sync .part-step-000002, sync deep";
        assert_eq!(first, format!("{folders}, {inner}, rename to step-000002, sync checkpoints"));
        let again = told(&|| block_on(write_folder_atomic(&path, files(2).iter())).unwrap());
        let replaced = "rename to .old-step-000002, rename to step-000002, sync checkpoints";
        assert_eq!(again, format!("sync checkpoints, {inner}, {replaced}"));
        let file = told(&|| write_atomic(&root.path().join("run/run.json"), b"{}").unwrap());
        assert_eq!(file, "sync .part-run.json, rename to run.json, sync run");
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there_and_nothing_of_itself() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("step-000002");
        block_on(write_folder_atomic(&path, [("a".into(), vec![1])].iter())).unwrap();
        // A file cannot be where a folder is.
        block_on(write_folder_atomic(&path, [("a".into(), vec![2]), ("a/b".into(), vec![2])].iter())).unwrap_err();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        write_atomic(&path, b"a file").unwrap_err();
        assert_eq!(fs::read(path.join("a")).unwrap(), [1]);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_is_replaced_as_a_whole_and_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("checkpoints/step-000002");
        block_on(write_folder_atomic(&path, [("a".into(), vec![1]), ("old".into(), vec![2])].iter())).unwrap();
        block_on(write_folder_atomic(&path, [("a".into(), vec![3])].iter())).unwrap();
        assert_eq!(fs::read(path.join("a")).unwrap(), [3]);
        assert!(!path.join("old").exists());
        assert_eq!(fs::read_dir(root.path().join("checkpoints")).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_replaced_and_digested() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"abc").unwrap();
        let (hash, size) = digest(&path).unwrap();
        assert_eq!((&hash[..16], size), ("ba7816bf8f01cfea", 3));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_crash_between_the_two_renames_loses_nothing() {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in [(".old-model", "before"), (".part-model", "after")] {
            fs::create_dir(root.path().join(name)).unwrap();
            fs::write(root.path().join(name).join("weights"), content).unwrap();
        }
        sweep(root.path());
        assert_eq!(fs::read_to_string(root.path().join("model/weights")).unwrap(), "before");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_ordinary_files_of_bearable_size_are_read() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x");
        fs::write(&path, b"abc").unwrap();
        assert_eq!(read(&path, 3, "").unwrap(), b"abc");
        let refusal = |path: &Path, most| read(path, most, "give another").unwrap_err().to_string();
        assert!(refusal(&path, 2).contains("has 3 bytes, more than the 2"), "{}", refusal(&path, 2));
        assert!(refusal(root.path(), 2).contains("is a directory"), "{}", refusal(root.path(), 2));
        if cfg!(target_os = "linux") {
            assert!(refusal(Path::new("/dev/zero"), 2).contains("not an ordinary file"));
        }
    }

    #[test]
    fn names_cannot_lead_out() {
        let root = Path::new("run");
        assert_eq!(join_inside(root, "model/a.json"), Some(PathBuf::from("run/model/a.json")));
        for name in ["../x", "/etc/passwd", "a/../../x", "", "."] {
            assert_eq!(join_inside(root, name), None, "{name}");
        }
    }
}
